"""What lossless compression leaves of spikes: the rates that lossy coding has to be far below."""

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
    """Spikes as bytes that give back every one of them; the size of recordings is not counted.

    Args:
        coder: ``"raw"``: bit-packed without gaps, 1 bit per pixel and plane by definition.
            ``"zstd"``: packed along time, see :func:`packed_in_time`, then Zstandard at level 19.
            ``"blosc"``: packed so too, then Blosc with Zstandard at its highest level, with the one
            of its filters that leaves least.
            ``"context"``: this project's own, :mod:`spike_zoo.coding.spl.codec`, a complete file.

    Raises:
        ConfigError: If there is no such coder, or its library is not installed.
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
        """Look for the library before anything is computed."""
        if self.coder in ("zstd", "blosc"):
            _filters()
        super().setup(stage)

    def compress(self, prepared: CodedScene, point: int) -> Compressed:
        """Return the spikes of a recording as bytes."""
        coded = coded_spikes(prepared.spikes.cpu().numpy(), self.coder)
        return Compressed(len(coded), coded)


def packed_in_time(spikes: NDArray[Any]) -> NDArray[np.uint8]:
    """Return spikes with the planes of a pixel beside each other, eight in a byte.

    A pixel that fires evenly repeats itself along time and along nothing else, so that a coder of
    bytes needs half of what it does for rows of pixels.

    Args:
        spikes: ``(T, H, W)``, 0 or 1.

    Returns:
        ``(H, W, ceil(T / 8))``, the first plane in the lowest bit.
    """
    along = np.ascontiguousarray(np.moveaxis(spikes.astype(bool), 0, -1))
    return np.packbits(along, axis=-1, bitorder="little")


def coded_spikes(spikes: NDArray[Any], coder: Coder) -> bytes:
    """Return spikes ``(T, H, W)`` as the bytes of a lossless coder, see :class:`LosslessModule`.

    Raises:
        ConfigError: If the coder's library is not installed.
    """
    if coder == "raw":
        return np.packbits(spikes.astype(bool), bitorder="little").tobytes()
    if coder == "context":
        return lossless.encode(spikes.astype(bool))
    packed = packed_in_time(spikes)
    pixels = packed.view(f"V{packed.shape[-1]}")[..., 0]  # the filters see what belongs to a pixel
    if coder == "zstd":
        return _chunk(pixels, _filters().Zstd(clevel=ZSTD_LEVEL))
    filters = _filters()
    made = (
        _chunk(pixels, filters.Blosc(cname="zstd", clevel=BLOSC_LEVEL, shuffle=number))
        for number in range(BLOSC_FILTERS)
    )
    return min(made, key=len)


def _chunk(pixels: NDArray[Any], options: Any) -> bytes:  # noqa: ANN401  (h5py's keywords)
    """Return what HDF5 would store: one chunk through one filter, in memory."""
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
