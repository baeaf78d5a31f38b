"""Sidecars of recordings: YAML files ``<file>.yaml``, and SpikeCV's ``config.yaml``."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spike_zoo.errors import ExistingFileError, FormatError
from spike_zoo.spikes.cfa import LAYOUTS
from spike_zoo.spikes.recording import positive_number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spike_zoo.formats.dat import DatLayout
    from spike_zoo.spikes.recording import SpikeRecording

FIELDS = (
    *("spike_h", "spike_w", "columns", "frame_align", "flip", "mirror", "rotate", "offset"),
    *("fps", "threshold", "rate_scale", "cfa", "planes", "label", "label_name"),
)
"""All fields with a meaning, described in docs/data.md."""
_SIZE_FIELDS = ("spike_w", "spike_h")
_MOST_FOLDERS_ABOVE = 5
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
    **dict.fromkeys(("rotation", "turn", "rotate_degrees"), "rotate"),
    **dict.fromkeys(("bayer", "bayer_pattern", "mosaic", "color_filter_array"), "cfa"),
    "plane": "planes",
}


@dataclass(frozen=True)
class Sidecar:
    """Settings of a recording from a YAML file. None: not stated.

    Attributes:
        height: Rows of the stored planes (``spike_h``).
        width: Columns of the stored planes (``spike_w``), including columns outside the image.
        columns: Half-open ranges of the stored columns that belong to the image.
        frame_align: ``"byte"`` or ``"bit"``, if planes are not whole bytes.
        flip: Whether the stored rows run bottom to top.
        mirror: Whether the stored columns run right to left.
        rotate: Clockwise rotation in degrees that turns the image upright.
        offset: Bytes before the first complete plane.
        fps: Planes per second.
        threshold: Charge at which a pixel fires.
        rate_scale: Spikes per plane at white.
        planes: Planes of the ground-truth images of the recording, in the order of their names.
        meta: All other fields, unchanged.
    """

    height: int | None = None
    width: int | None = None
    columns: tuple[tuple[int, int], ...] | None = None
    frame_align: str | None = None
    flip: bool | None = None
    mirror: bool | None = None
    rotate: int | None = None
    offset: int | None = None
    fps: float | None = None
    threshold: float | None = None
    rate_scale: float | None = None
    planes: tuple[int, ...] | None = None
    meta: dict[str, Any] = field(default_factory=dict)

    def or_else(self, other: Sidecar | None) -> Sidecar:
        """Return these settings, completed by those of another sidecar."""
        if other is None:
            return self
        stated = {name: value for name, value in vars(self).items() if value is not None}
        return replace(other, **(stated | {"meta": other.meta | self.meta}))


def sidecar_path(recording: Path) -> Path:
    """Return the path of a recording's sidecar: that of ``clip.dat`` is ``clip.dat.yaml``."""
    return Path(f"{recording}.yaml")


def own_sidecar(recording: Path) -> Sidecar:
    """Read the sidecar with the recording's name; return an empty one if it does not exist."""
    path = sidecar_path(recording)
    return _parse(path, _load(path)) if path.is_file() else Sidecar()


def folder_sidecar(recording: Path) -> Sidecar | None:
    """Read SpikeCV's ``config.yaml``, which is stored at the root of a data set.

    The nearest file in the folder of the recording or the five folders above is read. More than one
    folder above, files without ``spike_w`` and ``spike_h`` are skipped, because they belong to
    other programs.
    """
    folder = recording.absolute().parent
    for above, home in enumerate((folder, *folder.parents[:_MOST_FOLDERS_ABOVE])):
        path = home / "config.yaml"
        if not path.is_file() or (above > 1 and not _states_size(path)):
            continue
        fields = _load(path)
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
        return not _load(path).keys().isdisjoint(_SIZE_FIELDS)
    except (FormatError, OSError):
        return False


def sidecar_text(
    recording: SpikeRecording,
    stored_width: int,
    *,
    columns: tuple[tuple[int, int], ...] | None,
    frame_align: str | None,
    flip: bool,
) -> str:
    """Return the YAML of a recording's sidecar, to read its ``.dat`` without options."""
    import yaml

    _, height, _ = recording.shape
    fields = {
        "spike_h": height,
        "spike_w": stored_width,
        "columns": [list(pair) for pair in columns] if columns else None,
        "frame_align": frame_align,
        "flip": flip,
        "fps": float(recording.fps) or None,
        "threshold": recording.threshold,
        "rate_scale": recording.rate_scale,
        "cfa": recording.cfa,
    }
    stated = {name: value for name, value in fields.items() if value is not None}
    return yaml.safe_dump(stated, sort_keys=False, default_flow_style=None)


