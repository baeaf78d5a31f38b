"""Reading and writing of ``.sci`` files, complete, damaged and truncated."""

import io
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spike_zoo.coding import BitstreamError, BitstreamReader, BitstreamWriter, Header
from spike_zoo.coding.errors import (
    CorruptBitstreamError,
    TruncatedBitstreamError,
)
from spike_zoo.errors import ExistingFileError, FormatError, MissingFileError
from tests.conftest import ROOT
from tests.helpers.bitstreams import (
    bitstream,
    decode_symbols,
    encode_symbols,
    random_symbols,
    small_header,
)

GROUPS = 4
SYMBOLS = [random_symbols(30 + 11 * k, seed=k, escapes=0.05) for k in range(GROUPS)]
PAYLOADS = [encode_symbols(part) for part in SYMBOLS]
HEADER = small_header(GROUPS)
DATA = bitstream(HEADER, PAYLOADS)
STARTS = [48 + sum(8 + len(payload) for payload in PAYLOADS[:k]) for k in range(GROUPS + 1)]
GOLDEN = ROOT / "tests" / "golden"


def _symbols(reader: BitstreamReader) -> dict[int, list[int]]:
    """Decode all groups; the symbols of a group depend on all its bytes."""
    return {k: decode_symbols(payload, SYMBOLS[k][1], k).tolist() for k, payload in reader}


TRUTH = {k: symbols.tolist() for k, (symbols, _) in enumerate(SYMBOLS)}


def test_the_golden_file_is_decoded_and_encoded_to_the_same_bytes() -> None:
    stored = np.load(GOLDEN / "three_frames.npz")
    data = (GOLDEN / "three_frames.sci").read_bytes()
    reader = BitstreamReader(data)
    assert (reader.header.frames, reader.header.groups, reader.header.gop) == (3, 2, 2)
    payloads = []
    for k, payload in reader:
        symbols, table = stored[f"symbols{k}"], stored[f"table{k}"]
        np.testing.assert_array_equal(decode_symbols(payload, table, k), symbols)
        payloads.append(encode_symbols((symbols, table)))
    assert bitstream(reader.header, payloads) == data


def test_any_group_is_read_without_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.sci").write_bytes(DATA)
    for source in (DATA, tmp_path / "a.sci", str(tmp_path / "a.sci")):
        reader = BitstreamReader(source)
        assert [reader.payload(k) for k in (2, 0, 3, 1)] == [PAYLOADS[k] for k in (2, 0, 3, 1)]
        assert list(reader) == list(enumerate(PAYLOADS))
        assert reader.payload_bytes() == {k: len(payload) for k, payload in enumerate(PAYLOADS)}
        assert (reader.header, reader.size, reader.errors) == (HEADER, len(DATA), [])
        for beyond in (-1, GROUPS):
            with pytest.raises(IndexError, match=f"there are {GROUPS}"):
                reader.payload(beyond)


def test_damage_elsewhere_does_not_keep_a_group_from_being_read() -> None:
    data = bytearray(DATA)
    data[STARTS[1] + 20] ^= 1
    reader = BitstreamReader(bytes(data[:-3]))
    assert [reader.payload(k) for k in (0, 2)] == [PAYLOADS[0], PAYLOADS[2]]
    with pytest.raises(CorruptBitstreamError, match=f"bytes {STARTS[1]} to {STARTS[2] - 1}"):
        reader.payload(1)
    with pytest.raises(TruncatedBitstreamError, match="within group of pictures 3"):
        reader.payload(3)


@pytest.mark.parametrize(
    "positions",
    [range(0, len(DATA), 7), pytest.param(range(len(DATA)), marks=pytest.mark.slow)],
    ids=["some", "all"],
)
def test_a_changed_byte_is_found_and_the_other_groups_are_decoded(positions: range) -> None:
    for position in positions:
        data = bytearray(DATA)
        data[position] ^= (0x01, 0x80, 0xFF)[position % 3]
        with pytest.raises(BitstreamError):
            _symbols(BitstreamReader(bytes(data)))
        if position < 48:
            with pytest.raises(BitstreamError):
                BitstreamReader(bytes(data), strict=False)
            continue
        reader = BitstreamReader(bytes(data), strict=False)
        hit = next(k for k in range(GROUPS) if position < STARTS[k + 1])
        assert _symbols(reader) == {k: TRUTH[k] for k in range(GROUPS) if k != hit}
        (error,) = reader.errors
        if isinstance(error, TruncatedBitstreamError):  # the last length exceeds the file
            assert (hit, error.last_complete_gop) == (GROUPS - 1, GROUPS - 2)
            continue
        assert isinstance(error, CorruptBitstreamError)
        assert (error.gop, error.byte_range) == (hit, (STARTS[hit], STARTS[hit + 1]))


