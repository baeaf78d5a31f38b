"""Reading and writing of recordings in all file formats."""

from __future__ import annotations

import contextlib
import stat
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal

import numpy as np

from spike_zoo.coding.errors import BitstreamError
from spike_zoo.coding.spl import codec as lossless
from spike_zoo.coding.spl.header import HEADER_BYTES, LosslessHeader, has_lossless_magic
from spike_zoo.errors import (
    FormatError,
    GeometryError,
    MissingFileError,
    MissingGeometryError,
    UsageError,
)
from spike_zoo.formats import arrays, sidecar
from spike_zoo.formats.camera import attach_maps
from spike_zoo.formats.dat import DatLayout, dat_recording, open_dat, stored_bytes
from spike_zoo.formats.dat_content import warn_of_content
from spike_zoo.formats.dat_sizes import fitting_sizes
from spike_zoo.formats.remote import local_path
from spike_zoo.formats.sidecar import Sidecar
from spike_zoo.spikes.recording import SpikeRecording, positive_number
from spike_zoo.utils.files import new_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spike_zoo.spikes.cfa import Cfa

Format = Literal["dat", "npz", "npy", "hdf5", "spl"]

_FORMATS: dict[str, Format] = {
    **{".dat": "dat", ".npz": "npz", ".npy": "npy"},
    **{".h5": "hdf5", ".hdf5": "hdf5", ".spl": "spl"},
}
RECORDING_SUFFIXES: Final = tuple(_FORMATS)
"""Suffixes of files that can be read and written as a recording."""
ARCHIVE_SUFFIXES: Final = tuple(end for end, kind in _FORMATS.items() if kind == "hdf5")
"""Suffixes of archives, which may contain several recordings with images and labels."""
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_KNOWN = "known are .dat (raw bits), .npz, .npy (numpy), .h5 (archive) and .spl (lossless)"


def detect_format(path: str | Path) -> Format:
    """Detect the format of a recording from its first bytes and its suffix.

    Raises:
        MissingFileError: If the file does not exist.
        FormatError: If the path is not a regular file, the file is empty, the format is unknown,
            or the suffix does not match the content.
    """
    path = path if isinstance(path, Path) else local_path(path)
    try:
        status = path.stat()
    except OSError as error:
        raise MissingFileError.at(path, "there is no such file") from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder, not a recording"
        if not stat.S_ISDIR(status.st_mode):
            kind = "no regular file: only live reads a pipe; save its content as X.dat"
        raise FormatError(f"{path} is {kind}", path=str(path))
    if status.st_size == 0:
        raise FormatError.at(path, "the file is empty")
    if path.suffix.lower() == ".sci":
        raise FormatError(
            f"{path} is a bitstream, not a recording; decode it to images with decompress",
            path=str(path),
        )
    by_suffix, by_content = _FORMATS.get(path.suffix.lower()), _format_by_content(path)
    if by_suffix is None and by_content is None:
        raise FormatError.at(path, f"unknown format; a file of raw bits: name it X.dat; {_KNOWN}")
    if by_content is None and by_suffix != "dat":
        raise FormatError.at(
            path,
            f"the suffix is that of {by_suffix}, but the content is not {by_suffix} (damaged, or "
            f"raw bits that should be named .dat); {_KNOWN}",
        )
    if by_suffix is not None and by_content is not None and by_suffix != by_content:
        suffix = ".h5" if by_content == "hdf5" else f".{by_content}"
        raise FormatError.at(
            path,
            f"the suffix is that of {by_suffix}, but the content is {by_content}; rename the file "
            f"to {path.with_suffix(suffix).name}",
        )
    return by_content or "dat"


def _format_by_content(path: Path) -> Format | None:
    try:
        with path.open("rb", buffering=0) as stream:
            start = stream.read(HEADER_BYTES)
            if path.suffix.lower() != ".dat" and _has_user_block(stream):
                return "hdf5"
    except OSError as error:
        raise FormatError.at(path, f"cannot be read ({error.strerror})") from error
    if start.startswith(_HDF5_SIGNATURE):
        return "hdf5"
    if start.startswith(b"\x93NUMPY"):
        return "npy"
    if start.startswith(b"PK\x03\x04"):
        raw = path.suffix.lower() == ".dat" and not zipfile.is_zipfile(path)
        return None if raw else "npz"
    if has_lossless_magic(start):
        if path.suffix.lower() != ".dat":
            return "spl"
        with contextlib.suppress(BitstreamError):
            LosslessHeader.parse(start)
            return "spl"
    return None


def _has_user_block(stream: BinaryIO) -> bool:
    """Return whether HDF5 starts after a user block of 512, 1024, 2048 ... bytes.

    MATLAB 7.3 writes such files.
    """
    place, size = 512, stream.seek(0, 2)
    while place < size:
        stream.seek(place)
        if stream.read(len(_HDF5_SIGNATURE)) == _HDF5_SIGNATURE:
            return True
        place *= 2
    return False