def check_consistent(path: Path, recording: SpikeRecording, layout: DatLayout) -> None:
    """Raise if the existing sidecar of a ``.dat`` contradicts the recording to be written.

    Settings that only one of them states are not compared.
    """
    stated = own_sidecar(path)
    pairs = {
        "spike_h": (stated.height, layout.height),
        "spike_w": (stated.width, layout.width),
        "columns": (stated.columns, layout.columns or ((0, layout.width),)),
        "frame_align": (stated.frame_align, layout.frame_align if layout.pixels % 8 else None),
        "flip": (stated.flip, layout.flip),
        "mirror": (stated.mirror, False),
        "rotate": (stated.rotate, 0),
        "offset": (stated.offset, layout.offset),
        "fps": (stated.fps or None, recording.fps or None),
        "threshold": (stated.threshold, recording.threshold),
        "rate_scale": (stated.rate_scale, recording.rate_scale),
    }
    pairs |= {
        key: (stated.meta.get(key), recording.meta.get(key))
        for key in ("cfa", "label", "label_name")
    }
    contradictions = [
        f"{name}: {_in_yaml(old)} (here {_in_yaml(new)})"
        for name, (old, new) in pairs.items()
        if None not in (old, new) and old != new
    ]
    if contradictions:
        raise ExistingFileError(
            f"{sidecar_path(path)} states {', '.join(contradictions)}, which would be used to "
            f"read {path.name}. Write its sidecar too (with_sidecar=True, overwrite=True), or "
            "remove the existing sidecar",
            path=str(sidecar_path(path)),
        )


def _in_yaml(value: object) -> str:
    """Return a value as it is written in a sidecar."""
    if isinstance(value, tuple):
        return str([list(pair) for pair in value])
    return str(value).lower() if isinstance(value, bool) else str(value)


def _load(path: Path) -> dict[str, Any]:
    from spike_zoo.yaml_files import read_yaml

    fields = read_yaml(path, FormatError)
    if not isinstance(fields, dict):
        raise FormatError.at(path, "expected fields such as spike_w: 400")
    return {str(name): value for name, value in fields.items()}


def _parse(path: Path, fields: Mapping[str, Any]) -> Sidecar:
    _check_spelling(path, fields)
    meta = dict(fields)
    for name in _PATH_FIELDS:  # may be written on Windows
        if isinstance(meta.get(name), str):
            meta[name] = meta[name].replace("\\", "/")
    _check_class(path, meta)
    if (cfa := meta.get("cfa")) not in (None, *LAYOUTS):
        raise FormatError.at(path, f"cfa is {cfa!r}, expected one of {', '.join(LAYOUTS)}")
    values: dict[str, Any] = {}
    for name, (is_valid, expected) in _RULES.items():
        value = meta.pop(name, None)
        if value is not None and not is_valid(value):
            raise FormatError.at(path, f"{name} is {value!r}, expected {expected}")
        values[_ATTRIBUTES.get(name, name)] = value
    for name in ("fps", "threshold", "rate_scale"):
        values[name] = positive_number(name, values[name])
    if values["columns"] is not None:
        values["columns"] = tuple((first, last) for first, last in values["columns"])
    if values["planes"] is not None:
        planes = values["planes"]
        values["planes"] = tuple(planes if isinstance(planes, list) else [planes])
    return Sidecar(**values, meta=meta)


def _is_whole(least: int) -> Callable[[object], bool]:
    return lambda value: type(value) is int and value >= least


def _are_planes(value: object) -> bool:
    listed = value if isinstance(value, list) else [value]
    return bool(listed) and all(map(_is_whole(0), listed))


def _are_columns(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(type(end) is int for end in pair)
        for pair in value
    )


def _is_number(name: str) -> Callable[[object], bool]:
    return lambda value: positive_number(name, value) is not None


_ATTRIBUTES = {"spike_h": "height", "spike_w": "width"}
#: Field -> whether a value is valid, and what is expected.
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "spike_h": (_is_whole(1), "a whole number >= 1"),
    "spike_w": (_is_whole(1), "a whole number >= 1"),
    "columns": (_are_columns, "ranges such as [[0, 400]]"),
    "frame_align": (lambda value: value in ("byte", "bit"), "byte or bit"),
    "flip": (lambda value: isinstance(value, bool), "true or false"),
    "mirror": (lambda value: isinstance(value, bool), "true or false"),
    "rotate": (
        lambda value: type(value) is int and value in (0, 90, 180, 270),
        "0, 90, 180 or 270",
    ),
    "offset": (_is_whole(0), "a whole number >= 0"),
    **{name: (_is_number(name), "a number > 0") for name in ("fps", "threshold", "rate_scale")},
    "planes": (_are_planes, "planes counted from 0, as [150] or [50, 100]"),
}


def _check_spelling(path: Path, fields: Mapping[str, Any]) -> None:
    """Raise for fields with a name similar to a known one, which would have no effect."""
    for name in fields:
        if name in FIELDS or name in _OF_SPIKECV:
            continue
        lower = name.lower()
        similar = _SYNONYMS.get(lower)
        similar = similar or next(iter(get_close_matches(lower, FIELDS, 1, 0.75)), None)
        if similar is not None:
            raise FormatError.at(
                path,
                f"{name} is no field of a sidecar, did you mean {similar}? Known are "
                f"{', '.join(FIELDS)}; others are stored as metadata and have no effect",
            )


def _check_class(path: Path, fields: Mapping[str, Any]) -> None:
    """Raise if ``label`` or ``label_name`` is invalid; valid ones remain in ``meta``."""
    label, name = fields.get("label"), fields.get("label_name")
    if label is not None and not is_class(label):
        raise FormatError.at(
            path,
            f"label is {label!r}, expected the index of a class, counted from 0; its name "
            "is label_name",
        )
    if name is not None and not isinstance(name, str):
        raise FormatError.at(path, f"label_name is {name!r}, expected text; put it in quotes")


def is_class(label: object) -> bool:
    """Return whether a value is the index of a class: a whole number from 0."""
    return type(label) is int and 0 <= label < 2**63
