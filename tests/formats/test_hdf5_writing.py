"""Writer of a recording into an HDF5 group."""

import hashlib
import signal
from datetime import date
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from spike_zoo.errors import RecordingError
from spike_zoo.formats import hdf5_writing, read_recording, write_recording
from spike_zoo.formats.hdf5_writing import OutputFile
from spike_zoo.spikes import SpikeRecording
from tests.helpers.limits import largest_file
from tests.helpers.streams import random_spikes

SPIKES = random_spikes(37, 12, 21)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_recording(SPIKES, tmp_path / "clip.h5")


def test_all_metadata_of_a_take_is_read_back(tmp_path: Path) -> None:
    meta = {
        "source": "data.dat",
        "source_format": "dat",
        "source_flipped": True,
        "simulator": "v2s",
        "seed": 7,
        "licence": "MIT",
        "notes": "two lines\nof notes",
        "gain": 0.6,
        "label": 3,
        "label_name": "helicopter",
        "labeled_data_type": [0, 3.1],
        "camera": {"site": "north"},
    }
    recording = SpikeRecording.from_planes(
        SPIKES, fps=20_000.0, threshold=2.0, rate_scale=0.6, meta=meta
    )
    reread = read_recording(write_recording(recording, tmp_path / "clip.h5"))
    assert (reread.fps, reread.threshold, reread.rate_scale) == (20_000.0, 2.0, 0.6)
    assert reread.meta == meta | {"name": "clip"}
    third = read_recording(write_recording(reread, tmp_path / "copy.h5"))
    assert third.meta == reread.meta


@pytest.mark.parametrize(
    "meta",
    [{"gain": value} for value in ("2 dB", "", -1, {"red": 2}, [1])]
    + [{"seed": value} for value in ("a", 10**30, 0.5)]
    + [{"site": {1: [2], "b": 3}}, {"day": date(2020, 1, 1)}, {"days": {date(2020, 1, 1): 3}}],
)
def test_metadata_of_any_type_are_written_and_read_back(
    meta: dict[str, Any], tmp_path: Path
) -> None:
    recording = SpikeRecording.from_planes(SPIKES, meta=meta)
    reread = read_recording(write_recording(recording, tmp_path / "clip.h5"))
    [(key, value)] = meta.items()
    if key in ("gain", "seed"):
        assert reread.meta[key] == value
    assert key in reread.meta


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("day 1", "day_1"),
        ("..hidden", "hidden"),
        ("été", "ete"),
        ("街道", "u8857u9053"),
        ("_", "_"),
    ],
)
def test_a_file_name_is_converted_to_a_name_allowed_by_the_schema(
    tmp_path: Path, stem: str, name: str
) -> None:
    recording = read_recording(write_recording(SPIKES, tmp_path / f"{stem}.h5"))
    assert recording.meta["name"].strip("_") == name.strip("_")


def test_the_checksum_is_computed_from_the_packed_bytes(path: Path) -> None:
    packed = np.packbits(SPIKES, axis=-1, bitorder="little")
    with h5py.File(path) as file:
        stored = file["recordings/clip"].attrs["sha256"]
    assert stored == hashlib.sha256(packed.tobytes()).hexdigest()


@pytest.mark.parametrize("suffix", [".h5", ".dat", ".npy", ".npz", ".spl"])
def test_a_full_disk_ends_in_one_error_and_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    message = rf"clip\{suffix}: cannot be written \(File too large\)"
    with largest_file(2000), pytest.raises(RecordingError, match=message):
        write_recording(random_spikes(400, 16, 24), tmp_path / f"clip{suffix}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", range(200, 14_000, 600))
def test_failed_writes_are_not_reported_to_hdf5(tmp_path: Path, size: int) -> None:
    """After a failed write, HDF5 would crash when it closes the file."""

    def write() -> None:
        with OutputFile(tmp_path / "a.h5", "w") as file:
            for name in ("a", "b"):
                file.create_dataset(name, data=np.ones((9, 800), np.uint8), chunks=(2, 800))
                file[name].attrs["much"] = "x" * 2000

    with largest_file(size), pytest.raises(OSError, match="File too large"):
        write()


def test_ctrl_c_during_closing_is_raised_after_the_file_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = hdf5_writing._Output.write

    def interrupted(output: hdf5_writing._Output, data: bytes) -> int:
        signal.raise_signal(signal.SIGINT)
        return write(output, data)

    file = OutputFile(tmp_path / "a.h5", "w")
    file["a"] = np.arange(3)
    monkeypatch.setattr(hdf5_writing._Output, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        file.close()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with h5py.File(tmp_path / "a.h5") as stored:
        assert stored["a"][...].tolist() == [0, 1, 2]
