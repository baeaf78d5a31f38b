import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from spike_zoo.simulation.scenes.textures import coverage, make_texture

KINDS = ["photo:coffee", "leaves", "leaves:rocket+page", "noise", "stripes", "checker", "text"]


def texture(kind: str, seed: int = 0) -> NDArray[np.float32]:
    return make_texture(kind, (160, 200), 2, np.random.default_rng(seed))


@pytest.mark.parametrize("kind", KINDS)
def test_textures_fill_the_range_and_repeat_by_seed(kind: str) -> None:
    first, repeated, other_seed = texture(kind), texture(kind), texture(kind, 1)
    assert first.dtype == np.float32
    assert first.shape[0] == 3
    assert kind.startswith("photo") or first.shape == (3, 160, 200)
    assert 0.0 <= first.min() < 0.35
    assert 0.6 < first.max() <= 1.0
    assert first.std() > 0.08
    np.testing.assert_array_equal(first, repeated)
    assert first.shape != other_seed.shape or (first != other_seed).any()


@pytest.mark.parametrize("kind", KINDS)
def test_textures_have_little_energy_at_high_frequencies(kind: str) -> None:
    grey = texture(kind).mean(axis=0)
    window = np.hanning(grey.shape[0])[:, None] * np.hanning(grey.shape[1])[None]
    spectrum = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2
    rows, columns = (np.abs(np.fft.fftfreq(side)) for side in grey.shape)
    fine = np.maximum(rows[:, None], columns[None]) > 0.4  # cycles per texel; 0.5 is the limit
    assert spectrum[fine].sum() < 0.012 * spectrum.sum()


def test_dead_leaves_have_the_spectrum_of_natural_images() -> None:
    spectra = []
    for seed in range(3):
        grey = make_texture("leaves", (256, 256), 2, np.random.default_rng(seed)).mean(axis=0)
        window = np.hanning(256)[:, None] * np.hanning(256)[None]
        spectra.append(np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2)
    power = np.mean(spectra, axis=0)
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    edges = np.geomspace(0.015, 0.2, 9)
    rings = [power[(radius >= a) & (radius < b)].mean() for a, b in itertools.pairwise(edges)]
    slope = np.polyfit(np.log(np.sqrt(edges[1:] * edges[:-1])), np.log(rings), 1)[0]
    assert -3.6 < slope < -1.8  # amplitudes fall as one over the frequency: -2 to -3


def test_coverage_is_the_area_of_a_disc() -> None:
    whole = slice(0, 64)
    mask = coverage(lambda angle: np.ones_like(angle), 20.0, (31.3, 32.8), whole, whole)
    assert mask.sum() == pytest.approx(np.pi * 20.0**2, rel=2e-3)
    assert ((mask > 0) & (mask < 1)).any()


@pytest.mark.parametrize("kind", ["marble", "noise:coffee"])
def test_an_unknown_texture_is_rejected_with_the_known_ones_listed(kind: str) -> None:
    with pytest.raises(ValueError, match=r"leaves:NAME\+NAME"):
        texture(kind)
