"""Header of ``.spl`` files: bytes and invalid fields."""

import dataclasses
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from spike_zoo.coding import BitstreamError
from spike_zoo.coding.errors import TruncatedBitstreamError
from spike_zoo.coding.spl.header import LosslessHeader, has_lossless_magic, is_lossless

HEADER = LosslessHeader(301, 250, 400, 41, 24, fps=20_000.0, rate_scale=0.6)


def test_a_header_is_its_fields_and_their_checksum() -> None:
    fields = struct.pack("<4sIIIIIddd", b"SPL1", 301, 250, 400, 41, 24, 20_000.0, float("nan"), 0.6)
    assert HEADER.pack() == fields + struct.pack("<I", zlib.crc32(fields))
    assert LosslessHeader.parse(HEADER.pack()) == HEADER


def test_planes_make_chunks_of_which_the_last_may_be_short() -> None:
    assert HEADER.chunks == 8
    assert dataclasses.replace(HEADER, planes=41).chunks == 1
    assert dataclasses.replace(HEADER, planes=42).chunks == 2


def test_impossible_fields_are_not_written() -> None:
    fields: list[tuple[str, Any]] = [
        *[(name, 0) for name in ("planes", "height", "width", "depth", "restart")],
        *[("planes", 1 << 32), ("height", 1 << 20), ("depth", 200)],
        *[("fps", -1.0), ("fps", float("inf")), ("threshold", 0.0), ("rate_scale", -1.0)],
    ]
    for name, value in fields:
        with pytest.raises(ValueError, match="no lossless bitstream can have"):
            dataclasses.replace(HEADER, **{name: value}).pack()


@pytest.mark.parametrize(
    ("offset", "content"),
    [(4, bytes(4)), (8, b"\xff" * 4), (16, b"\x00\x01\x00\x00"), (24, b"\xff" * 8), (32, bytes(8))],
)
def test_impossible_fields_with_a_valid_checksum_are_rejected(offset: int, content: bytes) -> None:
    fields = bytearray(HEADER.pack()[:-4])
    fields[offset : offset + len(content)] = content
    data = bytes(fields) + struct.pack("<I", zlib.crc32(fields))
    with pytest.raises(BitstreamError, match=r"clip\.spl: no lossless bitstream can have"):
        LosslessHeader.parse(data, "clip.spl")


def test_another_format_is_named_before_its_length() -> None:
    with pytest.raises(BitstreamError, match=r"begins with b'SCI1', not b'SPL1'"):
        LosslessHeader.parse(b"SCI1")
    with pytest.raises(TruncatedBitstreamError, match="ends after 6 bytes"):
        LosslessHeader.parse(HEADER.pack()[:6])


def test_a_rate_is_bits_for_every_pixel_of_every_plane() -> None:
    assert HEADER.bits_per_pixel(301 * 250 * 400 / 8) == 1
    assert HEADER.bits_per_pixel(301 * 250 * 50 / 4) == pytest.approx(0.25)


def test_a_file_is_detected_by_its_first_bytes_or_its_suffix(tmp_path: Path) -> None:
    for name, content, expected in [
        *[("a.bin", HEADER.pack(), True), ("b.bin", b"SPL2", True), ("c.SPL", b"other", True)],
        *[("d.bin", b"SPLINE", False), ("e.bin", b"SP", False), ("f.sci", b"SCI1", False)],
    ]:
        (tmp_path / name).write_bytes(content)
        assert is_lossless(tmp_path / name) is expected, name
        assert has_lossless_magic(content) is (expected and content != b"other")
    assert is_lossless(tmp_path / "none.spl")
    assert not is_lossless(tmp_path / "none.sci")
