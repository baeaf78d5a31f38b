"""Lossless encoder and decoder of spike recordings (``.spl`` files).

Every spike is entropy coded with the probability predicted by an adaptive context model
(:mod:`spike_zoo.coding.spl.kernels`). Encoder and decoder adapt the model to the coded planes in
the same way, so it is not stored and needs no parameters of the camera. It codes any planes, also
noise and dead pixels; unpredictable spikes cost slightly more than one bit per pixel and plane.

Planes are coded in chunks with checksums of their bytes and of their planes. Decoding a chunk
requires the chunks before it, back to the last restart of the model. Memory is bounded for any
length: one chunk, the last decoded planes (32 bytes per pixel) and the model (36 bytes per pixel
and 9 MB).
"""

import struct
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from mmap import mmap
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spike_zoo.coding.chunks import MAX_PIXELS, Chunks, mapped_file, pack_chunk
from spike_zoo.coding.errors import BitstreamError, CorruptBitstreamError, DecodeMismatchError
from spike_zoo.coding.spl.header import HEADER_BYTES, LosslessHeader
from spike_zoo.coding.spl.spike_model import FiringModel, firing_model, reset
from spike_zoo.errors import GeometryError
from spike_zoo.spikes.packing import pack_bits, packed_width, unpack_bits
from spike_zoo.spikes.recording import PackedPlanes, Selection, SpikeRecording
from spike_zoo.utils.files import new_file

RESTART: Final = 1024
"""Approximate number of planes between restarts of the model, for random access."""
_KEPT: Final = 256  # last decoded planes in the cache, for windows that overlap
_SYMBOLS: Final = 1 << 22  # target of pixels times planes in a chunk
_FACTS: Final = ("fps", "threshold", "rate_scale", "cfa")  # attributes of recording and header
_PAYLOAD: Final = struct.Struct("<II")  # the checksum of the packed planes, the coder's state


def encode(planes: NDArray[Any], *, restart: int = RESTART) -> bytes:
    """Encode planes as a bitstream.

    Args:
        planes: ``(T, H, W)`` of zeros and ones.
        restart: Planes between restarts of the model, rounded to whole chunks.

    Example:
        >>> spikes = np.zeros((100, 20, 30), bool)
        >>> spikes[::4] = True  # every pixel fires on every fourth plane
        >>> data = encode(spikes)
        >>> len(data), np.array_equal(decode(data), spikes)
        (70, True)
    """
    recording = SpikeRecording.from_planes(planes)
    header = _header(recording, restart)
    return b"".join([header.pack(), *_chunks(recording, header)])


def decode(data: bytes) -> NDArray[np.bool_]:
    """Decode the planes ``(T, H, W)`` of a bitstream."""
    stored = LosslessPlanes(data)
    return unpack_bits(stored[0 : stored.shape[0]], stored.header.width)


def write(
    recording: SpikeRecording,
    path: str | Path,
    *,
    overwrite: bool = False,
    restart: int = RESTART,
    progress: Callable[[int, int], None] | None = None,
    chunks: Iterable[bytes] | None = None,
) -> Path:
    """Write a recording into a new ``.spl`` file, reading it chunk by chunk.

    Planes, ``fps``, ``threshold``, ``rate_scale`` and ``cfa`` are stored exactly; ``meta`` is
    not stored.

    Args:
        recording: The recording.
        path: The file, usually ``*.spl``.
        overwrite: Replace an existing file.
        restart: Planes between restarts of the model, rounded to whole chunks.
        progress: Called after each chunk with the number of coded planes and of all planes.
        chunks: The chunks of all segments in order, if :func:`segment` has already coded them.
    """
    header = _header(recording, restart)
    head = header.pack()
    path = Path(path)
    with new_file(path, overwrite=overwrite) as temporary, temporary.open("wb") as stream:
        stream.write(head)
        coded = _chunks(recording, header) if chunks is None else chunks
        for number, chunk in enumerate(coded, start=1):
            stream.write(chunk)
            if progress is not None:
                progress(min(number * header.depth, header.planes), header.planes)
    return path


