"""Lossless bitstreams: exact decoding, compression ratio and detection of damage."""

import struct
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from spike_zoo.coding import BitstreamError
from spike_zoo.coding.chunks import pack_chunk
from spike_zoo.coding.errors import (
    CorruptBitstreamError,
    DecodeMismatchError,
    TruncatedBitstreamError,
)
from spike_zoo.coding.spl.codec import LosslessPlanes, decode, encode, read, write
from spike_zoo.coding.spl.header import HEADER_BYTES
from spike_zoo.errors import GeometryError, MissingFileError
from spike_zoo.spikes import SpikeRecording
from tests.conftest import ROOT
from tests.helpers.firing import lit_planes
from tests.helpers.streams import random_spikes, spike_streams

SMALL = lit_planes(20, 5, 9)
DATA = encode(SMALL, restart=8)
GOLDEN = ROOT / "tests" / "golden"


@settings(max_examples=15, deadline=None)
@given(spikes=spike_streams())
def test_decoded_planes_equal_the_encoded_planes(spikes: NDArray[np.bool_]) -> None:
    np.testing.assert_array_equal(decode(encode(spikes)), spikes)


@pytest.mark.parametrize("shape", [(1, 1, 1), (300, 1, 1), (7, 1, 17), (5, 31, 3), (70, 16, 16)])
def test_recordings_of_any_size_and_rate_are_coded_losslessly(shape: tuple[int, int, int]) -> None:
    for rate in (0.0, 0.02, 0.5, 1.0):
        spikes = random_spikes(*shape, rate=rate)
        np.testing.assert_array_equal(decode(encode(spikes, restart=32)), spikes)


def test_intervals_above_the_maximum_of_the_counter_are_coded_losslessly() -> None:
    spikes = np.zeros((140_000, 1, 2), bool)
    spikes[[3, 5, 70_000, 139_990], 0, 0] = True
    np.testing.assert_array_equal(decode(encode(spikes, restart=200_000)), spikes)


def test_the_golden_file_is_decoded_and_encoded_to_the_same_bytes() -> None:
    data = (GOLDEN / "lit.spl").read_bytes()
    planes = np.load(GOLDEN / "lit.npz")["planes"]
    np.testing.assert_array_equal(decode(data), planes)
    assert encode(planes, restart=16) == data


def test_a_lit_scene_takes_at_most_nine_tenths_of_the_bytes_of_zstd() -> None:
    zstandard = pytest.importorskip("zstandard")
    spikes = lit_planes(120, 32, 32)
    by_time = np.packbits(spikes, axis=0, bitorder="little").transpose(1, 2, 0)
    reference = zstandard.ZstdCompressor(level=19).compress(by_time.tobytes())
    assert len(encode(spikes)) <= 0.9 * len(reference)


def test_noise_costs_little_more_than_its_bits_and_a_dark_recording_next_to_nothing() -> None:
    spikes = random_spikes(32, 64, 64, rate=0.5)
    assert len(encode(spikes)) <= 1.03 * spikes.size / 8
    assert len(encode(np.zeros((400, 40, 50), bool))) < 300


@pytest.mark.parametrize(
    "positions",
    [range(0, len(DATA), 9), pytest.param(range(len(DATA)), marks=pytest.mark.slow)],
    ids=["some", "all"],
)
def test_changed_bytes_and_truncations_are_found(positions: range) -> None:
    for position in positions:
        changed = bytearray(DATA)
        changed[position] ^= (0x01, 0x80)[position % 2]
        for damaged in (bytes(changed), DATA[:position]):
            with pytest.raises(BitstreamError):
                decode(damaged)


def test_errors_state_planes_and_bytes() -> None:
    with pytest.raises(TruncatedBitstreamError, match=r"within planes 16 to 19") as truncated:
        decode(DATA[:-1])
    assert truncated.value.last_complete_gop == 1
    with pytest.raises(CorruptBitstreamError, match="3 bytes follow the last part"):
        decode(DATA + b"abc")
    changed = bytearray(DATA)
    changed[-1] ^= 1
    with pytest.raises(CorruptBitstreamError, match="planes 16 to 19 damaged") as caught:
        decode(bytes(changed))
    assert caught.value.byte_range[1] == len(DATA)


