"""BASE, trained outside of the package."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.base.module import BaseModule
from spike_zoo import load
from spike_zoo.simulation import SpikeCamera
from spike_zoo.spikes.recording import SpikeRecording
from tests.conftest import ROOT


def test_the_network_has_the_published_number_of_parameters() -> None:
    assert sum(weight.numel() for weight in BaseModule().parameters()) == 180_705


@pytest.mark.parametrize("rate_scale", [0.6, 0.4])
def test_a_grey_scene_is_reconstructed_at_its_level(rate_scale: float) -> None:
    light = np.full((61, 30, 40), 0.5, np.float32)
    camera = SpikeCamera(gain=rate_scale, generator=np.random.default_rng(0))
    recording = SpikeRecording.from_planes(camera.expose(light), rate_scale=rate_scale)
    method = load(ROOT / "experiments/base/weights/base.safetensors", trust=True)

    image = method.reconstruct(recording, [30])

    assert image.shape == (1, 1, 30, 40)
    assert image[..., 6:-6, 6:-6].mean().item() == pytest.approx(0.5, abs=0.02)
