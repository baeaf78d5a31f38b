"""Recovery of the intact planes of damaged ``.spl`` files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spike_zoo.coding import BitstreamError
from spike_zoo.coding.chunks import read_chunk
from spike_zoo.coding.spl import codec as lossless
from spike_zoo.coding.spl.codec import salvage
from spike_zoo.coding.spl.header import HEADER_BYTES
from tests.helpers.streams import random_spikes

SPIKES = random_spikes(30, 24, 40)


@pytest.fixture(scope="module")
def data() -> bytes:
    """A bitstream of eight chunks of four planes, two of them from one restart to the next."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lossless, "_SYMBOLS", 4 * 24 * 40)
        return lossless.encode(SPIKES, restart=8)


@pytest.fixture(scope="module")
def starts(data: bytes) -> list[int]:
    """The first byte of each chunk."""
    positions = [HEADER_BYTES]
    for number in range(8):
        chunk: Any = read_chunk(data, number, positions[-1])
        positions.append(chunk.end)
    assert positions[-1] == len(data)
    return positions


def _write_damaged(path: Path, data: bytes, positions: list[int]) -> Path:
    changed = bytearray(data)
    for position in positions:
        changed[position] ^= 1
    path.write_bytes(changed)
    return path


@pytest.mark.parametrize(
    ("chunks", "lost"),
    [
        ([], []),
        ([(2, 100)], [(8, 15)]),  # the first chunk after a restart: the second needs it
        ([(3, 100)], [(12, 15)]),  # the last chunk before a restart
        ([(2, 0)], [(8, 15)]),  # its length
        ([(1, 8), (6, 300)], [(4, 7), (24, 29)]),
        ([(0, 20), (2, 20), (7, 20)], [(0, 15), (28, 29)]),
    ],
)
def test_planes_independent_of_damaged_chunks_are_recovered(
    data: bytes,
    starts: list[int],
    tmp_path: Path,
    chunks: list[tuple[int, int]],
    lost: list[tuple[int, int]],
) -> None:
    positions = [starts[chunk] + position for chunk, position in chunks]
    recording, errors = salvage(_write_damaged(tmp_path / "street.spl", data, positions))
    intact = np.ones(30, bool)
    for (first, last), error in zip(lost, errors, strict=True):
        intact[first : last + 1] = False
        assert f"street.spl: planes {first} to {last} of 30 are lost" in str(error)
    np.testing.assert_array_equal(recording[:], SPIKES[intact])
    expected = {"lost_planes": ", ".join(f"{first} to {last}" for first, last in lost)}
    assert recording.meta == (expected if lost else {})


def test_a_range_across_lost_planes_equals_that_of_the_intact_planes(
    data: bytes, starts: list[int], tmp_path: Path
) -> None:
    recording, _ = salvage(_write_damaged(tmp_path / "street.spl", data, [starts[2] + 100]))
    intact = np.concatenate([SPIKES[:8], SPIKES[16:]])
    np.testing.assert_array_equal(recording[6:11], intact[6:11])
    np.testing.assert_array_equal(recording[9], intact[9])
    crop = recording.read_packed(7, 9, rows=slice(3, 5), byte_columns=slice(1, 2))
    bits = np.unpackbits(crop, axis=-1, bitorder="little")
    np.testing.assert_array_equal(bits, intact[7:9, 3:5, 8:16])


def test_a_cut_file_gives_the_planes_before_the_cut(
    data: bytes, starts: list[int], tmp_path: Path
) -> None:
    path = tmp_path / "cut.spl"
    path.write_bytes(data[: starts[5] + 50])
    recording, errors = salvage(path)
    np.testing.assert_array_equal(recording[:], SPIKES[:20])
    assert ["planes 20 to 29 of 30 are lost" in str(error) for error in errors] == [True]


def test_a_file_without_intact_planes_or_header_is_rejected(
    data: bytes, starts: list[int], tmp_path: Path
) -> None:
    path = tmp_path / "cut.spl"
    path.write_bytes(data[: starts[1] - 1])
    with pytest.raises(BitstreamError, match="planes 0 to 29 of 30 are lost"):
        salvage(path)
    with pytest.raises(BitstreamError, match="the header is damaged"):
        salvage(_write_damaged(path, data, [9]))