def test_damage_is_found_without_decoding() -> None:
    assert LosslessPlanes(DATA, strict=False).errors == []
    changed = bytearray(DATA)
    changed[HEADER_BYTES + 12] ^= 1
    changed[-1] ^= 1
    errors = [str(error) for error in LosslessPlanes(bytes(changed), strict=False).errors]
    assert [error.partition(" (")[0] for error in errors] == [
        "the bitstream: planes 0 to 7 damaged",
        "the bitstream: planes 16 to 19 damaged",
    ]


@pytest.mark.parametrize("words", [b"", bytes(200)])
def test_a_chunk_with_a_valid_checksum_and_other_content_is_rejected(
    words: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # planes that are not decoded contain uninitialised memory
    monkeypatch.setattr(np, "empty", lambda shape, dtype: np.full(shape, 7, dtype))
    planes = SMALL[:8]
    payload = struct.pack("<II", zlib.crc32(b"others"), 0x12345678) + words
    data = encode(planes)[:HEADER_BYTES] + pack_chunk(0, payload)
    with pytest.raises(DecodeMismatchError, match="planes 0 to 7 are not those"):
        decode(data)


def test_planes_rate_scale_threshold_and_fps_are_read_back(tmp_path: Path) -> None:
    facts = {"fps": 20_000.5, "threshold": 2.0, "rate_scale": 0.1}
    unknown = {"fps": 0.0, "threshold": None, "rate_scale": None}
    for options, expected in ((facts, facts), ({}, unknown)):
        source = SpikeRecording.from_planes(SMALL, **options)
        actual = read(write(source, tmp_path / "clip.spl", overwrite=True))
        assert {name: getattr(actual, name) for name in facts} == expected
        np.testing.assert_array_equal(actual[:], SMALL)


def test_any_window_equals_that_of_the_recording(tmp_path: Path) -> None:
    spikes = lit_planes(40, 6, 20)
    recording = SpikeRecording.from_planes(spikes)
    decoded_recording = read(write(recording, tmp_path / "clip.spl", restart=6))
    for start, stop in [(33, 40), (0, 1), (5, 31), (30, 32), (31, 31), (12, 18)]:
        np.testing.assert_array_equal(decoded_recording[start:stop], spikes[start:stop])
    part = decoded_recording.read_packed(7, 20, rows=slice(1, 4), byte_columns=slice(1, 3))
    expected = recording.read_packed(7, 20, rows=slice(1, 4), byte_columns=slice(1, 3))
    np.testing.assert_array_equal(part, expected)


def test_threads_may_read_one_recording(tmp_path: Path) -> None:
    spikes = lit_planes(64, 12, 12)
    decoded_recording = read(
        write(SpikeRecording.from_planes(spikes), tmp_path / "clip.spl", restart=8)
    )
    starts = [0, 40, 8, 56, 16, 48, 24, 32]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda start: decoded_recording[start : start + 8], starts))
    for start, planes in zip(starts, results, strict=True):
        np.testing.assert_array_equal(planes, spikes[start : start + 8])


def test_planes_after_a_restart_do_not_need_earlier_planes() -> None:
    changed = bytearray(DATA)
    changed[HEADER_BYTES + 12] ^= 1  # in the first of three chunks
    recording = SpikeRecording(LosslessPlanes(bytes(changed)), 9)
    np.testing.assert_array_equal(recording[8:20], SMALL[8:])
    with pytest.raises(CorruptBitstreamError):
        recording[7:9]


