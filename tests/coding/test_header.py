"""Header of ``.sci`` files: bytes, invalid fields and damage."""

import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spike_zoo.coding import BitstreamError, Header
from spike_zoo.coding.errors import CorruptBitstreamError, TruncatedBitstreamError
from spike_zoo.coding.header import is_bitstream
from tests.conftest import ROOT

GOLDEN = ROOT / "tests" / "golden" / "header.sci"
DIGEST = bytes(range(0xA0, 0xAC))
HEADER = Header(
    DIGEST, 250, 400, 301, quality=3, gop=8, fps=20_000.0, rate_scale=0.625, source=0xFEEDBEEF
)


def test_the_golden_header_is_read_and_written() -> None:
    assert Header.parse(GOLDEN.read_bytes()) == HEADER
    assert HEADER.pack() == GOLDEN.read_bytes()


floats = st.none() | st.floats(2**-100, 2**100, width=32)


@given(
    digest=st.binary(min_size=12, max_size=12),
    size=st.tuples(st.integers(1, 65_535), st.integers(1, 256)),
    window=st.integers(1, 255),
    more_planes=st.integers(0, 2**32 - 256),
    step=st.integers(1, 255),
    channels=st.integers(1, 255),
    quality=st.integers(0, 3),
    gop=st.integers(1, 65_535),
    fps=floats,
    rate_scale=floats,
    source=st.integers(0, 2**32 - 1),
)
def test_any_header_is_read_back(
    size: tuple[int, int], more_planes: int, window: int, gop: int, **fields: Any
) -> None:
    fields |= {"window": window, "gop": min(gop, max(1, 2**26 // (size[0] * size[1])))}
    header = Header(height=size[0], width=size[1], planes=window + more_planes, **fields)
    assert Header.parse(header.pack()) == header


def test_frames_and_groups_follow_from_the_planes() -> None:
    cases = {(41, 8): [5], (41, 2): [2, 2, 1], (19, 8): [1], (20, 1): [1, 1], (62, 4): [4, 4]}
    for (planes, gop), lengths in cases.items():
        header = replace(HEADER, planes=planes, gop=gop)
        assert (header.frames, header.groups) == (sum(lengths), len(lengths))
        assert [header.group_length(k) for k in range(header.groups)] == lengths
        for beyond in (-1, len(lengths)):
            with pytest.raises(IndexError, match=f"pictures {beyond} .* there are {len(lengths)}"):
                header.group_length(beyond)


IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({"height": 0}, "height 0; it is 1 to 65535"),
    ({"width": 70_000}, "width 70000; it is 1 to 65535"),
    ({"height": 4_097, "width": 4_096}, "4096 x 4097 pixels; at most 16777216"),
    ({"planes": 12}, "12 planes, fewer than a window's 13"),
    ({"window": 0}, "window 0"),
    ({"step": 0}, "step 0"),
    ({"channels": 0}, "channels 0"),
    ({"quality": 4}, "quality 4; it is 0 to 3"),
    ({"gop": 0}, "gop 0; it is 1 to 65535"),
    ({"planes": 9999, "gop": 672}, "672 frames of 400 x 250 pixels; at most 671 frames"),
    ({"fps": -1.0}, "fps -1"),
    ({"rate_scale": float("inf")}, "rate_scale inf"),
    ({"digest": b"short"}, "a digest of 5 bytes; it has 12"),
]


def test_an_impossible_header_is_not_written() -> None:
    for change, problem in IMPOSSIBLE:
        with pytest.raises(ValueError, match=problem):
            replace(HEADER, **change).pack()


@pytest.mark.parametrize(
    ("position", "values", "problem"),
    [
        (16, (255, 255, 255, 255), "65535 x 65535 pixels"),
        (24, (0,), "window 0"),
        (30, (1, 0), r"flags 0x0001.*newer"),
        (32, (0, 0, 128, 255), "fps -inf"),
        (36, (0, 0, 0, 128), "rate_scale -0"),
    ],
)
def test_an_impossible_header_with_a_valid_checksum_is_rejected(
    position: int, values: tuple[int, ...], problem: str
) -> None:
    fields = bytearray(HEADER.pack()[:44])
    fields[position : position + len(values)] = bytes(values)
    data = bytes(fields) + struct.pack("<I", zlib.crc32(fields))
    with pytest.raises(BitstreamError, match=rf"street\.sci: .*{problem}") as caught:
        Header.parse(data, "street.sci")
    assert type(caught.value) is BitstreamError
    assert caught.value.path == "street.sci"


def test_every_changed_byte_and_truncation_is_found() -> None:
    for position in range(4, 48):
        data = bytearray(HEADER.pack())
        data[position] ^= 16
        with pytest.raises(CorruptBitstreamError, match="header is damaged") as caught:
            Header.parse(bytes(data))
        assert (caught.value.gop, caught.value.byte_range) == (-1, (0, 48))
    for length in range(48):
        with pytest.raises(TruncatedBitstreamError, match=f"after {length} bytes") as truncated:
            Header.parse(HEADER.pack()[:length])
        assert truncated.value.last_complete_gop == -1


def test_other_content_and_other_versions_raise_different_errors() -> None:
    rest = HEADER.pack()[4:]
    with pytest.raises(BitstreamError, match=r"version 1 of \.sci, this is version 2"):
        Header.parse(b"SCI1" + rest)
    for begin in (b"\x89HDF", b"SCIx", b"\xff\xfe\x00\x00", b"PK"):
        with pytest.raises(BitstreamError, match=r"no \.sci bitstream"):
            Header.parse(begin + rest)


def test_a_bitstream_is_detected_by_its_first_bytes_or_its_suffix(tmp_path: Path) -> None:
    for name, content, is_sci in (
        ("a.sci", b"", True),
        ("a", b"SCI7", True),
        ("b.npz", b"PK", False),
        ("folder", None, False),
    ):
        if content is None:
            (tmp_path / name).mkdir()
        else:
            (tmp_path / name).write_bytes(content)
        assert is_bitstream(tmp_path / name) is is_sci
    assert not is_bitstream(tmp_path / "none.sci")


def test_rates_and_planes_follow_from_the_header() -> None:
    assert HEADER.bits_per_pixel(301 * 250 * 400 / 8) == 1.0
    assert [HEADER.plane(index) for index in (0, 1, 40)] == [6, 13, 286]
