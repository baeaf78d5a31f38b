"""Recordings that are mirrored and rotated when they are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spike_zoo import SpikeRecording, read_recording, write_recording
from spike_zoo.errors import FormatError, UsageError
from spike_zoo.spikes.orientation import oriented

PLANES = np.random.default_rng(0).random((5, 7, 11)) < 0.4


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_planes_are_mirrored_then_rotated_counter_clockwise(mirror: bool, rotate: int) -> None:
    expected = PLANES[..., ::-1] if mirror else PLANES
    expected = np.rot90(expected, rotate // 90, axes=(1, 2))
    recording = oriented(
        SpikeRecording.from_planes(PLANES, rate_scale=0.6), mirror=mirror, rotate=rotate
    )
    assert recording.shape == expected.shape
    assert recording.rate_scale == 0.6
    np.testing.assert_array_equal(recording[:], expected)
    np.testing.assert_array_equal(recording[2:4], expected[2:4])
    part = recording.read_packed(1, 3, rows=slice(2, 5), byte_columns=slice(0, 1))
    np.testing.assert_array_equal(
        np.unpackbits(part, axis=-1, bitorder="little")[..., :7], expected[1:3, 2:5, :7]
    )


def test_another_angle_is_rejected() -> None:
    with pytest.raises(UsageError, match="rotate must be 0, 90, 180 or 270 degrees, got 45"):
        oriented(SpikeRecording.from_planes(PLANES), rotate=45)


def test_a_sidecar_states_the_orientation_and_arguments_come_first(tmp_path: Path) -> None:
    path = write_recording(PLANES[..., :8], tmp_path / "clip.npy")
    sidecar = tmp_path / "clip.npy.yaml"
    sidecar.write_text("mirror: true\nrotate: 90\n")
    expected = np.rot90(PLANES[..., :8][..., ::-1], axes=(1, 2))
    np.testing.assert_array_equal(read_recording(path)[:], expected)
    plain = read_recording(path, mirror=False, rotate=0)
    np.testing.assert_array_equal(plain[:], PLANES[..., :8])
    sidecar.write_text("rotate: 45\n")
    with pytest.raises(FormatError, match="rotate is 45, expected 0, 90, 180, 270"):
        read_recording(path)
