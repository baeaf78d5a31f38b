"""Reading of recordings in all file formats."""

from __future__ import annotations

import contextlib
import stat
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Final, Literal

from spike_zoo.coding.errors import BitstreamError
from spike_zoo.coding.spl import codec as lossless
from spike_zoo.coding.spl.header import HEADER_BYTES, LosslessHeader, has_lossless_magic
from spike_zoo.errors import (
    FormatError,
    GeometryError,
    MissingFileError,
    MissingGeometryError,
    RecordingError,
    UsageError,
)
from spike_zoo.formats import arrays
from spike_zoo.formats.camera import attach_maps
from spike_zoo.formats.dat import DatLayout, dat_recording, open_dat
from spike_zoo.formats.dat_content import warn_of_content
from spike_zoo.formats.dat_sizes import fitting_sizes
from spike_zoo.formats.remote import local_path
from spike_zoo.formats.sidecar import RecordingSettings, sidecar_path
from spike_zoo.spikes.cfa import Cfa
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.spikes.windows import check_span

Format = Literal["dat", "npz", "npy", "hdf5", "spl"]

FORMATS: dict[str, Format] = {
    **{".dat": "dat", ".npz": "npz", ".npy": "npy"},
    **{".h5": "hdf5", ".hdf5": "hdf5", ".spl": "spl"},
}
RECORDING_SUFFIXES: Final = tuple(FORMATS)
"""Suffixes of files that can be read and written as a recording."""
ARCHIVE_SUFFIXES: Final = tuple(end for end, kind in FORMATS.items() if kind == "hdf5")
"""Suffixes of archives, which may contain several recordings with images and labels."""
_ONLY_DAT = ("frame_align", "columns", "offset", "bit_order")
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
KNOWN_FORMATS = "known are .dat (raw bits), .npz, .npy (numpy), .h5 (archive) and .spl (lossless)"


def detect_format(path: str | Path) -> Format:
    """Detect the format of a recording from its first bytes and its suffix.

    Raises:
        MissingFileError: If the file does not exist.
        FormatError: If the path is not a regular file, the file is empty, the format is unknown,
            or the suffix does not match the content.
    """
    return _format_of(local_path(path))