def read_recording(
    path: str | Path,
    name: str | None = None,
    *,
    height: int | None = None,
    width: int | None = None,
    frame_align: str | None = None,
    columns: Sequence[tuple[int, int]] | None = None,
    flip: bool | None = None,
    mirror: bool | None = None,
    rotate: int | None = None,
    offset: int | None = None,
    bit_order: str | None = None,
    allow_partial: bool = False,
    check_rows: bool = False,
    fps: float | None = None,
    rate_scale: float | None = None,
    cfa: Cfa | None = None,
    camera: str | Path | None = None,
) -> SpikeRecording:
    """Open a spike recording. Planes are read on demand, except those of ``.npz``.

    Arguments override the attributes of the file, which override those of its sidecar
    (``<file>.yaml``; for ``.dat`` also SpikeCV's ``config.yaml`` up to five folders above).

    Args:
        path: A ``.dat``, ``.npz``, ``.npy``, ``.h5`` or ``.spl`` file, detected by content and
            suffix; or its address, such as ``s3://bucket/street.dat``, see :func:`local_path`.
        name: Recording in an archive, key of the spikes in an ``.npz``, or data set of spikes
            ``(T, H, W)`` in an HDF5 file that is not an archive.
        height: Rows H; required for ``.dat`` without a sidecar, only checked for other formats.
        width: Stored columns, W unless ``columns`` selects some of them; required like ``height``.
        frame_align: For a ``.dat`` whose planes are not whole bytes: ``"byte"`` if each starts on
            a byte, ``"bit"`` if they are stored without padding.
        columns: For a ``.dat`` with columns outside the image: the half-open ranges of the image,
            such as ``[(0, 400)]`` of 416 stored columns or ``[(0, 500), (512, 1012)]`` of 1024.
        flip: Whether a ``.dat`` stores its rows bottom to top, as the sensors do; None: as its
            sidecar states, else true. Ignored for other formats, like ``allow_partial`` and
            ``check_rows``.
        mirror: Reverse the columns of a ``.dat``; None: as its sidecar states, else false.
        rotate: Rotate a ``.dat`` clockwise by 0, 90, 180 or 270 degrees, after flip and mirror;
            None: as its sidecar states, else 0. Height and width are those before the rotation.
        offset: Bytes of a ``.dat`` before its first complete plane; None: as its sidecar states,
            else 0.
        bit_order: ``"big"`` if the first pixel of a byte of a ``.dat`` is its highest bit, as
            ``numpy.packbits`` writes; None: as its sidecar states, else ``"little"``.
        allow_partial: Drop an incomplete last plane of a ``.dat``, with a warning.
        check_rows: Warn if size, bit order or first byte (unless stated as 0) of a ``.dat`` do
            not fit its pixels. Reads up to 256 planes.
        fps: Planes per second, overrides the file.
        rate_scale: Spikes per plane at white, overrides the file.
        cfa: Layout of the Bayer filters of the upright image, overrides the file.
        camera: File of ``calibrate`` whose maps methods apply; overrides those of an archive.

    Raises:
        MissingFileError: If the file or its camera does not exist.
        MissingGeometryError: If the size of a ``.dat`` is unknown; the message lists sizes that
            fit its length.
        GeometryError: If the data are not a whole number of planes, or maps have another size.
        FormatError: If the content is damaged, of an unknown format, or not spikes.
        MissingItemError: If ``name`` is required or unknown; the message lists the names.
        UsageError: If an option does not apply to the format, or ``fps`` or ``rate_scale`` is not
            above 0.
        VersionError: If an archive has a newer schema.

    Example:
        >>> Path("clip.dat").write_bytes(bytes(3 * 250 * 400 // 8))
        37500
        >>> read_recording("clip.dat", height=250, width=400).shape
        (3, 250, 400)
    """
    path = path if isinstance(path, Path) else local_path(path)
    kind = detect_format(path)
    if kind in ("dat", "npy", "spl") and name is not None:
        raise UsageError(f"{path}: a .{kind} holds one recording, it has none named {name!r}")
    if kind == "dat":
        ranges = None if columns is None else tuple((a, b) for a, b in columns)
        bits = flip, mirror, rotate, offset, bit_order
        stated = Sidecar(height, width, ranges, frame_align, *bits, camera)
        layout, settings = dat_settings(path, stated)
        planes = open_dat(path, layout, allow_partial=allow_partial)
        if check_rows:
            warn_of_content(planes, may_be_rolled=settings.offset != 0)
        recording = dat_recording(planes, settings)
    else:
        if any(each is not None for each in (frame_align, columns, offset, bit_order)):
            what = "frame_align, columns, offset, bit_order"
            raise UsageError(f"{path}: {what} are for .dat, this is {kind}")
        if mirror or rotate:
            raise UsageError(f"{path}: --mirror and --rotate are for .dat, this is {kind}")
        settings = Sidecar(camera=camera).or_else(sidecar.own_sidecar(path))
        recording = _read_self_described(path, kind, name)
        _check_size(path, recording, height, width)
    complete(recording, path, kind, settings)
    recording.fps = recording.fps if fps is None else _stated("fps", fps)
    if rate_scale is not None:
        recording.rate_scale = _stated("rate_scale", rate_scale)
    if cfa is not None:
        if recording.meta.get("cfa", cfa) != cfa:
            warnings.warn(
                f"{path}: its layout of colour filters is {recording.meta['cfa']}; {cfa} is used "
                "instead, as stated",
                stacklevel=2,
            )
        recording.cfa = cfa
    attach_maps(recording, settings.camera, path)
    return recording


