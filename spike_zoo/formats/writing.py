"""Writing of recordings in all file formats, and of the sidecars of ``.dat``."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from spike_zoo.coding.spl import codec as lossless
from spike_zoo.errors import ExistingFileError, FormatError, UsageError
from spike_zoo.formats import arrays
from spike_zoo.formats.dat import DatLayout, stored_bytes
from spike_zoo.formats.recording import FORMATS, KNOWN_FORMATS
from spike_zoo.formats.sidecar import YAML_NAMES, load_fields, own_sidecar, sidecar_path
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.utils.files import check_absent, new_file

_LOST = "lost_planes"  # field of a recording from a damaged bitstream


def write_recording(
    recording: SpikeRecording | NDArray[Any],
    path: str | Path,
    *,
    overwrite: bool = False,
    frame_align: str = "byte",
    columns: Sequence[tuple[int, int]] | None = None,
    stored_width: int | None = None,
    flip: bool = True,
    with_sidecar: bool = False,
) -> Path:
    """Write a recording in the format of the suffix, as the exact inverse of reading.

    An error leaves no incomplete file. ``.npz`` and ``.h5`` store fps, scales and meta; ``.spl``,
    and ``.dat`` with a sidecar, fps and scales; ``.npy``, and ``.dat`` without one, only planes.

    Args:
        recording: The recording, or an array ``(T, H, W)`` of zeros and ones.
        path: Target ending in ``.dat``, ``.npz``, ``.npy``, ``.h5``, ``.hdf5`` or ``.spl``.
        overwrite: Replace an existing target. With ``with_sidecar`` also replace a sidecar that
            contradicts the recording, and add missing fields to one that does not.
        frame_align: ``.dat`` only, if planes are not whole bytes: as for :func:`read_recording`.
        columns: ``.dat`` only: ranges of the stored columns in the image; the others become zero.
        stored_width: ``.dat`` only: number of stored columns, with ``columns``.
        flip: ``.dat`` only: store rows bottom to top, as the sensors do.
        with_sidecar: ``.dat`` only: also write ``<file>.yaml``, so that no option is needed to
            read it. An existing sidecar that states the same fields is kept.

    Returns:
        The path.

    Raises:
        ExistingFileError: If the target exists and ``overwrite`` is False, or an existing sidecar
            of a ``.dat``, which is not written, contradicts the recording.
        UsageError: If the suffix is unknown.
        GeometryError: If an array is not 3-D, the image does not fill ``columns``, or a plane
            has more than the 2^24 pixels of a ``.spl``.
        ValueError: If a value is neither 0 nor 1.
        RecordingError: If the folder cannot be written.

    Example:
        >>> from spike_zoo import read_recording
        >>> path = write_recording(np.ones((4, 6, 8), bool), "clip.npz")
        >>> read_recording(path).shape
        (4, 6, 8)
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path}: the suffix names no format of recordings; {KNOWN_FORMATS}")
    kind = FORMATS[path.suffix.lower()]
    if not isinstance(recording, SpikeRecording):
        recording = SpikeRecording.from_planes(np.asarray(recording))
    if kind == "dat":
        _, height, width = recording.shape
        ranges = None if columns is None else tuple((a, b) for a, b in columns)
        layout = DatLayout(height, stored_width or width, frame_align, ranges, flip)
        _write_dat(recording, path, layout, overwrite=overwrite, with_sidecar=with_sidecar)
        return path
    if kind == "spl":
        return lossless.write(recording, path, overwrite=overwrite)
    with new_file(path, overwrite=overwrite) as temporary:
        if kind == "hdf5":
            from spike_zoo.formats.hdf5_writing import write_h5

            write_h5(recording, temporary, fallback_name=path.stem)
        else:
            write = arrays.write_npz if kind == "npz" else arrays.write_npy
            write(recording, temporary)
    return path


def _write_dat(
    recording: SpikeRecording, path: Path, layout: DatLayout, *, overwrite: bool, with_sidecar: bool
) -> None:
    text = None
    if with_sidecar:
        text = _sidecar_text(path, recording, layout, overwrite=overwrite)
    else:
        _check_consistent(path, recording, layout)
    with new_file(path, overwrite=overwrite) as temporary:
        with temporary.open("wb") as stream:
            for block in stored_bytes(recording, layout):
                stream.write(block.data)  # the error of tofile does not state why a write failed
        if text is not None:
            with new_file(sidecar_path(path), overwrite=overwrite) as part:
                part.write_text(text, encoding="utf-8")


def _sidecar_text(
    path: Path, recording: SpikeRecording, layout: DatLayout, *, overwrite: bool
) -> str | None:
    """Return the YAML of the sidecar of a ``.dat`` to be written, to read it without options.

    An existing sidecar that contradicts the recording is replaced. One that does not keeps its
    fields; None if no field is missing.

    Raises:
        ExistingFileError: If an existing sidecar must be changed and ``overwrite`` is False.
    """
    fields = _fields_of(recording, layout) | {_LOST: recording.meta.get(_LOST)}
    if layout.columns:
        fields["columns"] = [list(pair) for pair in layout.columns]
    content = {name: value for name, value in fields.items() if value is not None}
    file = sidecar_path(path)
    if file.is_file():
        with contextlib.suppress(ExistingFileError, FormatError):  # contradicts, or is invalid
            _check_consistent(path, recording, layout)
            existing = load_fields(file)
            required = content | {_LOST: fields[_LOST]}
            if all(({"flip": True} | existing).get(name) == required[name] for name in required):
                return None
            existing.pop(_LOST, None)
            content = existing | content
    check_absent(file, overwrite=overwrite)
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None)


def _fields_of(recording: SpikeRecording, layout: DatLayout) -> dict[str, Any]:
    """Return the fields of a recording in a layout; None: not stated."""
    return {
        "spike_h": layout.height,
        "spike_w": layout.width,
        "columns": layout.columns,
        "frame_align": layout.frame_align if layout.pixels % 8 else None,
        "flip": layout.flip,
        "fps": float(recording.fps) or None,
        "threshold": recording.threshold,
        "rate_scale": recording.rate_scale,
        "cfa": recording.cfa,
    }


def _check_consistent(path: Path, recording: SpikeRecording, layout: DatLayout) -> None:
    """Raise if the existing sidecar of a ``.dat`` contradicts the recording to be written.

    Settings that only one of them states are not compared.
    """
    sidecar_facts = own_sidecar(path)
    old = {
        YAML_NAMES.get(name, name): value for name, value in vars(sidecar_facts).items()
    } | sidecar_facts.meta
    new = _fields_of(recording, layout) | {"mirror": False, "rotate": 0}
    new |= {"offset": layout.offset, "bit_order": layout.bit_order}
    new |= {name: recording.meta.get(name) for name in ("label", "label_name")}
    new["columns"] = layout.columns or ((0, layout.width),)
    contradictions = [
        f"{name}: {_in_yaml(old[name])} (here {_in_yaml(value)})"
        for name, value in new.items()
        if None not in (value, old.get(name)) and value != old[name]
    ]
    if contradictions:
        raise ExistingFileError(
            f"{sidecar_path(path)} states {', '.join(contradictions)}, which would be used to "
            f"read {path.name}. Write its sidecar too (with_sidecar=True, overwrite=True), or "
            "remove the existing sidecar",
            path=str(sidecar_path(path)),
        )


def _in_yaml(value: object) -> str:
    if isinstance(value, tuple):
        return str([list(pair) for pair in value])
    return str(value).lower() if isinstance(value, bool) else str(value)