@pytest.mark.parametrize(
    "positions",
    [range(0, len(DATA), 7), pytest.param(range(len(DATA)), marks=pytest.mark.slow)],
    ids=["some", "all"],
)
def test_a_truncation_is_found_and_the_complete_groups_are_decoded(positions: range) -> None:
    for length in positions:
        data = DATA[:length]
        with pytest.raises(TruncatedBitstreamError) as caught:
            list(BitstreamReader(data))
        complete = sum(length >= start for start in STARTS[1:])
        assert caught.value.last_complete_gop == complete - 1
        if length < 48:
            with pytest.raises(TruncatedBitstreamError):
                BitstreamReader(data, strict=False)
            continue
        reader = BitstreamReader(data, strict=False)
        assert _symbols(reader) == {k: TRUTH[k] for k in range(complete)}
        (error,) = reader.errors
        assert isinstance(error, TruncatedBitstreamError)
        assert error.last_complete_gop == complete - 1


def test_a_repeated_group_loses_nothing_and_a_missing_one_is_named() -> None:
    second = DATA[STARTS[1] : STARTS[2]]
    reader = BitstreamReader(DATA[: STARTS[1]] + second + DATA[STARTS[1] :], strict=False)
    assert _symbols(reader) == TRUTH
    assert [str(error).partition(": ")[2] for error in reader.errors] == [
        f"bytes {STARTS[2]} to {2 * STARTS[2] - STARTS[1] - 1} belong to no part of this file, or "
        "repeat one; nothing is lost"
    ]
    reader = BitstreamReader(DATA[: STARTS[1]] + DATA[STARTS[2] :], strict=False)
    assert _symbols(reader) == {k: TRUTH[k] for k in (0, 2, 3)}
    (error,) = reader.errors
    assert "group of pictures 1 missing" in str(error)
    with pytest.raises(CorruptBitstreamError, match="group of pictures 1 "):
        reader.payload(1)


def test_a_group_of_another_file_is_not_read() -> None:
    other = bitstream(replace(HEADER, source=1), PAYLOADS)
    data = DATA[: STARTS[1]] + other[STARTS[1] : STARTS[2]] + DATA[STARTS[2] :]
    with pytest.raises(CorruptBitstreamError, match="group of pictures 1 damaged"):
        list(BitstreamReader(data))
    assert _symbols(BitstreamReader(data, strict=False)) == {k: TRUTH[k] for k in (0, 2, 3)}


def test_a_chunk_length_above_the_file_size_is_rejected_before_reading() -> None:
    for length in (2**28 + 2, 2**32 - 1, 7, 0):
        data = DATA[: STARTS[1]] + struct.pack("<I", length) + DATA[STARTS[1] + 4 :]
        with pytest.raises(CorruptBitstreamError, match=f"bytes {STARTS[1]} to") as caught:
            BitstreamReader(data).payload(1)
        assert caught.value.gop == 1


def test_bytes_after_the_last_group_are_rejected() -> None:
    with pytest.raises(CorruptBitstreamError, match="3 bytes follow the last part"):
        list(BitstreamReader(DATA + b"abc"))
    reader = BitstreamReader(DATA + b"abc", strict=False)
    assert _symbols(reader) == TRUTH
    assert "3 bytes follow" in str(reader.errors[0])


def test_a_header_with_billions_of_groups_gives_one_error() -> None:
    header = Header(bytes(12), 16, 16, 2**32 - 1, step=1, gop=1)
    reader = BitstreamReader(header.pack(), strict=False)
    assert header.groups > 4e9
    assert (list(reader), len(reader.errors)) == ([], 1)


def _write_and_fail(path: Path) -> None:
    with BitstreamWriter(path, HEADER) as writer:
        writer.append(PAYLOADS[0])
        raise RuntimeError("stop")


def test_a_file_is_written_completely_or_does_not_exist(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.sci"
    with pytest.raises(RuntimeError, match="stop"):
        _write_and_fail(path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="1 of 4 groups"), BitstreamWriter(path, HEADER) as writer:
        writer.append(PAYLOADS[0])
    assert list(tmp_path.iterdir()) == []
    with BitstreamWriter(path, HEADER) as writer:
        for payload in PAYLOADS:
            writer.append(payload)
        assert not path.exists()
        with pytest.raises(ValueError, match="all 4 groups"):
            writer.append(PAYLOADS[0])
    assert path.read_bytes() == DATA
    assert writer.size == len(DATA)
    with pytest.raises(ExistingFileError, match="exists"), BitstreamWriter(path, HEADER):
        pass
    with BitstreamWriter(str(path), small_header(1), overwrite=True) as writer:
        writer.append(PAYLOADS[0])
    assert path.stat().st_size == STARTS[1]


def test_payloads_of_invalid_length_are_not_written() -> None:
    for length in (0, 6, 9):
        stream = io.BytesIO()
        with (
            pytest.raises(ValueError, match=f"payload of {length} bytes"),
            BitstreamWriter(stream, HEADER) as writer,
        ):
            writer.append(bytes(length))
        assert stream.getvalue() == HEADER.pack()


def test_missing_and_empty_files_and_folders_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such file"):
        BitstreamReader(tmp_path / "none.sci")
    with pytest.raises(FormatError, match="cannot be read"):
        BitstreamReader(tmp_path)
    (tmp_path / "empty.sci").touch()
    with pytest.raises(TruncatedBitstreamError, match=r"empty\.sci: ends after 0 bytes"):
        BitstreamReader(tmp_path / "empty.sci")