def _read_self_described(path: Path, kind: Format, name: str | None) -> SpikeRecording:
    if kind == "hdf5":
        from spike_zoo.formats.hdf5_recording import read_h5

        return read_h5(path, name)
    if kind == "npz":
        return arrays.read_npz(path, name)
    return arrays.read_npy(path) if kind == "npy" else lossless.read(path)


def dat_settings(path: Path, stated: Sidecar) -> tuple[DatLayout, Sidecar]:
    """Return the layout and all settings of a ``.dat`` file, or of a pipe with its content.

    The stated settings override those of the sidecars. The file is read only to list sizes that
    fit.
    """
    settings = stated.or_else(sidecar.own_sidecar(path))
    if None in (settings.height, settings.width):
        settings = settings.or_else(sidecar.folder_sidecar(path))
    height, width, flip = settings.height, settings.width, settings.flip
    if height is None or width is None:
        raise MissingGeometryError.at(
            path,
            f"a .dat file has no header, so its height and width must be given. "
            f"{fitting_sizes(path, names_picture=True)} State it by --height and --width, or by "
            f"spike_h and spike_w in {sidecar.sidecar_path(path).name} or config.yaml.",
        )
    is_flipped, offset = flip is None or flip, settings.offset or 0
    stored = is_flipped, offset, settings.bit_order or "little"
    try:
        layout = DatLayout(height, width, settings.frame_align, settings.columns, *stored)
    except GeometryError as error:
        raise GeometryError.at(path, f"{error}. {fitting_sizes(path)}".strip()) from error
    return layout, settings


def _check_size(
    path: Path, recording: SpikeRecording, height: int | None, width: int | None
) -> None:
    _, rows, columns = recording.shape
    if height not in (None, rows) or width not in (None, columns):
        raise GeometryError.at(
            path,
            f"holds planes of {rows}x{columns}, not {height or rows}x{width or columns} "
            "as stated; omit height and width, the file states its size",
        )


def complete(recording: SpikeRecording, path: Path, kind: Format, settings: Sidecar) -> None:
    """Set attributes and metadata that the file does not state from its sidecar."""
    label, meta = recording.meta.get("label"), dict(settings.meta)
    if label is not None and meta.get("label", label) != label:
        meta.pop("label_name", None)  # the name of another class than that of the file
    recording.meta = meta | recording.meta
    recording.fps = recording.fps or settings.fps or 0.0
    recording.threshold = recording.threshold or settings.threshold
    recording.rate_scale = recording.rate_scale or settings.rate_scale
    if kind != "hdf5":
        recording.meta.setdefault("source", path.name)
        recording.meta.setdefault("source_format", kind)
        recording.meta.setdefault("source_flipped", False)


def _stated(name: str, value: float) -> float:
    number = positive_number(name, value)
    if number is None:
        raise UsageError(f"{name} must be a number > 0, got {value}")
    return number


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
        >>> path = write_recording(np.ones((4, 6, 8), bool), "clip.npz")
        >>> read_recording(path).shape
        (4, 6, 8)
    """
    path = Path(path)
    if path.suffix.lower() not in _FORMATS:
        raise UsageError(f"{path}: the suffix names no format of recordings; {_KNOWN}")
    kind = _FORMATS[path.suffix.lower()]
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
        text = sidecar.sidecar_text(path, recording, layout, overwrite=overwrite)
    else:
        sidecar.check_consistent(path, recording, layout)
    with new_file(path, overwrite=overwrite) as temporary:
        with temporary.open("wb") as stream:
            for block in stored_bytes(recording, layout):
                stream.write(block.data)  # the error of tofile does not state why a write failed
        if text is not None:
            with new_file(sidecar.sidecar_path(path), overwrite=overwrite) as part:
                part.write_text(text, encoding="utf-8")