def segments(recording: SpikeRecording) -> int:
    """Return the number of independently coded segments of a recording."""
    header = _header(recording, RESTART)
    return -(-header.chunks // header.restart)


def segment(recording: SpikeRecording, number: int) -> list[bytes]:
    """Encode one segment of a recording and return its chunks, for :func:`write`."""
    header = _header(recording, RESTART)
    first = number * header.restart
    return list(_chunks(recording, header, first, min(first + header.restart, header.chunks)))


def read(path: str | Path, *, progress: Callable[[int, int], None] | None = None) -> SpikeRecording:
    """Open a ``.spl`` file as a recording whose planes are decoded when they are read.

    Sequential reads, which start at most 256 planes before the end of the previous read, decode
    each plane once. Other reads decode from the last restart of the model, at most about 1000
    planes earlier.

    Args:
        path: The file.
        progress: Called after each chunk with the end of the decoded planes and the number of all
            planes.

    Raises:
        BitstreamError: If the file is not a ``.spl`` bitstream or is truncated. Other damage is
            detected when planes are read.
    """
    path = Path(path)
    stored = LosslessPlanes(mapped_file(path), str(path), progress)
    return _recording_of(stored, stored.header)


def salvage(
    path: str | Path, *, progress: Callable[[int, int], None] | None = None
) -> tuple[SpikeRecording, list[BitstreamError]]:
    """Open the intact planes of a ``.spl`` file as a recording without the lost planes.

    After a damaged chunk, no plane can be decoded up to the next restart of the model, about a
    thousand planes.

    Args:
        path: The file.
        progress: As for :func:`read`.

    Returns:
        The recording, and one error for each range of lost planes. ``meta["lost_planes"]`` lists
        the ranges.

    Raises:
        BitstreamError: If the header is damaged, or no plane is intact.
    """
    where = str(path)
    stored = LosslessPlanes(mapped_file(Path(path)), where, progress, strict=False)
    edges = [-1, *stored.numbers, stored.header.chunks]
    gaps = (range(before + 1, after) for before, after in pairwise(edges))
    lost = [stored.header.planes_of(gap) for gap in gaps if gap]
    errors: list[BitstreamError] = [
        CorruptBitstreamError(
            f"{where}: planes {planes.start} to {planes.stop - 1} of {stored.header.planes} are "
            "lost: they are damaged, or cannot be decoded without damaged planes before them",
            gop=planes.start // stored.header.depth,
            path=where,
        )
        for planes in lost
    ]
    if not stored.numbers:
        raise errors[0]
    ranges = ", ".join(f"{planes.start} to {planes.stop - 1}" for planes in lost)
    meta = {"lost_planes": ranges} if lost else None
    return _recording_of(stored, stored.header, meta), errors


def _recording_of(
    planes: PackedPlanes, header: LosslessHeader, meta: Mapping[str, Any] | None = None
) -> SpikeRecording:
    facts = {name: getattr(header, name) for name in _FACTS}
    return SpikeRecording(planes, header.width, meta=meta, **facts)


class LosslessPlanes:
    """Packed planes of a bitstream, decoded when they are read; thread-safe.

    Args:
        data: The bitstream.
        path: Name of the file, for errors.
        progress: As for :func:`read`.
        strict: Raise an error if the file's length is wrong. Otherwise omit the planes of damaged
            chunks, and of chunks after them up to the next restart of the model.

    Attributes:
        header: Header of the bitstream.
        errors: Errors of damaged chunks if ``strict`` is False.
        numbers: Numbers of the chunks whose planes can be decoded.
        shape: ``(T, H, ceil(W/8))``.
    """

    def __init__(
        self,
        data: bytes | mmap,
        path: str | None = None,
        progress: Callable[[int, int], None] | None = None,
        *,
        strict: bool = True,
    ) -> None:
        self.header = header = LosslessHeader.parse(data, path)
        self._path, self._progress = path, progress
        self._chunks = Chunks(data, HEADER_BYTES, header.chunks, path, name=header.name_of)
        self.errors = [] if strict else self._chunks.salvage()
        if strict:
            self._chunks.check_end()
        self.numbers: Sequence[int] = range(header.chunks) if strict else self._decodable()
        planes = sum(len(header.planes_of(range(n, n + 1))) for n in self.numbers[-1:])
        planes += header.depth * len(self.numbers[:-1])
        self.shape = planes, header.height, packed_width(header.width)
        self._model: FiringModel | None = None
        self._next = 0  # the chunk that the model can decode next
        self._latest: dict[int, NDArray[np.uint8]] = {}  # decoded chunks, the latest at the end
        self._lock = threading.Lock()

    def __getitem__(self, selection: Selection, /) -> NDArray[np.uint8]:
        """Decode planes ``[a, b)``; with three slices, only these rows and bytes."""
        planes, *within = selection if isinstance(selection, tuple) else (selection,)
        start, stop, step = planes.indices(self.shape[0])
        if step != 1:
            raise ValueError(f"planes are read with step 1, got step {step}")
        depth = self.header.depth
        part = np.broadcast_to(np.uint8(0), self.shape[1:])[tuple(within)].shape
        out = np.empty((max(stop - start, 0), *part), np.uint8)
        for index in range(start // depth, -(-stop // depth) if stop > start else 0):
            first = index * depth
            begin, end = max(start, first), min(stop, first + depth)
            with self._lock:
                packed = self._chunk(self.numbers[index])
            out[begin - start : end - start] = packed[(slice(begin - first, end - first), *within)]
        return out

    def _decodable(self) -> list[int]:
        """Return the numbers of intact chunks whose model does not need a damaged chunk."""
        numbers: list[int] = []
        for number in self._chunks:
            if number % self.header.restart == 0 or number - 1 in numbers[-1:]:
                numbers.append(number)
        return numbers

    def _chunk(self, number: int) -> NDArray[np.uint8]:
        """Return the packed planes of a chunk, decoding the chunks before it if required."""
        if number not in self._latest:
            restart = number - number % self.header.restart
            first = self._next if restart <= self._next <= number else restart
            for needed in range(first, number + 1):
                self._cache(needed, self._decode_next(needed))
        return self._latest[number]

    def _cache(self, number: int, packed: NDArray[np.uint8]) -> None:
        """Store a decoded chunk, drop the oldest one, and report the progress."""
        self._latest.pop(number, None)
        self._latest[number] = packed
        if len(self._latest) > 1 + -(-_KEPT // self.header.depth):
            del self._latest[next(iter(self._latest))]
        if self._progress is not None:
            planes = self.header.planes
            self._progress(min((number + 1) * self.header.depth, planes), planes)

    def _decode_next(self, number: int) -> NDArray[np.uint8]:
        """Decode the chunk after the last decoded one, or a chunk at which the model restarts."""
        from spike_zoo.coding.spl import kernels as lossless_kernels

        payload = self._chunks.payload(number)
        checksum, state = _PAYLOAD.unpack_from(payload)
        words = np.frombuffer(payload, "<u2", offset=_PAYLOAD.size).astype(np.uint16)
        chunk = range(number, number + 1)
        size = len(self.header.planes_of(chunk)), self.header.height, self.header.width
        planes = np.empty(size, np.uint8)
        self._model = _model_for(number, self.header, self._model)
        self._next = 0  # the model is invalid if decoding fails
        rest, used = lossless_kernels.decode(self._model, words, state, planes)
        is_complete = (rest, used) == (lossless_kernels.FIRST_STATE, words.size)
        packed = pack_bits(planes) if is_complete else None  # else planes may be uninitialised
        if packed is None or zlib.crc32(packed.tobytes()) != checksum:
            raise DecodeMismatchError(
                f"{self._path or 'the bitstream'}: {self.header.name_of(chunk)} are not those that "
                "were coded; code the recording again with this version",
                gop=number,
                path=self._path,
            )
        self._next = number + 1
        return packed


def _header(recording: SpikeRecording, restart: int) -> LosslessHeader:
    if restart < 1:
        raise ValueError(f"restart must be at least 1 plane, got {restart}")
    planes, height, width = recording.shape
    if height * width > MAX_PIXELS:
        raise GeometryError(
            f"planes of {width} x {height} pixels (W x H) are not coded, at most {MAX_PIXELS} are; "
            "keep the recording in an archive"
        )
    depth = min(max(1, _SYMBOLS // (height * width)), restart, planes)
    return LosslessHeader(
        *(planes, height, width, depth, max(1, restart // depth)),
        **{name: getattr(recording, name) for name in _FACTS},
    )


def _chunks(
    recording: SpikeRecording, header: LosslessHeader, start: int = 0, stop: int | None = None
) -> Iterator[bytes]:
    """Encode and yield chunks ``[start, stop)`` of a recording; ``start`` must be a restart."""
    from spike_zoo.coding.spl import kernels as lossless_kernels

    model: FiringModel | None = None
    for number in range(start, header.chunks if stop is None else stop):
        first = number * header.depth
        packed = recording.read_packed(first, min(first + header.depth, header.planes))
        planes = unpack_bits(packed, header.width).view(np.uint8)
        model = _model_for(number, header, model)
        probabilities = np.empty(planes.size, np.uint16)
        words = np.empty(planes.size, np.uint16)
        lossless_kernels.predict(model, planes, probabilities)
        state, free = lossless_kernels.encode(planes.reshape(-1), probabilities, words)
        head = _PAYLOAD.pack(zlib.crc32(pack_bits(planes).tobytes()), state)
        yield pack_chunk(number, head + words[free:].astype("<u2").tobytes())


def _model_for(number: int, header: LosslessHeader, model: FiringModel | None) -> FiringModel:
    """Return the model for a chunk, reset if the chunk is a restart."""
    if model is None:
        return firing_model(header.height, header.width)
    if number % header.restart == 0:
        reset(model)
    return model
