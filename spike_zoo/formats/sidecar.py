"""Sidecars of recordings: YAML files ``<file>.yaml``, and SpikeCV's ``config.yaml``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from spike_zoo.errors import FormatError, UsageError
from spike_zoo.spikes.cfa import LAYOUTS, Cfa, check_cfa
from spike_zoo.spikes.rate_scale import user_rate_scale
from spike_zoo.spikes.recording import positive_number
from spike_zoo.utils.yaml_files import read_yaml

ROTATIONS = (0, 90, 180, 270)
_SIZE_FIELDS = ("spike_w", "spike_h")
_MAX_FOLDERS_ABOVE = 5
_PATH_FIELDS = ("data_field_identifier", "label_field_identifier")
_OF_SPIKECV = (
    *_PATH_FIELDS,
    *("device", "filename", "filepath", "is_labeled", "labeled_data_type", "labeled_data_suffix"),
    *("label_root_list", "label_type", "preprocessed"),
)
_SYNONYMS = {
    **dict.fromkeys(("height", "rows", "spike_height"), "spike_h"),
    **dict.fromkeys(("width", "spike_width"), "spike_w"),
    **dict.fromkeys(("skip", "skip_bytes", "header_bytes"), "offset"),
    **dict.fromkeys(("endian", "endianness", "bits"), "bit_order"),
    **dict.fromkeys(("rotation", "turn", "rotate_degrees"), "rotate"),
    **dict.fromkeys(("bayer", "bayer_pattern", "mosaic", "color_filter_array"), "cfa"),
    "plane": "planes",
}


@dataclass(frozen=True)
class RecordingSettings:
    """Settings of a recording by the user, a sidecar or a layout of a data set; None if not stated.

    The user's settings override those of the file, which override its sidecars, which override
    defaults.
    """

    height: int | None = None  #: rows of the stored planes (``spike_h``)
    #: columns of the stored planes (``spike_w``), including columns outside the image
    width: int | None = None
    #: half-open ranges of the stored columns that belong to the image
    columns: tuple[tuple[int, int], ...] | None = None
    frame_align: str | None = None  #: ``"byte"`` or ``"bit"``, if planes are not whole bytes
    flip: bool | None = None  #: whether the stored rows run bottom to top
    mirror: bool | None = None  #: whether the stored columns run right to left
    rotate: int | None = None  #: clockwise rotation in degrees that turns the image upright
    offset: int | None = None  #: bytes before the first complete plane
    bit_order: str | None = None  #: ``"little"`` or ``"big"``: bit of a byte with its first pixel
    allow_partial: bool = False  #: drop an incomplete last plane, with a warning; not in YAML
    camera: str | Path | None = None  #: file of ``calibrate`` (.yaml) with the maps of the camera
    #: layout of the Bayer filters of the upright image; that of a sidecar is in ``meta``
    cfa: Cfa | None = None
    fps: float | None = None  #: planes per second
    threshold: float | None = None  #: charge at which a pixel fires
    rate_scale: float | None = None  #: spikes per plane at white
    #: planes of the ground-truth images of the recording, in the order of their names
    planes: tuple[int, ...] | None = None
    meta: dict[str, Any] = field(default_factory=dict)  #: all other fields, unchanged
    usual: RecordingSettings | None = None  #: for what nothing else states; not in YAML

    def __post_init__(self) -> None:
        if self.rotate not in (None, *ROTATIONS):
            raise UsageError(
                f"--rotate must be 0, 90, 180 or 270 degrees (clockwise), got {self.rotate}"
            )
        if self.fps is not None and not positive_number("fps", self.fps):
            raise UsageError(f"--fps must be finite and above 0, got {self.fps}")
        user_rate_scale(self.rate_scale)
        if self.cfa is not None:
            check_cfa(self.cfa)

    def or_else(self, *others: RecordingSettings | None) -> RecordingSettings:
        """Return these settings, completed by others; earlier ones override later ones."""
        values: dict[str, Any] = {"meta": {}}
        for each in filter(None, (*reversed(others), self)):
            set_values = {name: value for name, value in vars(each).items() if value is not None}
            values |= set_values | {"meta": values["meta"] | each.meta}
        return RecordingSettings(**values)

    def for_file(self, path: Path, *, is_dat: bool) -> RecordingSettings:
        """Return these settings, completed by the sidecars of a recording and by usual ones."""
        own, above = own_sidecar(path), None
        if is_dat and None in (self.height or own.height, self.width or own.width):
            above = folder_sidecar(path)
        return self.or_else(own, above, self.usual)


def sidecar_path(recording: Path) -> Path:
    """Return the path of a recording's sidecar: that of ``clip.dat`` is ``clip.dat.yaml``."""
    return Path(f"{recording}.yaml")


def own_sidecar(recording: Path) -> RecordingSettings:
    """Read the sidecar with the recording's name; return an empty one if it does not exist."""
    path = sidecar_path(recording)
    return _parse(path, load_fields(path)) if path.is_file() else RecordingSettings()


