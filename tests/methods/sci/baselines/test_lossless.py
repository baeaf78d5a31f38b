"""Lossless rows: every spike comes back, and rates are those of closed forms."""

from __future__ import annotations

import lzma
import sys
from typing import Any, get_args

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from spike_zoo.coding.spl import codec as lossless
from spike_zoo.errors import ConfigError
from spike_zoo.methods.sci import LosslessModule
from spike_zoo.methods.sci.baselines.lossless import Coder, coded_spikes, packed_in_time
from spike_zoo.spikes.packing import pack_bits

CODERS: tuple[Coder, ...] = get_args(Coder)


def even_spikes(planes: int, height: int, width: int) -> NDArray[np.bool_]:
    """Return spikes of pixels that fire evenly, each at a rate and a time of its own."""
    rates, starts = np.random.default_rng(0).random((2, height, width))
    charge = starts + np.arange(planes + 1)[:, None, None] * (0.1 + 0.4 * rates)
    return np.diff(np.floor(charge), axis=0) > 0


def decoded(coded: bytes, coder: Coder, shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Read the bytes of a coder back, those of others through HDF5's filters."""
    planes, height, width = shape
    if coder == "context":
        return lossless.decode(coded)
    if coder == "raw":
        bits = np.unpackbits(np.frombuffer(coded, np.uint8), bitorder="little")
        return bits[: planes * height * width].reshape(shape).astype(bool)
    depth = -(-planes // 8)
    packed = np.frombuffer(coded, np.uint8)
    if len(coded) != height * width * depth:  # HDF5 leaves out a filter that gains nothing
        packed = unfiltered(coded, coder, (height, width), depth)
    packed = packed.reshape(height, width, depth)
    bits = np.unpackbits(packed, axis=-1, bitorder="little")[..., :planes]
    return np.moveaxis(bits, -1, 0).astype(bool)


def unfiltered(coded: bytes, coder: Coder, size: tuple[int, int], depth: int) -> NDArray[np.uint8]:
    import hdf5plugin

    options = {"zstd": hdf5plugin.Zstd, "blosc": hdf5plugin.Blosc}[coder]()
    with h5py.File("read", "w", driver="core", backing_store=False) as file:
        kept = file.create_dataset("x", size, f"V{depth}", chunks=size, **options)
        kept.id.write_direct_chunk((0, 0), coded)
        pixels: NDArray[np.uint8] = kept[()].view(np.uint8)
    return pixels


@pytest.mark.parametrize("coder", CODERS)
@pytest.mark.parametrize("shape", [(41, 16, 24), (8, 5, 7), (13, 33, 20)])
def test_every_spike_comes_back(coder: Coder, shape: tuple[int, int, int]) -> None:
    spikes = even_spikes(*shape)
    np.testing.assert_array_equal(decoded(coded_spikes(spikes, coder), coder, shape), spikes)


@pytest.mark.parametrize("shape", [(41, 16, 24), (41, 5, 7)])
def test_raw_spikes_have_one_bit_whatever_their_size(shape: tuple[int, int, int]) -> None:
    assert len(coded_spikes(even_spikes(*shape), "raw")) == -(-np.prod(shape) // 8)


def test_planes_of_a_pixel_lie_in_one_byte_the_first_lowest() -> None:
    spikes = np.zeros((9, 2, 3), bool)
    spikes[[0, 3, 8], 1, 2] = True
    packed = packed_in_time(spikes)
    assert packed.shape == (2, 3, 2)
    assert packed[1, 2].tolist() == [1 + 8, 1]
    assert packed.sum() == 10


@pytest.mark.parametrize("coder", ["zstd", "blosc"])
def test_spikes_repeat_along_time_and_so_take_half_of_rows_of_pixels(coder: Coder) -> None:
    spikes = even_spikes(96, 64, 64)
    along_time = len(coded_spikes(spikes, coder))
    along_rows = len(lzma.compress(pack_bits(spikes).tobytes()))  # a stronger coder than both
    assert along_time < along_rows / 1.5
    assert along_time < spikes.size / 8 / 1.8


def test_contexts_leave_a_tenth_less_than_zstandard() -> None:
    spikes = even_spikes(161, 96, 96)
    assert len(coded_spikes(spikes, "context")) <= 0.9 * len(coded_spikes(spikes, "zstd"))


def test_a_coder_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    with pytest.raises(ConfigError, match=r"pip install 'spike-zoo\[cold\]'"):
        LosslessModule("blosc").setup("test")
    LosslessModule("raw").setup("test")


def test_an_unknown_coder_is_refused_by_name() -> None:
    wrong: Any = "zip"
    with pytest.raises(ConfigError, match="coder: one of raw, zstd, blosc, context, got 'zip'"):
        LosslessModule(wrong)
