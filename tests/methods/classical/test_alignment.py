"""Tests of alignment along optical flow: compiled kernels against torch, and deblurring."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from spike_zoo.methods.classical import AlignedTFI, alignment, deblurring, intervals
from spike_zoo.methods.classical.alignment import PlaneAlignment
from spike_zoo.methods.classical.deblurring import box_filter, deblurred
from spike_zoo.methods.classical.intervals import Intervals
from spike_zoo.metrics import psnr
from spike_zoo.simulation import SpikeCamera
from spike_zoo.spikes import SpikeRecording

MIDDLE = 60
PLANES = 121


def edges(speed: float) -> NDArray[np.float32]:
    """Return light ``(T, H, W)`` of dim bars that move right, in pixels per plane."""
    generator = np.random.default_rng(0)
    starts = generator.integers(7, 15, 40).cumsum() - 120
    levels = generator.permutation(np.linspace(0.08, 0.5, 40))
    at = np.arange(96)[None] - speed * (np.arange(PLANES) - MIDDLE)[:, None]
    bars = np.interp(at, np.stack([starts, starts + 1], 1).ravel()[1:-1], levels[:-1].repeat(2))
    return np.repeat(bars[:, None], 32, axis=1).astype(np.float32)


def record(light: NDArray[np.float32]) -> SpikeRecording:
    camera = SpikeCamera(generator=np.random.default_rng(1))
    return SpikeRecording.from_planes(camera.expose(light), rate_scale=camera.rate_scale)


def decibels(image: torch.Tensor, light: NDArray[np.float32]) -> float:
    expected = torch.from_numpy(light[MIDDLE])[None, None]
    inside = (..., slice(4, -4), slice(24, -24))
    return psnr(image[inside], expected[inside]).item()


@pytest.mark.parametrize(("speed", "gain"), [(0.3, 1.0), (-0.6, 0.6)])
def test_deblurring_raises_psnr_of_moving_edges(speed: float, gain: float) -> None:
    light = edges(speed)
    recording = record(light)
    velocities = torch.zeros(1, 2, 2, *light.shape[1:])
    velocities[:, :, 0] = speed
    sharp, blurred = (
        AlignedTFI(unblurs=unblurs).along(recording.to_tensor()[None], MIDDLE, velocities)[0].rate
        for unblurs in (True, False)
    )
    scale = recording.rate_scale or 1.0
    psnrs = [decibels(rate[None, None] / scale, light) for rate in (sharp, blurred)]
    assert psnrs[0] > psnrs[1] + gain


def deblur(image: torch.Tensor, spikes: torch.Tensor, speed: float = 0.0) -> torch.Tensor:
    """Deblur an image at plane 45 of 91 along a constant flow, with 11 groups of planes."""
    groups = [range(first, first + 5) for first in range(18, 73, 5)]
    weights = torch.full((len(groups), *image.shape), 1 / len(groups))
    aligned = PlaneAlignment(45, groups, torch.full((2, 2, *image.shape), speed))
    return deblurred(image, Intervals.of(spikes), aligned, weights)


def test_deblurring_does_not_add_noise_that_differs_between_groups() -> None:
    generator = torch.Generator().manual_seed(0)
    spikes = (torch.rand(91, 24, 32, generator=generator) < 0.3).byte()
    image = torch.full((24, 32), 0.3)
    firing = spikes[18:73].float().mean(dim=0)
    assert (deblur(image, spikes) - image).std() < 0.5 * (firing - image).std()


def test_pixels_without_complete_intervals_do_not_change_the_image() -> None:
    spikes, image = torch.zeros(91, 12, 16, dtype=torch.uint8), torch.rand(12, 16)
    spikes[45, :, :8] = 1
    torch.testing.assert_close(deblur(image, spikes, speed=1.0), image)


def test_an_image_consistent_with_all_intervals_does_not_change() -> None:
    spikes, image = torch.zeros(91, 12, 16, dtype=torch.uint8), torch.full((12, 16), 1 / 3)
    spikes[::3] = 1
    torch.testing.assert_close(deblur(image, spikes), image, atol=1e-6, rtol=0)


SPIKES = arrays.arrays(
    np.bool_, st.tuples(st.integers(1, 30), st.integers(2, 5), st.integers(2, 9))
)
OUTSIDE = st.integers(1, 1200) | st.just(np.inf)


@given(spikes=SPIKES, before=OUTSIDE, after=OUTSIDE)
@pytest.mark.slow
def test_intervals_are_from_the_last_to_the_next_spike(
    spikes: NDArray[np.bool_], before: float, after: float
) -> None:
    count, *size = spikes.shape
    outside = torch.full(size, -before), torch.full(size, count - 1 + after)
    measured = Intervals.of(torch.from_numpy(spikes).byte(), *outside)
    for (plane, row, column), _ in np.ndenumerate(spikes):
        fired = np.flatnonzero(spikes[:, row, column]).tolist()
        last = max((k for k in fired if k <= plane), default=-before)
        following = min((k for k in fired if k > plane), default=count - 1 + after)
        at = (plane, row, column)
        assert measured.since[at] == min(plane - last, 255)
        assert measured.until[at] == min(following - plane, 255)
        interval = following - last
        assert measured.rates[at] == pytest.approx(1 / interval if interval <= 1024 else 0)


@given(spikes=SPIKES, seed=st.integers(0, 99), speed=st.floats(0, 2))
def test_the_compiled_kernels_equal_torch(
    spikes: NDArray[np.bool_], seed: int, speed: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    count, *size = spikes.shape
    velocity = speed * torch.randn(2, 2, *size, generator=generator)
    image = torch.rand(size, generator=generator)
    clip = range(min(1, count - 1), count)
    groups = [clip[first : first + 5] for first in range(0, len(clip), 5)]
    middle = count // 2

    def compute_all() -> list[torch.Tensor]:
        measured = Intervals.of(torch.from_numpy(spikes).byte())
        measured.fill_ends(2, 3)
        aligned = PlaneAlignment(middle, groups, velocity)
        values = [measured.since, measured.until, measured.rates]
        values += [aligned.each_plane(measured.rates), aligned.means(measured.rates)]
        values.append(aligned.whole(measured, clip))
        return [*values, aligned.excess(image[None], measured, clip), box_filter(image[None], 5)]

    compiled = compute_all()
    with pytest.MonkeyPatch.context() as patch:
        for module in (alignment, deblurring, intervals):
            patch.setattr(module, "is_compiled_for", lambda device: False)
        patch.setattr(alignment, "_WARPED_PIXELS", 4 * spikes[0].size)  # in several parts
        plain = compute_all()
    for fast, slow in zip(compiled, plain, strict=True):
        torch.testing.assert_close(fast, slow, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("rates", "before", "after", "filled"),
    [
        pytest.param([0, 0, 0.5, 0.25, 0], 0, 0, [0.5, 0.5, 0.5, 0.25, 0.25], id="nearest"),
        pytest.param([0, 0, 0.5, 0.25, 0], 8, 4, [0.1, 0.1, 0.5, 0.25, 0.2], id="silent before"),
        pytest.param([0, 0.5, 0.5, 0.5, 0], 41, 42, [1 / 42, 0.5, 0.5, 0.5, 0], id="too long"),
        pytest.param([0.0] * 5, 0, 0, [0.0] * 5, id="never fires"),
    ],
)
def test_intervals_cut_by_the_ends_of_a_recording_get_the_nearest_rate(
    rates: list[float], before: int, after: int, filled: list[float]
) -> None:
    planes = torch.zeros(5, 1, 1, dtype=torch.uint8)
    measured = Intervals(planes, planes, torch.tensor(rates).view(5, 1, 1))
    measured.fill_ends(before, after)
    torch.testing.assert_close(measured.rates.flatten(), torch.tensor(filled))