def folder_sidecar(recording: Path) -> RecordingSettings | None:
    """Read SpikeCV's ``config.yaml``, which is stored at the root of a data set.

    The nearest file in the folder of the recording or the five folders above is read. More than one
    folder above, files without ``spike_w`` and ``spike_h`` are skipped, because they belong to
    other programs.
    """
    folder = recording.absolute().parent
    for above, home in enumerate((folder, *folder.parents[:_MAX_FOLDERS_ABOVE])):
        path = home / "config.yaml"
        if not path.is_file() or (above > 1 and not _states_size(path)):
            continue
        fields = load_fields(path)
        missing = [name for name in _SIZE_FIELDS if fields.get(name) is None]
        if missing:
            raise FormatError.at(
                path,
                f"no {' and no '.join(missing)}; a SpikeCV data set states both. Add them, or "
                "pass the height and width",
            )
        return _parse(path, fields)
    return None


def _states_size(path: Path) -> bool:
    """Return whether a file is readable and has ``spike_w`` or ``spike_h``."""
    try:
        return not load_fields(path).keys().isdisjoint(_SIZE_FIELDS)
    except (FormatError, OSError):
        return False


def load_fields(path: Path) -> dict[str, Any]:
    """Return the fields of a sidecar; raise FormatError if it has none."""
    fields = read_yaml(path, FormatError)
    if not isinstance(fields, dict):
        raise FormatError.at(path, "expected fields such as spike_w: 400")
    return {str(name): value for name, value in fields.items()}


def _parse(path: Path, fields: Mapping[str, Any]) -> RecordingSettings:
    _check_spelling(path, fields)
    meta = dict(fields)
    for name in _PATH_FIELDS:  # may be written on Windows
        if isinstance(meta.get(name), str):
            meta[name] = meta[name].replace("\\", "/")
    for name, (is_valid, expected) in _RULES.items():
        if meta.get(name) is not None and not is_valid(meta[name]):
            raise FormatError.at(path, f"{name} is {meta[name]!r}, expected {expected}")
    values = {name: meta.pop(YAML_NAMES.get(name, name), None) for name in _ATTRIBUTES}
    for name in ("fps", "threshold", "rate_scale"):
        values[name] = positive_number(name, values[name]) or None
    if values["columns"] is not None:
        values["columns"] = tuple((first, last) for first, last in values["columns"])
    if (camera := values.pop("camera")) is not None:
        # any other text only describes the camera
        is_file = isinstance(camera, str) and camera.endswith(".yaml")
        (values if is_file else meta)["camera"] = path.parent / camera if is_file else camera
    if (planes := values["planes"]) is not None:
        values["planes"] = tuple(planes if isinstance(planes, list) else [planes])
    return RecordingSettings(**values, meta=meta)


def is_class(label: object) -> bool:
    """Return whether a value is the index of a class: a whole number from 0."""
    return type(label) is int and 0 <= label < 2**63


def _is_whole(least: int) -> Callable[[object], bool]:
    return lambda value: type(value) is int and value >= least


def _are_planes(value: object) -> bool:
    items = value if isinstance(value, list) else [value]
    return bool(items) and all(map(_is_whole(0), items))


def _are_columns(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(type(end) is int for end in pair)
        for pair in value
    )


def _is_number(name: str) -> Callable[[object], bool]:
    return lambda value: positive_number(name, value) is not None


#: Attribute of the settings -> its field in YAML, if they differ.
YAML_NAMES = {"height": "spike_h", "width": "spike_w"}
_OTHER = {"meta", "cfa", "allow_partial", "usual"}  # the filters of a sidecar stay in meta
_ATTRIBUTES = RecordingSettings.__dataclass_fields__.keys() - _OTHER
_WHOLE = (_is_whole(1), "a whole number >= 1")
_BOOL = (lambda value: isinstance(value, bool), "true or false")
#: Field with a meaning (docs/data.md) -> whether a value is valid, and what is expected.
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "spike_h": _WHOLE,
    "spike_w": _WHOLE,
    "columns": (_are_columns, "ranges such as [[0, 400]]"),
    "frame_align": (lambda value: value in ("byte", "bit"), "byte or bit"),
    "flip": _BOOL,
    "mirror": _BOOL,
    "rotate": (lambda value: type(value) is int and value in ROTATIONS, "0, 90, 180 or 270"),
    "offset": (_is_whole(0), "a whole number >= 0"),
    "bit_order": (lambda value: value in ("little", "big"), "little or big"),
    **{name: (_is_number(name), "a number > 0") for name in ("fps", "threshold")},
    "rate_scale": (
        lambda value: positive_number("rate_scale", value) is not None and value <= 1,
        "spikes per plane at white, above 0 and at most 1",
    ),
    "cfa": (lambda value: value in LAYOUTS, f"one of {', '.join(LAYOUTS)}"),
    "camera": (lambda value: isinstance(value, str), "a file of calibrate, such as camera.yaml"),
    "planes": (_are_planes, "planes counted from 0, as [150] or [50, 100]"),
    "label": (is_class, "the index of a class, counted from 0; its name is label_name"),
    "label_name": (lambda value: isinstance(value, str), "text; put it in quotes"),
}


def _check_spelling(path: Path, fields: Mapping[str, Any]) -> None:
    """Raise for fields with a name similar to a known one, which would have no effect."""
    for name in fields:
        if name in _RULES or name in _OF_SPIKECV:
            continue
        lower = name.lower()
        similar = _SYNONYMS.get(lower)
        similar = similar or next(iter(get_close_matches(lower, list(_RULES), 1, 0.75)), None)
        if similar is not None:
            raise FormatError.at(
                path,
                f"{name} is no field of a sidecar, did you mean {similar}? Known are "
                f"{', '.join(_RULES)}; others are stored as metadata and have no effect",
            )
