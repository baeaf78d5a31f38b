"""Methods apply the maps of a recording's camera."""

import functools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from spike_zoo import load
from spike_zoo.methods.stir.aligned import AlignedSTIRModule
from spike_zoo.simulation.camera.noise import CameraNoise, fixed_patterns
from spike_zoo.simulation.camera.spike_camera import SpikeCamera
from spike_zoo.spikes import PixelMaps, SpikeRecording
from spike_zoo.tasks.clips import ClipReconstruction

SIZE, CENTER, SCALE = (48, 56), 90, 0.6
NOISE = CameraNoise(
    dark=0.02, gain_deviation=0.1, threshold_deviation=0.05, dark_deviation=0.5, sensor=3
)
METHODS = ["tfp", "tfi", "tfstp", "tfi-aligned", "plain", "stir", "aligned-stir"]


def light(plane: int) -> np.ndarray:
    """Return a pattern that moves by 0.2 pixels per plane."""
    rows, columns = np.indices(SIZE)
    waves = np.sin((columns - 0.2 * plane) / 3) + np.sin((columns - 0.2 * plane + 2 * rows) / 7)
    return np.asarray(0.5 + 0.2 * waves, np.float32)


@pytest.fixture(scope="module")
def recording() -> SpikeRecording:
    """Return a recording with strong patterns, four dead and four hot pixels, and its maps."""
    camera = SpikeCamera(gain=SCALE, noise=NOISE, generator=0)
    spikes = camera.expose(np.stack([light(plane) for plane in range(181)]))
    gain, threshold, dark = (m.reshape(SIZE) for m in fixed_patterns(NOISE, SIZE[0] * SIZE[1], 0))
    defective = np.zeros(SIZE, bool)
    defective[10, 5:45:5] = True
    spikes[:, 10, 5:45:10], spikes[:, 10, 10:50:10] = False, True
    maps = PixelMaps(gain / threshold, dark / threshold, defective)
    return SpikeRecording.from_planes(spikes, rate_scale=SCALE, maps=maps)


@functools.cache
def method_of(name: str) -> Any:
    """Return a method by name; an untrained network of aligned input returns its draft."""
    if name == "aligned-stir":
        return AlignedSTIRModule(width=0.25, pyramid_levels=3, lpips="off").eval()
    method: Any = load(name)
    return method.adjusted(average=9) if name == "tfi" else method


def image_of(
    method: str, recording: SpikeRecording, maps: PixelMaps | None, scale: float
) -> Tensor:
    """Return the image of a copy of a recording with other maps."""
    copied = SpikeRecording(recording.packed, SIZE[1], maps=maps)
    copied.cfa = "RGGB" if "colour" in method else None
    image: Tensor = method_of(method).reconstruct(copied, [CENTER], rate_scale=scale)[0]
    return image


@pytest.mark.parametrize("method", METHODS)
def test_maps_remove_patterns_and_defects(recording: SpikeRecording, method: str) -> None:
    truth = torch.from_numpy(light(CENTER))[None]
    raw, corrected = (
        (image_of(method, recording, maps, SCALE) - truth).abs() for maps in (None, recording.maps)
    )
    assert corrected.square().mean() < 0.6 * raw.square().mean()
    assert recording.maps is not None
    defects = torch.from_numpy(recording.maps.defective)
    assert corrected[0, defects].mean() < 0.5 * raw[0, defects].mean()


@pytest.mark.parametrize("method", [*METHODS[:5], "tfi-aligned-colour"])
def test_twice_the_gain_is_half_the_rate_scale(recording: SpikeRecording, method: str) -> None:
    gain, dark = np.full(SIZE, 2, np.float32), np.zeros(SIZE, np.float32)
    maps = PixelMaps(gain, dark, np.zeros(SIZE, bool))
    images = (image_of(method, recording, *pair) for pair in ((maps, SCALE / 2), (None, SCALE)))
    torch.testing.assert_close(*images, atol=1e-4, rtol=0)


def test_a_method_that_ignores_the_maps_warns(recording: SpikeRecording) -> None:
    class Own(ClipReconstruction):
        clip_length = 3

        def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
            return spikes.mean(dim=1, keepdim=True)

    with pytest.warns(UserWarning, match="Own does not apply the maps of the camera"):
        Own().reconstruct(recording, [CENTER])
