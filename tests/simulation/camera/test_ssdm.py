from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spike_zoo.simulation.camera.noise import spurious_spikes
from spike_zoo.simulation.camera.spike_camera import ssdm_camera
from tests.helpers.golden import Golden


@pytest.fixture(scope="module")
def reference(golden: Path) -> Golden:
    """Vectors made with the released simulator (Chen et al., SpikeReveal, NeurIPS 2024)."""
    return Golden(golden / "simulator.npz")


@pytest.mark.parametrize("threshold", [2, 4, 8])
def test_spikes_equal_the_released_simulator_bit_for_bit(reference: Golden, threshold: int) -> None:
    camera = ssdm_camera(reference.arrays["sim.start"], threshold)
    parts = np.split(reference.arrays["sim.frames"], 4)
    spikes = np.concatenate([camera.expose(part) for part in parts])
    np.testing.assert_array_equal(spikes, reference.bits(f"sim.spike_vth{threshold}"))


def test_spurious_spikes_equal_the_released_simulator_bit_for_bit(reference: Golden) -> None:
    expected = reference.bits("sim.noise")
    spikes = spurious_spikes((40, 12, 16), reference.arrays["sim.noise_draws"])
    np.testing.assert_array_equal(spikes, expected)


def test_the_dummy_plane_may_fire_below_a_threshold_of_two() -> None:
    draws = np.full((1, 1), 0.75, dtype=np.float32)  # a charge of 1.489 leaves 0.489 at threshold 1
    camera = ssdm_camera(draws, threshold=1.0)
    camera.expose(np.zeros((1, 1, 1), dtype=np.float32))
    charge: Any = camera.charge
    assert charge[0, 0] == pytest.approx(0.75 * 1.98543 - 1, abs=1e-4)


def test_rate_scale_at_the_released_threshold_is_that_of_the_paper() -> None:
    assert ssdm_camera(np.zeros((2, 2)), 2.0).rate_scale == pytest.approx(0.993, abs=5e-4)
