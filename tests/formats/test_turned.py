"""Mirrored and rotated ``.dat`` recordings."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from spike_zoo.cli.main import main
from spike_zoo.errors import UsageError
from spike_zoo.formats import read_recording, write_recording
from tests.helpers.streams import random_spikes

SPIKES = random_spikes(9, 6, 20)
CLOCKWISE = {0: 0, 90: -1, 180: -2, 270: -3}  # quarter turns as numpy counts them


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_recording(SPIKES, tmp_path / "clip.dat")


@pytest.mark.parametrize("rotate", [None, 0, 90, 180, 270])
@pytest.mark.parametrize("mirror", [None, False, True])
@pytest.mark.parametrize("flip", [True, False])
def test_planes_are_flipped_then_mirrored_then_rotated_clockwise(
    clip: Path, flip: bool, mirror: bool | None, rotate: int | None
) -> None:
    expected = SPIKES if flip else SPIKES[:, ::-1]
    expected = expected[:, :, ::-1] if mirror else expected
    expected = np.rot90(expected, CLOCKWISE[rotate or 0], axes=(1, 2))
    stored = read_recording(clip, height=6, width=20, flip=flip, mirror=mirror, rotate=rotate)
    for recording in (stored, pickle.loads(pickle.dumps(stored))):
        assert recording.shape == expected.shape
        np.testing.assert_array_equal(recording[:], expected)
        np.testing.assert_array_equal(recording[2:5], expected[2:5])
        np.testing.assert_array_equal(recording[4:4], expected[4:4])
        packed = np.packbits(expected, axis=-1, bitorder="little")
        np.testing.assert_array_equal(recording.packed, packed)
        part = recording.read_packed(1, 7, rows=slice(1, 5), byte_columns=slice(0, 1))
        np.testing.assert_array_equal(part, packed[1:7, 1:5, :1])


def test_a_sidecar_rotates_a_recording_and_options_override_it(clip: Path) -> None:
    Path(f"{clip}.yaml").write_text("{spike_h: 6, spike_w: 20, mirror: true, rotate: 270}")
    turned = np.rot90(SPIKES[:, :, ::-1], CLOCKWISE[270], axes=(1, 2))
    recording = read_recording(clip)
    np.testing.assert_array_equal(recording[:], turned)
    assert (recording.meta["source_mirrored"], recording.meta["source_rotated"]) == (True, 270)
    np.testing.assert_array_equal(read_recording(clip, mirror=False, rotate=0)[:], SPIKES)


def test_other_angles_and_formats_without_rotation_are_rejected(tmp_path: Path, clip: Path) -> None:
    with pytest.raises(UsageError, match=r"--rotate must be 0, 90, 180 or 270 degrees.*got 45"):
        read_recording(clip, height=6, width=20, rotate=45)
    path = write_recording(SPIKES, tmp_path / "clip.npz")
    for options in ({"mirror": True}, {"rotate": 90}):
        with pytest.raises(UsageError, match=r"clip\.npz: --mirror and --rotate are for \.dat"):
            read_recording(path, **options)


def test_commands_rotate_recordings(tmp_path: Path, clip: Path) -> None:
    size = ["--height", "6", "--width", "20", "--mirror", "true", "--rotate", "90"]
    turned = np.rot90(SPIKES[:, :, ::-1], CLOCKWISE[90], axes=(1, 2))
    out = tmp_path / "clip.h5"
    assert main(["archive", "build", str(clip), str(out), *size]) == 0
    np.testing.assert_array_equal(read_recording(out)[:], turned)