def _format_of(path: Path) -> Format:
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
    by_suffix, by_content = FORMATS.get(path.suffix.lower()), _format_by_content(path)
    if by_suffix is None and by_content is None:
        raise FormatError.at(
            path, f"unknown format; a file of raw bits: name it X.dat; {KNOWN_FORMATS}"
        )
    if by_content is None and by_suffix != "dat":
        raise FormatError.at(
            path,
            f"the suffix is that of {by_suffix}, but the content is not {by_suffix} (damaged, or "
            f"raw bits that should be named .dat); {KNOWN_FORMATS}",
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


@dataclass(frozen=True)
class RecordingSource:
    """Planes ``[start, stop)`` of a recording by its path, so that other processes can open it."""

    path: str | Path  #: file, or its address
    name: str | None = None  #: recording in an archive, or array in a file
    user_settings: RecordingSettings = field(default_factory=RecordingSettings)
    start: int = 0
    stop: int | None = None
    planes: int | None = None  #: expected number

    @property
    def label(self) -> str:
        """File and name of the recording, for messages."""
        return " ".join(filter(None, (str(self.path), self.name)))

    def unchanged(self, recording: SpikeRecording) -> RecordingSource:
        """Return this source, which then raises RecordingError if the number of planes changes."""
        return replace(self, planes=len(recording))

    def open(self, *, check_rows: bool = False) -> SpikeRecording:
        """Return the recording; arguments and errors are those of :func:`read_recording`."""
        path, user_settings = local_path(self.path), self.user_settings
        kind = _format_of(path)
        if kind in ("dat", "npy", "spl") and self.name is not None:
            raise UsageError(
                f"{path}: a .{kind} holds one recording, it has none named {self.name!r}"
            )
        settings = user_settings.for_file(path, is_dat=kind == "dat")
        if kind == "dat":
            layout = dat_layout(path, settings)
            planes = open_dat(path, layout, allow_partial=user_settings.allow_partial)
            if check_rows:
                warn_of_content(planes, may_be_rolled=settings.offset != 0)
            recording = dat_recording(planes)
        else:
            recording = _read_self_described(path, kind, self.name)
            _check_self_described(path, kind, user_settings, recording)
        complete(recording, path, kind, user_settings, settings)
        if (self.start, self.stop) != (0, None):
            check_span(self.label, len(recording), self.start, self.stop)
            recording = recording.between(self.start, self.stop)
        if self.planes not in (None, len(recording)):
            raise RecordingError.at(
                path,
                f"has {len(recording)} planes, and had {self.planes} when the command started: it "
                "is still being written, or was replaced. Repeat the command when it is complete",
            )
        return recording


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
    (``<file>.yaml``; for a ``.dat`` whose size neither states, also SpikeCV's ``config.yaml`` up to
    five folders above).

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
        check_rows: Warn if the size, bit order or offset of a ``.dat`` do not fit its pixels. An
            offset stated as 0 is not checked. Reads up to 256 planes.
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
    ranges = None if columns is None else tuple((a, b) for a, b in columns)
    bits = flip, mirror, rotate, offset, bit_order, allow_partial
    user_settings = RecordingSettings(
        height, width, ranges, frame_align, *bits, camera, cfa, fps, rate_scale=rate_scale
    )
    return RecordingSource(path, name, user_settings).open(check_rows=check_rows)


def _read_self_described(path: Path, kind: Format, name: str | None) -> SpikeRecording:
    if kind == "hdf5":
        from spike_zoo.formats.hdf5_recording import read_h5

        return read_h5(path, name)
    if kind == "npz":
        return arrays.read_npz(path, name)
    return arrays.read_npy(path) if kind == "npy" else lossless.read(path)


def dat_layout(path: Path, settings: RecordingSettings) -> DatLayout:
    """Return the layout of a ``.dat`` file or of a pipe with its content.

    The file is read only to list sizes that fit.
    """
    height, width, flip = settings.height, settings.width, settings.flip
    if height is None or width is None:
        raise MissingGeometryError.at(
            path,
            f"a .dat file has no header. State its size by --height and --width, or by spike_h and "
            f"spike_w in {sidecar_path(path).name} or config.yaml. "
            f"{fitting_sizes(path, names_image=True)}".rstrip(),
        )
    stored = flip is None or flip, settings.offset or 0, settings.bit_order or "little"
    turns = bool(settings.mirror), settings.rotate or 0
    try:
        return DatLayout(height, width, settings.frame_align, settings.columns, *stored, *turns)
    except GeometryError as error:
        raise GeometryError.at(path, f"{error}. {fitting_sizes(path)}".strip()) from error


def _check_self_described(
    path: Path, kind: Format, user_settings: RecordingSettings, recording: SpikeRecording
) -> None:
    """Raise if settings of ``.dat`` files are stated, or another size than that of the file."""
    if any(getattr(user_settings, name) is not None for name in _ONLY_DAT):
        raise UsageError(f"{path}: {', '.join(_ONLY_DAT)} are for .dat, this is {kind}")
    if user_settings.mirror or user_settings.rotate:
        raise UsageError(f"{path}: --mirror and --rotate are for .dat, this is {kind}")
    _, rows, columns = recording.shape
    height, width = user_settings.height or rows, user_settings.width or columns
    if (height, width) != (rows, columns):
        raise GeometryError.at(
            path,
            f"holds planes of {rows}x{columns}, not {height}x{width} as stated; omit height and "
            "width, the file states its size",
        )


def complete(
    recording: SpikeRecording,
    path: Path,
    kind: Format,
    user_settings: RecordingSettings,
    settings: RecordingSettings,
) -> None:
    """Set attributes to the user's settings, and missing ones to those of the sidecars."""
    label, meta = recording.meta.get("label"), dict(settings.meta)
    if label is not None and meta.get("label", label) != label:
        meta.pop("label_name", None)  # the name of another class than that of the file
    recording.meta = meta | recording.meta
    recording.fps = user_settings.fps or recording.fps or settings.fps or 0.0
    recording.threshold = recording.threshold or settings.threshold
    recording.rate_scale = user_settings.rate_scale or recording.rate_scale or settings.rate_scale
    known = recording.meta.get("cfa")
    if user_settings.cfa is not None and known not in (None, user_settings.cfa):
        warnings.warn(
            f"{path}: its layout of colour filters is {known}; {user_settings.cfa} is used "
            "instead, as stated",
            stacklevel=4,
        )
    if settings.cfa is not None and (known is None or user_settings.cfa is not None):
        recording.cfa = settings.cfa
    if kind != "hdf5":
        recording.meta.setdefault("source", path.name)
        recording.meta.setdefault("source_format", kind)
        recording.meta.setdefault("source_flipped", False)
    if settings.camera is not None:
        attach_maps(recording, settings.camera, path)
