"""Spike recording in memory or on disk, stored packed and read by ranges of planes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import DTypeLike, NDArray

from spike_zoo.errors import FormatError, GeometryError, PlaneRangeError, UsageError
from spike_zoo.spikes.cfa import LAYOUTS, Cfa, check_cfa
from spike_zoo.spikes.packing import pack_bits, packed_width, unpack_bits
from spike_zoo.spikes.pixel_maps import PixelMaps

if TYPE_CHECKING:
    import torch
    from torch import Tensor


Selection: TypeAlias = "slice | tuple[slice, slice, slice]"  # planes, or planes, rows, bytes


_CLOSE = 4  # largest distance of planes that are read as one range


@runtime_checkable
class PackedPlanes(Protocol):
    """Source of packed planes: an array, a memory map or a data set in an archive."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(T, H, ceil(W/8))``."""

    def __getitem__(self, selection: Selection, /) -> NDArray[np.uint8]:
        """Read only planes ``[a, b)``, as uint8 ``(b - a, H, ceil(W/8))``.

        With three slices, read only these rows and bytes of a row.
        """


def chosen_planes(chosen: object, count: int) -> NDArray[np.intp]:
    """Return the plane numbers selected by an index as in numpy.

    Args:
        chosen: A number, a slice, a sequence of numbers (negative ones count from the end), or a
            mask.
        count: Number of planes.

    Raises:
        PlaneRangeError: If a number is out of range, or a mask has another length.
        TypeError: If the index has another type.
    """
    if isinstance(chosen, slice):
        return np.arange(count)[chosen]
    planes = np.asarray(chosen)
    if planes.dtype == bool and planes.ndim:
        if planes.shape != (count,):
            raise PlaneRangeError(
                f"a mask of shape {planes.shape} cannot select from {count} planes: expected "
                f"shape ({count},); to apply a mask of pixels, use recording[:][mask]"
            )
        return np.flatnonzero(planes)
    if planes.size and planes.dtype.kind not in "iu":
        raise TypeError(
            f"planes are selected by number, slice, list or mask, not by {chosen!r}: recording[5], "
            "recording[10:20], recording[[1, 2]]; recording[:] is the whole array"
        )
    planes = planes.astype(np.intp)
    outside = planes[(planes < -count) | (planes >= count)]
    if outside.size:
        raise PlaneRangeError(
            f"plane {outside.flat[0]} is out of range: the recording has planes 0..{count - 1}, "
            f"from the end -1..-{count}"
        )
    return planes % count


def check_recording(value: object) -> None:
    """Raise UsageError if a value is no :class:`SpikeRecording`; it states how to make one."""
    if isinstance(value, SpikeRecording):
        return
    if isinstance(value, str | PurePath):
        way = f"read it first: spike_zoo.read_recording({str(value)!r})"
    elif hasattr(value, "shape"):
        way = (
            "pack its planes, (planes, height, width) of zeros and ones, first: "
            "spike_zoo.SpikeRecording.from_planes(array, rate_scale=R)"
        )
    else:
        way = "spike_zoo.read_recording(path) returns one"
    raise UsageError(f"expected a SpikeRecording, got {type(value).__name__}: {way}")


def stated_cfa(recording: SpikeRecording) -> Cfa:
    """Return the layout of a recording's Bayer filters; raise UsageError if it states none."""
    cfa = recording.cfa
    if cfa is None:
        name = recording.meta.get("name", recording.meta.get("source", "the recording"))
        raise UsageError(
            f"{name}: colour needs the layout of the sensor's Bayer filters, which is not stated: "
            f"--cfa {', '.join(LAYOUTS[:-1])} or {LAYOUTS[-1]}, of the upright image"
        )
    return cfa