def test_windows_that_overlap_decode_each_plane_once() -> None:
    spikes = lit_planes(80, 5, 9)
    data = bytearray(encode(spikes, restart=8))
    recording = SpikeRecording(LosslessPlanes(data), 9)  # type: ignore[arg-type]  # bytes that change
    np.testing.assert_array_equal(recording[0:40], spikes[:40])
    data[HEADER_BYTES:] = bytes(len(data) - HEADER_BYTES)  # nothing can be decoded any more
    for start in (30, 20, 5):
        np.testing.assert_array_equal(recording[start : start + 10], spikes[start : start + 10])
    with pytest.raises(CorruptBitstreamError):
        recording[35:45]


def test_intact_planes_can_be_read_after_an_error(tmp_path: Path) -> None:
    path = write(SpikeRecording.from_planes(SMALL), tmp_path / "clip.spl", restart=8)
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1
    path.write_bytes(changed)
    recording = read(path)
    with pytest.raises(CorruptBitstreamError, match=r"clip\.spl: planes 16 to 19"):
        recording[15:17]
    np.testing.assert_array_equal(recording[0:16], SMALL[:16])


def test_bits_beyond_the_last_column_do_not_matter(tmp_path: Path) -> None:
    packed = SpikeRecording.from_planes(SMALL).packed.copy()
    packed[..., -1] |= 0xF0
    decoded_recording = read(write(SpikeRecording(packed, 9), tmp_path / "clip.spl"))
    np.testing.assert_array_equal(decoded_recording[:], SMALL)


class _Endless:
    """Random planes generated when read, to measure only the memory of the coder."""

    def __init__(self, planes: int) -> None:
        self.shape = (planes, 64, 8)

    def __getitem__(self, selection: Any) -> NDArray[np.uint8]:
        planes = selection[0] if isinstance(selection, tuple) else selection
        return np.repeat(np.uint8(0x11), (planes.stop - planes.start) * 512).reshape(-1, 64, 8)


def _peak(planes: int, path: Path) -> int:
    tracemalloc.start()
    write(SpikeRecording(_Endless(planes), 64), path, restart=32)
    recording = read(path)
    for plane in range(0, planes, 16):
        recording[plane : plane + 16]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    _peak(32, tmp_path / "first.spl")  # imports and caches are loaded once
    short, long = (_peak(planes, tmp_path / f"{planes}.spl") for planes in (64, 256))
    assert long < 1.05 * short


def test_progress_is_reported_up_to_the_last_plane(tmp_path: Path) -> None:
    write_progress: list[tuple[int, int]] = []
    read_progress: list[tuple[int, int]] = []
    path = write(
        SpikeRecording.from_planes(SMALL),
        tmp_path / "clip.spl",
        restart=8,
        progress=lambda done, of: write_progress.append((done, of)),
    )
    recording = read(path, progress=lambda done, of: read_progress.append((done, of)))
    assert read_progress == []
    assert recording[:].shape == SMALL.shape
    assert read_progress == write_progress == [(8, 20), (16, 20), (20, 20)]


def test_input_that_cannot_be_coded_is_rejected() -> None:
    with pytest.raises(GeometryError, match="must be"):
        encode(np.zeros((3, 4), bool))
    message = r"5000 x 5000 pixels \(W x H\) are not coded, at most 16777216"
    with pytest.raises(GeometryError, match=message):
        encode(np.broadcast_to(np.False_, (1, 5000, 5000)))
    with pytest.raises(ValueError, match="must be 0 or 1"):
        encode(np.full((1, 2, 2), 2))
    with pytest.raises(ValueError, match="restart"):
        encode(SMALL, restart=0)


def test_missing_empty_and_other_files_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        read(tmp_path / "none.spl")
    empty = tmp_path / "empty.spl"
    empty.touch()
    with pytest.raises(TruncatedBitstreamError, match=r"empty\.spl"):
        read(empty)
    other = tmp_path / "other.spl"
    other.write_bytes(bytes(1000))
    with pytest.raises(BitstreamError, match=r"other\.spl: no lossless bitstream"):
        read(other)
