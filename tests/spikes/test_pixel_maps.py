"""Correction of firing rates by the maps of a camera."""

import pickle

import numpy as np
import pytest
import torch

from spike_zoo.errors import GeometryError
from spike_zoo.spikes import PixelMaps, SpikeRecording
from spike_zoo.spikes.rate_scale import estimate_rate_scale


def make_maps(height: int, width: int, *defects: tuple[int, int], **values: float) -> PixelMaps:
    defective = np.zeros((height, width), bool)
    for defect in defects:
        defective[defect] = True
    gain, dark = (
        np.full((height, width), values.get(name, usual), np.float32)
        for name, usual in (("gain", 1.0), ("dark", 0.0))
    )
    return PixelMaps(gain, dark, defective)


def test_dark_spikes_are_subtracted_before_the_division_by_the_gain() -> None:
    maps = make_maps(2, 3, gain=2.0, dark=0.1)
    rates = torch.full((4, 5, 2, 3), 0.5)
    torch.testing.assert_close(maps.correct(rates), torch.full_like(rates, 0.2))
    spikes = torch.tensor([0, 1], dtype=torch.uint8).view(2, 1, 1).expand(2, 2, 3)
    torch.testing.assert_close(maps.correct(spikes)[:, 0, 0], torch.tensor([-0.05, 0.45]))


def test_defects_become_the_mean_of_their_valid_neighbours() -> None:
    maps = make_maps(4, 4, (0, 0), (2, 1), (2, 2))
    rates = torch.arange(16.0).view(4, 4)
    expected = rates.clone()
    rates[maps.defective] = 99
    expected[0, 0], expected[2, 1], expected[2, 2] = 2.5, (5 + 8 + 13) / 3, (6 + 11 + 14) / 3
    torch.testing.assert_close(maps.correct(rates), expected)
    transposed = rates.expand(3, 4, 4).permute(0, 2, 1)  # not contiguous
    result = PixelMaps(maps.gain, maps.dark, maps.defective.T).correct(transposed)
    torch.testing.assert_close(result[2], expected.T)


def test_defects_far_from_valid_pixels_are_filled() -> None:
    everywhere = [(row, column) for row in range(5) for column in range(5)]
    maps = make_maps(5, 5, *everywhere[1:])
    rates = torch.zeros(5, 5)
    rates[0, 0] = 4
    assert (maps.correct(rates) == 4).all()
    assert make_maps(5, 5, *everywhere).correct(rates).equal(rates)


def test_defects_of_a_bayer_sensor_are_filled_from_the_same_filter() -> None:
    recording = SpikeRecording.from_planes(np.zeros((1, 6, 6), bool), cfa="RGGB")
    recording.maps = make_maps(6, 6, (2, 2))
    rates = torch.zeros(6, 6)
    rates[0::2, 0::2] = 0.7  # red
    rates[2, 2] = 1.0
    assert recording.corrected(rates)[2, 2] == pytest.approx(0.7)


def test_a_recording_keeps_its_maps_and_rejects_those_of_another_size() -> None:
    recording = SpikeRecording.from_planes(np.zeros((4, 2, 3), bool), maps=make_maps(2, 3))
    copied = pickle.loads(pickle.dumps(recording.between(1, 3)))
    assert copied.maps.sha256 == make_maps(2, 3).sha256 != make_maps(2, 3, gain=2.0).sha256
    with pytest.raises(GeometryError, match="maps of 3x2 pixels do not fit planes of 2x3"):
        recording.maps = make_maps(3, 2)
    rates = torch.zeros(2, 3)
    recording.maps = None
    assert recording.corrected(rates) is rates


def test_hot_pixels_do_not_change_the_estimated_rate_scale() -> None:
    spikes = np.zeros((100, 10, 10), bool)
    spikes[::2] = True
    spikes[:, 3, 4] = True
    recording = SpikeRecording.from_planes(spikes, maps=make_maps(10, 10, (3, 4)))
    assert estimate_rate_scale(recording) == pytest.approx(1.1 * 0.5, rel=0.05)


@pytest.mark.parametrize(
    ("gain", "dark", "message"),
    [
        (np.zeros((2, 3)), np.zeros((2, 3)), "gain must be above 0"),
        (np.full((2, 3), np.nan), np.zeros((2, 3)), "gain must be above 0"),
        (np.ones((2, 3)), np.full((2, 3), -0.1), "dark must be at least 0"),
        (np.ones((2, 3)), np.zeros((3, 2)), "expected"),
    ],
)
def test_invalid_maps_are_rejected(gain: np.ndarray, dark: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PixelMaps(gain, dark, np.zeros((2, 3), bool))