def positive_number(name: str, value: object) -> float | None:
    """Return ``value`` as a finite float > 0 (for ``fps`` also 0); None if it is invalid."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value) if value > 0 or (value == 0 and name == "fps") else None


class SpikeRecording:
    """One take of a spike camera.

    Args:
        packed: uint8 ``(T, H, ceil(W/8))``, little bit order along W, top row first: an array, or
            an object that reads ranges of planes on demand (:class:`PackedPlanes`).
        width: Number of columns W.
        fps: Planes per second; 0 if unknown.
        threshold: Charge at which a pixel fires, in the camera's units.
        rate_scale: Spikes per plane at white; an image is the firing rate divided by it.
        cfa: Layout of the sensor's Bayer filters, one of :data:`LAYOUTS`; None without filters.
            Stored in ``meta``.
        meta: Further metadata.
        maps: Maps of the camera, which methods apply to firing rates; None without calibration.

    Raises:
        GeometryError: If the shape of ``packed`` does not fit ``width``, or maps have another size.
        UsageError: If the layout is invalid.

    Example:
        >>> recording = SpikeRecording.from_planes(np.ones((4, 2, 9), bool), fps=20000)
        >>> recording
        SpikeRecording(4x2x9, fps=20000)
        >>> recording[1:3].shape, recording.packed.shape
        ((2, 2, 9), (4, 2, 2))
        >>> recording[-1].shape, recording[2:400].shape, recording[[0, 3]].shape
        ((2, 9), (2, 2, 9), (2, 2, 9))
    """

    def __init__(
        self,
        packed: PackedPlanes,
        width: int,
        *,
        fps: float = 0.0,
        threshold: float | None = None,
        rate_scale: float | None = None,
        cfa: Cfa | None = None,
        meta: Mapping[str, Any] | None = None,
        maps: PixelMaps | None = None,
    ) -> None:
        if isinstance(packed, np.ndarray) and packed.dtype != np.uint8:
            raise GeometryError(f"packed planes must be bytes (uint8), got {packed.dtype}")
        shape = tuple(packed.shape)
        if len(shape) != 3 or min(shape) < 1 or width < 1 or shape[2] != packed_width(width):
            raise GeometryError(
                f"packed planes of shape {shape} cannot hold rows of {width} pixels: expected "
                f"(planes, height, {packed_width(max(width, 1))}), each at least 1"
            )
        self._planes = packed
        self._width = width
        self.fps = float(fps or 0)
        self.threshold = None if threshold is None else float(threshold)
        self.rate_scale = None if rate_scale is None else float(rate_scale)
        self.meta: dict[str, Any] = dict(meta or {})
        if cfa is not None:
            self.cfa = cfa
        self.maps = maps

    @classmethod
    def from_planes(cls, spikes: NDArray[Any], **attributes: Any) -> Self:
        """Pack planes ``(T, H, W)`` of zeros and ones into a recording.

        Raises:
            GeometryError: If the array is not 3-D.
            ValueError: If a value is neither 0 nor 1.
        """
        if spikes.ndim != 3:
            raise GeometryError(f"spikes must be (planes, height, width), got {spikes.shape}")
        return cls(pack_bits(spikes), spikes.shape[2], **attributes)

    @property
    def cfa(self) -> Cfa | None:
        """Layout of the Bayer filters of the upright image; None if grey.

        Raises:
            FormatError: If the layout in the metadata of the file is invalid.
        """
        layout = self.meta.get("cfa")
        try:
            return None if layout is None else check_cfa(layout)
        except UsageError as error:
            source = self.meta.get("source", "the recording")
            raise FormatError.at(source, f"{error}") from error

    @cfa.setter
    def cfa(self, cfa: Cfa | None) -> None:
        if cfa is None:
            self.meta.pop("cfa", None)
        else:
            self.meta["cfa"] = check_cfa(cfa)

    @property
    def maps(self) -> PixelMaps | None:
        """Maps of the camera's gain, dark spikes and defects; None without calibration."""
        return self._maps

    @maps.setter
    def maps(self, maps: PixelMaps | None) -> None:
        if maps is not None and maps.gain.shape != self.shape[1:]:
            size, own = ("x".join(map(str, sides)) for sides in (maps.gain.shape, self.shape[1:]))
            raise GeometryError(
                f"maps of {size} pixels do not fit planes of {own}: calibrate recordings of the "
                "same size"
            )
        self._maps = maps

    def corrected(self, rates: Tensor) -> Tensor:
        """Apply the maps of the camera to rates ``(..., H, W)``; without maps return them as is."""
        if self.maps is None:
            return rates
        return self.maps.correct(rates, distance=1 if self.cfa is None else 2)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Planes, height and width ``(T, H, W)``."""
        planes, height, _ = self._planes.shape
        return planes, height, self._width

    @property
    def packed(self) -> NDArray[np.uint8]:
        """All planes, packed ``(T, H, ceil(W/8))``; memory-mapped planes are not read."""
        if isinstance(self._planes, np.ndarray):
            return self._planes
        mapped = getattr(self._planes, "mapped", None)  # files whose bytes are packed planes
        return self._planes[0 : len(self)] if mapped is None else mapped

    def read_packed(
        self,
        start: int = 0,
        stop: int | None = None,
        *,
        rows: slice = slice(None),
        byte_columns: slice = slice(None),
    ) -> NDArray[np.uint8]:
        """Read planes ``[start, stop)`` packed, without reading others.

        Args:
            start: First plane.
            stop: Plane after the last; None reads to the end.
            rows: Rows to read, clipped like Python slices.
            byte_columns: Bytes of each row to read: byte b contains columns ``8 b .. 8 b + 7``.

        Raises:
            PlaneRangeError: If the range exceeds the recording.
        """
        stop = self._checked_stop(start, stop)
        return np.asarray(self._planes[start:stop, rows, byte_columns])

    def read(self, start: int = 0, stop: int | None = None) -> NDArray[np.bool_]:
        """Read planes ``[start, stop)`` as bool ``(stop - start, H, W)``."""
        unpacked = getattr(self._planes, "unpacked", None)  # of a .dat
        if unpacked is None:
            return unpack_bits(self.read_packed(start, stop), self._width)
        planes: NDArray[np.bool_] = unpacked(start, self._checked_stop(start, stop))
        return planes

    def between(self, start: int = 0, stop: int | None = None) -> Self:
        """Return planes ``[start, stop)`` as a recording in memory; for all planes, this one.

        Raises:
            PlaneRangeError: If the range exceeds the recording or is empty.
        """
        if start == 0 and stop in (None, len(self)):
            return self
        stop = self._checked_stop(start, stop)
        if start == stop:
            raise PlaneRangeError(
                f"planes {start}..{stop} (first, past the last) are empty: start must be below "
                f"stop, and stop at most {len(self)}"
            )
        facts = ("fps", "threshold", "rate_scale", "meta", "maps")
        attributes: dict[str, Any] = {name: getattr(self, name) for name in facts}
        return type(self)(self.read_packed(start, stop), self._width, **attributes)

    def _checked_stop(self, start: int, stop: int | None) -> int:
        stop = len(self) if stop is None else stop
        if not 0 <= start <= stop <= len(self):
            raise PlaneRangeError(
                f"planes {start}..{stop} (first, past the last) are out of range: the recording "
                f"has planes 0..{len(self) - 1}"
            )
        return stop

    def to_tensor(
        self, start: int = 0, stop: int | None = None, dtype: torch.dtype | None = None
    ) -> Tensor:
        """Read planes ``[start, stop)`` as a tensor ``(stop - start, H, W)``; default float32."""
        import torch

        return torch.from_numpy(self.read(start, stop)).to(dtype or torch.float32)

    def __len__(self) -> int:
        return self._planes.shape[0]

    def __getitem__(self, selection: Any, /) -> NDArray[np.bool_]:  # noqa: ANN401  (numpy's kinds)
        """Index as numpy indexes the bool array ``(T, H, W)``, reading only the selected planes.

        ``[-1]`` is the last plane, ``[290:400]`` is clipped at the end of the recording,
        ``[[1, 2]]`` is a list or a mask of planes. Rows and columns may follow:
        ``[5, 10:20, ::2]``.

        Raises:
            PlaneRangeError: If a plane is out of range; also an ``IndexError``.
            TypeError: If the index has another type.
        """
        first, *rest = selection if isinstance(selection, tuple) and selection else (selection,)
        if first is Ellipsis or isinstance(first, tuple):
            return self.read()[selection]
        if isinstance(first, slice) and first.step in (None, 1):
            start, stop, _ = first.indices(len(self))
            return self.read(start, max(start, stop))[(slice(None), *rest)]
        planes = chosen_planes(first, len(self))
        unique, indices = np.unique(planes, return_inverse=True)
        read = np.concatenate([*self._read_some(unique)] or [self.read(0, 0)])
        one = indices.reshape(planes.shape) if planes.ndim else int(indices.item())
        return read[(one, *rest)]

    def _read_some(self, planes: NDArray[np.intp]) -> Iterator[NDArray[np.bool_]]:
        """Yield planes given in rising order; close planes are read as one range."""
        for run in np.split(planes, np.flatnonzero(np.diff(planes) > _CLOSE) + 1):
            if run.size:
                yield self.read(int(run[0]), int(run[-1]) + 1)[run - run[0]]

    def __iter__(self) -> Iterator[NDArray[np.bool_]]:
        for plane in range(len(self)):
            yield self.read(plane, plane + 1)[0]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("the planes of a recording are packed: reading them makes a copy")
        return self.read() if dtype is None else self.read().astype(dtype)

    def __repr__(self) -> str:
        facts = {"fps": self.fps or None, "rate_scale": self.rate_scale}
        extra = "".join(f", {name}={value:g}" for name, value in facts.items() if value is not None)
        return f"SpikeRecording({'x'.join(map(str, self.shape))}{extra})"
