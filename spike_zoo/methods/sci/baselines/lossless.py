"""Baselines of lossless compression: upper bounds for the rates of lossy coding."""

from __future__ import annotations

from typing import Any, Literal, get_args

import h5py
import numpy as np
from numpy.typing import NDArray

from spike_zoo.coding.spl import codec as lossless
from spike_zoo.errors import ConfigError
from spike_zoo.tasks.coding import CodedScene, CodingModule, Compressed

Coder = Literal["raw", "zstd", "blosc", "context"]
ZSTD_LEVEL = 19
BLOSC_LEVEL = 9
BLOSC_FILTERS = 3  # none, by byte, by bit
_NAME = "spikes"


class LosslessModule(CodingModule):
    """Compress spikes without loss. Only ``"context"`` includes a file header.

    Args:
        coder: ``"raw"``: packed bits, by definition 1 bit per pixel and plane.
            ``"zstd"``: bits packed along time, see :func:`packed_in_time`, and Zstandard at level
            19.
            ``"blosc"``: bits packed along time, and Blosc with Zstandard at its highest level, with
            the filter that yields the smallest size.
            ``"context"``: complete files of :mod:`spike_zoo.coding.spl.codec`.
    """

    makes_images = False

    def __init__(self, coder: Coder = "zstd") -> None:
        super().__init__()
        if coder not in get_args(Coder):
            raise ConfigError(f"coder: one of {', '.join(get_args(Coder))}, got {coder!r}")
        self.save_hyperparameters()
        self.coder = coder
        self.rate_points = (coder,)

    def setup(self, stage: str) -> None:
        """Check that the library is installed, and check the data."""
        if self.coder in ("zstd", "blosc"):
            _filters()
        super().setup(stage)

    def compress(self, prepared: CodedScene, point: int) -> Compressed:
        """Compress the spikes of a recording."""
        coded = coded_spikes(prepared.spikes.cpu().numpy(), self.coder)
        return Compressed(len(coded), coded)


def packed_in_time(spikes: NDArray[Any]) -> NDArray[np.uint8]:
    """Pack spikes along time, eight planes of a pixel per byte.

    Pixels that fire regularly repeat along time only: byte coders need half of the bytes that they
    need for bits packed along rows.

    Args:
        spikes: ``(T, H, W)``, 0 or 1.

    Returns:
        ``(H, W, ceil(T / 8))``, the first plane in the lowest bit.
    """
    along = np.ascontiguousarray(np.moveaxis(spikes.astype(bool), 0, -1))
    return np.packbits(along, axis=-1, bitorder="little")


def coded_spikes(spikes: NDArray[Any], coder: Coder) -> bytes:
    """Compress spikes ``(T, H, W)`` by a coder of :class:`LosslessModule`."""
    if coder == "raw":
        return np.packbits(spikes.astype(bool), bitorder="little").tobytes()
    if coder == "context":
        return lossless.encode(spikes.astype(bool))
    packed = packed_in_time(spikes)
    pixels = packed.view(f"V{packed.shape[-1]}")[..., 0]  # the filters shuffle items: pixels
    if coder == "zstd":
        return _chunk(pixels, _filters().Zstd(clevel=ZSTD_LEVEL))
    filters = _filters()
    chunks = (
        _chunk(pixels, filters.Blosc(cname="zstd", clevel=BLOSC_LEVEL, shuffle=number))
        for number in range(BLOSC_FILTERS)
    )
    return min(chunks, key=len)


def _chunk(pixels: NDArray[Any], options: Any) -> bytes:  # noqa: ANN401  (h5py's keywords)
    """Return the bytes that HDF5 stores for one chunk with a filter; the file is in memory."""
    with h5py.File(_NAME, "w", driver="core", backing_store=False) as file:
        stored = file.create_dataset(_NAME, data=pixels, chunks=pixels.shape, **options)
        return bytes(stored.id.read_direct_chunk((0,) * pixels.ndim)[1])


def _filters() -> Any:  # noqa: ANN401  (the library has no hints)
    try:
        import hdf5plugin
    except ImportError as error:
        raise ConfigError(
            "coder: zstd and blosc need hdf5plugin: pip install 'spike-zoo[cold]'"
        ) from error
    return hdf5plugin
