"""Packing and unpacking of planes."""

import math
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from numpy.typing import NDArray

from spike_zoo.spikes.packing import pack_bits, unpack_bits, unpack_into, unpack_tensor
from tests.helpers.streams import spike_streams


@given(spikes=spike_streams())
def test_unpacking_inverts_packing_at_any_width(spikes: NDArray[np.bool_]) -> None:
    packed = pack_bits(spikes)
    assert packed.shape == (*spikes.shape[:2], math.ceil(spikes.shape[2] / 8))
    np.testing.assert_array_equal(unpack_bits(packed, width=spikes.shape[2]), spikes)


@given(spikes=spike_streams(max_planes=4))
def test_torch_unpacks_to_the_same_planes_as_numpy(spikes: NDArray[np.bool_]) -> None:
    packed = torch.from_numpy(pack_bits(spikes))
    unpacked = unpack_tensor(packed, spikes.shape[2])
    assert unpacked.dtype == torch.uint8
    np.testing.assert_array_equal(unpacked.numpy(), spikes)


def test_the_leftmost_pixel_is_the_lowest_bit() -> None:
    row = np.array([[[1, 0, 0, 0, 0, 0, 0, 0, 0, 1]]])
    assert pack_bits(row).tolist() == [[[1, 2]]]


@pytest.mark.parametrize("wrong", [2, -1, 0.5, math.nan])
def test_values_other_than_zero_and_one_are_rejected(wrong: float) -> None:
    spikes = np.zeros((2, 3, 4), np.float32)
    spikes[1, 2, 3] = wrong
    with pytest.raises(ValueError, match="must be 0 or 1, found"):
        pack_bits(spikes)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int64, np.float32, np.float64, np.bool_])
def test_zeros_and_ones_of_every_type_pack_alike(dtype: type) -> None:
    spikes = np.arange(24).reshape(1, 2, 12) % 3 == 0
    np.testing.assert_array_equal(pack_bits(spikes.astype(dtype)), pack_bits(spikes))


@pytest.mark.parametrize("writeable", [True, False])
def test_many_and_few_bytes_are_unpacked_equally(writeable: bool) -> None:
    packed = np.random.default_rng(0).integers(0, 256, (7, 410, 100), np.uint8)
    packed.flags.writeable = writeable
    planes = unpack_bits(packed, 800)
    assert planes.dtype == np.bool_
    np.testing.assert_array_equal(planes, np.unpackbits(packed, axis=-1, bitorder="little"))
    np.testing.assert_array_equal(unpack_bits(packed[:1], 800), planes[:1])


@pytest.mark.skipif(sys.byteorder == "big", reason="made for little-endian processors")
@pytest.mark.parametrize("is_flipped", [False, True])
def test_the_kernel_unpacks_every_byte_in_either_order_of_rows(is_flipped: bool) -> None:
    packed = np.arange(256, dtype=np.uint8).reshape(2, 8, 16)
    planes = np.empty((2, 8, 128), np.bool_)
    unpack_into(packed, planes, is_flipped=is_flipped)
    bits = np.unpackbits(packed, axis=-1, bitorder="little")
    np.testing.assert_array_equal(planes, bits[:, ::-1] if is_flipped else bits)
