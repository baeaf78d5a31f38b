"""Files of MNIST's form are read as they were written, and nothing else is."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from spike_zoo.errors import FormatError
from spike_zoo.simulation.datasets.idx import read_idx
from tests.helpers.picture_trees import idx_bytes

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 5, 4), dtype=np.uint8)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_what_was_written_is_read_back(tmp_path: Path, suffix: str) -> None:
    path, data = tmp_path / f"images{suffix}", idx_bytes(IMAGES)
    path.write_bytes(gzip.compress(data) if suffix else data)
    np.testing.assert_array_equal(read_idx(path, 3), IMAGES)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "begins with nothing, expected 00 00 08 03"),
        (b"\x80\x04\x95\x10" + bytes(20), "begins with 80 04 95 10"),
        (idx_bytes(IMAGES[0, 0]), "begins with 00 00 08 01"),
        (idx_bytes(IMAGES)[:10], "begins with 00 00 08 03"),
        (idx_bytes(IMAGES)[:-1], r"59 bytes after the header, expected 60 \(3x5x4\)"),
        (idx_bytes(IMAGES) + b"\0", "61 bytes after the header, expected 60"),
        (bytes([0, 0, 8, 3]) + b"\xff" * 12, "0 bytes after the header, expected 79228162458924"),
    ],
)
def test_another_or_a_cut_file_is_refused_by_name(
    tmp_path: Path, data: bytes, message: str
) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=f"train-images-idx3-ubyte: .*{message}"):
        read_idx(path, 3)


@pytest.mark.parametrize("harm", ["cut", "flipped", "plain"])
def test_a_damaged_compressed_file_is_refused_by_name(tmp_path: Path, harm: str) -> None:
    data = bytearray(gzip.compress(idx_bytes(IMAGES)))
    if harm == "cut":
        data = data[:-12]
    elif harm == "flipped":
        data[-6] ^= 255  # the checksum
    else:
        data = bytearray(idx_bytes(IMAGES))
    path = tmp_path / "images.gz"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"images\.gz: damaged or cut short .*download it again"):
        read_idx(path, 3)
