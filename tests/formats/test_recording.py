"""Reading and writing of recordings in all formats."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from spike_zoo.errors import (
    ExistingFileError,
    FormatError,
    GeometryError,
    MissingFileError,
    UsageError,
)
from spike_zoo.formats import read_recording, write_recording
from spike_zoo.formats.recording import detect_format
from spike_zoo.spikes import SpikeRecording
from spike_zoo.spikes.cfa import LAYOUTS, Cfa
from tests.helpers.streams import random_spikes, spike_streams

SUFFIXES = [".dat", ".npz", ".npy", ".h5", ".spl"]
one_file = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)


def read_back(path: Path, recording: SpikeRecording) -> SpikeRecording:
    _, height, width = recording.shape
    align = "byte" if path.suffix == ".dat" else None
    return read_recording(path, height=height, width=width, frame_align=align)


@one_file
@given(spikes=spike_streams())
def test_planes_are_read_back_in_every_format(tmp_path: Path, spikes: np.ndarray) -> None:
    recording = SpikeRecording.from_planes(spikes)
    for suffix in SUFFIXES:
        path = write_recording(recording, tmp_path / f"clip{suffix}", overwrite=True)
        np.testing.assert_array_equal(read_back(path, recording)[:], spikes)


def test_a_bitstream_is_rejected_with_the_command_that_reads_it(tmp_path: Path) -> None:
    (tmp_path / "a.sci").write_bytes(b"SCI1")
    with pytest.raises(FormatError, match=r"a\.sci is a bitstream, .* with decompress"):
        read_recording(tmp_path / "a.sci")


def test_a_lossless_recording_overrides_its_sidecar_which_adds_missing_fields(
    tmp_path: Path,
) -> None:
    spikes = random_spikes(20, 6, 21)
    path = write_recording(SpikeRecording.from_planes(spikes, rate_scale=0.6), tmp_path / "a.spl")
    assert detect_format(path) == "spl"
    (tmp_path / "a.spl.yaml").write_text("fps: 20000\nrate_scale: 0.9\n")
    recording = read_recording(path)
    assert (recording.shape, recording.fps, recording.rate_scale) == ((20, 6, 21), 20_000.0, 0.6)
    assert (recording.meta["source"], recording.meta["source_format"]) == ("a.spl", "spl")
    with pytest.raises(GeometryError, match="holds planes of 6x21, not 6x20"):
        read_recording(path, width=20)
    with pytest.raises(UsageError, match="none named 'a'"):
        read_recording(path, "a")


def test_raw_bits_that_start_with_the_signature_of_another_format_are_read_as_raw_bits(
    tmp_path: Path,
) -> None:
    for begin in (b"SPL1", b"PK\3\4"):
        (tmp_path / "a.dat").write_bytes(begin + bytes(96))
        spikes = read_recording(tmp_path / "a.dat", height=10, width=8)[:]
        assert spikes.sum() == sum(byte.bit_count() for byte in begin)


def test_a_sample_clip_is_converted_through_all_formats_without_loss(
    tmp_path: Path, shared: Path
) -> None:
    original = shared / "data" / "data.dat"
    recording = read_recording(original, height=250, width=400, fps=20_000.0, rate_scale=0.6)
    recording.threshold = 2.0
    for suffix in (".npz", ".h5", ".npy", ".dat"):
        path = write_recording(recording, tmp_path / f"clip{suffix}")
        recording = read_back(path, recording)
        if suffix in (".npz", ".h5"):
            assert (recording.fps, recording.threshold) == (20_000.0, 2.0)
            assert recording.rate_scale == 0.6
            assert recording.meta["source"] == "data.dat"
    assert (tmp_path / "clip.dat").read_bytes() == original.read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_existing_target_is_kept_without_overwrite(tmp_path: Path, suffix: str) -> None:
    path = write_recording(random_spikes(2, 3, 8), tmp_path / f"clip{suffix}")
    before = path.read_bytes()
    with pytest.raises(ExistingFileError, match=f"clip{suffix} exists"):
        write_recording(random_spikes(3, 3, 8), path)
    assert path.read_bytes() == before
    write_recording(random_spikes(3, 3, 8), path, overwrite=True)
    assert read_back(path, SpikeRecording.from_planes(random_spikes(3, 3, 8))).shape == (3, 3, 8)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failed_write_leaves_no_file(tmp_path: Path, suffix: str) -> None:
    class Broken(SpikeRecording):
        def read_packed(self, *_: Any, **__: Any) -> np.ndarray:
            raise RuntimeError("the source broke off")

        @property
        def packed(self) -> np.ndarray:
            return self.read_packed()

    broken = Broken(np.zeros((2, 3, 1), np.uint8), 8)
    with pytest.raises(RuntimeError, match="broke off"):
        write_recording(broken, tmp_path / f"clip{suffix}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_arrays_other_than_spikes_are_not_written(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(ValueError, match="must be 0 or 1"):
        write_recording(np.full((2, 3, 8), 2), tmp_path / f"clip{suffix}")
    with pytest.raises(GeometryError, match="planes, height, width"):
        write_recording(np.zeros((3, 8)), tmp_path / f"clip{suffix}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".h5", ".spl"])
@pytest.mark.parametrize("name", ["clip.dat", "clip.npz", "clip.npy", "clip.h5", "clip.spl"])
def test_a_suffix_that_contradicts_the_content_is_reported(
    tmp_path: Path, suffix: str, name: str
) -> None:
    if suffix == Path(name).suffix:
        return
    write_recording(random_spikes(2, 3, 8), tmp_path / f"whole{suffix}")
    (tmp_path / f"whole{suffix}").rename(tmp_path / name)
    with pytest.raises(FormatError, match=rf"{name}.*rename the file to clip\{suffix}"):
        read_recording(tmp_path / name, height=3, width=8)


@pytest.mark.parametrize(
    ("suffix", "kind"), [(".npz", "npz"), (".npy", "npy"), (".h5", "hdf5"), (".spl", "spl")]
)
def test_the_format_is_detected_by_content_if_the_suffix_is_unknown(
    tmp_path: Path, suffix: str, kind: str
) -> None:
    write_recording(random_spikes(2, 3, 8), tmp_path / f"clip{suffix}")
    (tmp_path / f"clip{suffix}").rename(tmp_path / "clip.spikes")
    assert detect_format(tmp_path / "clip.spikes") == kind
    assert read_recording(tmp_path / "clip.spikes").shape == (2, 3, 8)


@pytest.mark.parametrize("name", ["clip.npz", "clip.npy", "clip.h5", "clip.spl", "clip.txt"])
def test_content_of_no_known_format_is_rejected(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(bytes(range(250)))
    with pytest.raises(FormatError, match=rf"{name}.*known are \.dat"):
        read_recording(tmp_path / name, height=10, width=8)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_empty_file_is_rejected(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"clip{suffix}").write_bytes(b"")
    with pytest.raises(FormatError, match="is empty"):
        read_recording(tmp_path / f"clip{suffix}", height=3, width=8)


def test_folders_pipes_and_absent_files_are_rejected_without_being_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.dat")  # opening it would wait for ever
    with pytest.raises(FormatError, match="no regular file"):
        read_recording(tmp_path / "pipe.dat", height=3, width=8)
    with pytest.raises(FormatError, match="is a folder"):
        read_recording(tmp_path, height=3, width=8)
    with pytest.raises(MissingFileError, match="no such file"):
        read_recording(tmp_path / "absent.dat", height=3, width=8)


def test_options_of_another_format_are_rejected(tmp_path: Path) -> None:
    write_recording(random_spikes(2, 3, 8), tmp_path / "clip.npy")
    with pytest.raises(UsageError, match=r"for \.dat"):
        read_recording(tmp_path / "clip.npy", columns=[(0, 8)])
    with pytest.raises(UsageError, match="none named 'a'"):
        read_recording(tmp_path / "clip.npy", "a")
    with pytest.raises(UsageError, match="names no format"):
        write_recording(random_spikes(2, 3, 8), tmp_path / "clip.tif")


def test_reading_a_whole_clip_takes_little_more_memory_than_its_planes(tmp_path: Path) -> None:
    import tracemalloc

    for name, width in (("clip.dat", 400), ("odd.dat", 396), ("clip.h5", 400)):
        write_recording(random_spikes(200, 100, width), tmp_path / name)
        tracemalloc.start()
        height = None if name == "clip.h5" else 100
        planes = read_recording(tmp_path / name, height=height, width=height and width)[:]
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak <= 1.2 * planes.nbytes + 3_000_000, name  # and a block of pixels


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".spl", ".dat"])
@pytest.mark.parametrize("cfa", [None, *LAYOUTS])
def test_the_layout_of_colour_filters_is_kept(tmp_path: Path, suffix: str, cfa: Cfa | None) -> None:
    recording = SpikeRecording.from_planes(random_spikes(9, 6, 10), fps=100.0, cfa=cfa)
    path = write_recording(recording, tmp_path / f"a{suffix}", with_sidecar=suffix == ".dat")
    reread = read_recording(path)
    assert reread.cfa == cfa
    assert reread.between(2, 5).cfa == cfa
    assert (reread[:] == recording[:]).all()


def test_an_option_replaces_the_stated_layout_with_a_warning(tmp_path: Path) -> None:
    recording = SpikeRecording.from_planes(random_spikes(9, 6, 10), cfa="RGGB")
    path = write_recording(recording, tmp_path / "a.npz")
    with pytest.warns(UserWarning, match=r"a.npz: its layout of colour filters is RGGB; BGGR is"):
        assert read_recording(path, cfa="BGGR").cfa == "BGGR"
    assert read_recording(path, cfa="RGGB").cfa == "RGGB"


def test_an_unknown_layout_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", spikes=random_spikes(9, 6, 10), cfa="RGBW")
    with pytest.raises(FormatError, match=r"a.npz: cfa must be RGGB, BGGR, GRBG or GBRG"):
        _ = read_recording(tmp_path / "a.npz").cfa
    (tmp_path / "b.dat").write_bytes(bytes(20))
    (tmp_path / "b.dat.yaml").write_text("{spike_h: 4, spike_w: 8, cfa: rggb}")
    with pytest.raises(FormatError, match="cfa is 'rggb', expected one of RGGB"):
        read_recording(tmp_path / "b.dat")
