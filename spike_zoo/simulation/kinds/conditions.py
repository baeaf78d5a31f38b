"""Test scenes under graded conditions: light, speed, noise, defective pixels, lost planes."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from spike_zoo.errors import UsageError
from spike_zoo.simulation.camera.noise import NOISE_PRESETS, CameraNoise
from spike_zoo.simulation.defaults import SPEEDS, default_scenes
from spike_zoo.simulation.kinds.takes import MARGIN, simulate_take
from spike_zoo.simulation.scenes.photographs import TEST_PICTURES
from spike_zoo.spikes import SpikeRecording, Take

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from spike_zoo.simulation.scenes.photographs import Split
    from spike_zoo.simulation.scenes.scene import SceneSpec

CONDITIONS_SIMULATOR: Final = "spike_zoo.simulation conditions v1"
CONDITION_PLANES: Final = 2 * MARGIN + 2
"""Planes of a recording: one image with a window of 151 planes around it."""

CONDITIONS: Final[Mapping[str, tuple[float, ...]]] = MappingProxyType(
    {
        "light": (0.05, 0.1, 0.2, 0.4, 0.7, 1.0),
        "speed": (0.0, 0.1, 0.2, 0.4, 0.8, 1.6),
        "noise": (0.0, 0.5, 1.0, 2.0, 4.0),
        "dead": (0.0, 0.001, 0.003, 0.01, 0.03),
        "hot": (0.0, 0.001, 0.003, 0.01, 0.03),
        "lost": (0.0, 0.01, 0.03, 0.1, 0.3),
    }
)
"""Condition -> its values, from the weakest on.

``light`` is the rate scale (spikes per plane at white), ``speed`` the fastest movement of the
background in pixels per plane, ``noise`` the factor of the terms of ``lowlight-v1``, ``dead`` the
share of pixels that never fire, ``hot`` the share that fire in every plane, and ``lost`` the share
of planes that are stored without spikes. What is not varied has a rate scale of 0.6, 0.3 pixels
per plane, and by default no noise. Dead and hot pixels of one share are the same pixels.
"""


@dataclass(frozen=True)
class ConditionedScene:
    """A scene under one value of one condition.

    Attributes:
        scene: The scene, and the camera without the condition.
        condition: One of :data:`CONDITIONS`.
        value: Of the condition.
    """

    scene: SceneSpec
    condition: str
    value: float

    @property
    def name(self) -> str:
        """Name of the recording, as ``chelsea.light-0.05``."""
        return f"{self.scene.name}.{self.condition}-{self.value:g}"

    def take(self) -> Take:
        """Simulate the recording."""
        spec = self.scene
        if self.condition == "light":
            spec = replace(spec, rate_scale=self.value)
        elif self.condition == "speed":
            spec = replace(spec, speed=self.value, object_speed=1.25 * self.value)
        noise = scaled_noise(self.value) if self.condition == "noise" else None
        take = simulate_take(spec, noise=noise)
        if self.condition not in ("dead", "hot", "lost"):
            return take
        planes = take.recording.read()
        chance = np.random.default_rng(np.random.SeedSequence([spec.seed, 3]))
        _spoil(planes, self.condition, self.value, chance)
        recording = SpikeRecording.from_planes(
            planes,
            fps=take.recording.fps,
            rate_scale=take.recording.rate_scale,
            meta=take.recording.meta,
        )
        return replace(take, recording=recording)


def conditioned_scenes(
    split: Split, count: int, seed: int, options: Mapping[str, Any]
) -> list[ConditionedScene]:
    """Return up to eight test scenes, each under all values of all conditions.

    Raises:
        UsageError: If more are asked for, or scenes of another split.
    """
    if split != "test" or count > len(TEST_PICTURES):
        raise UsageError(
            f"--kind conditions makes at most {len(TEST_PICTURES)} scenes, all to test with: got "
            f"--{split} {count}"
        )
    scenes = default_scenes(
        split,
        len(SPEEDS) * len(TEST_PICTURES),
        seed,
        height=options["height"],
        width=options["width"],
        planes=options["planes"],
        noise=options["noise"],
        testing="eight",
    )
    chosen = [scene for scene in scenes if "-medium-" in scene.name][:count]
    plain = [
        replace(scene, name=scene.background.removeprefix("photo:"), rate_scale=0.6, speed=0.3)
        for scene in chosen
    ]
    return [
        ConditionedScene(scene, condition, value)
        for scene in plain
        for condition, values in CONDITIONS.items()
        for value in values
    ]


def scaled_noise(factor: float) -> CameraNoise:
    """Return the noise ``lowlight-v1`` with every term multiplied by a factor.

    These are means, deviations and probabilities; that of the dark charge is one of a logarithm, so
    its spread over the pixels grows faster than the factor.
    """
    noise = NOISE_PRESETS["lowlight-v1"]
    if factor == 0:
        return NOISE_PRESETS["none"]
    values = {one.name: getattr(noise, one.name) * factor for one in fields(noise)[:-1]}
    # the deviation of Poisson light is one over the root of the electrons; rates of spurious
    # spikes are one over their gap
    values["electrons"] = noise.electrons / factor**2
    for name in ("spurious_mean", "spurious_deviation"):
        values[name] = getattr(noise, name) / factor
    return CameraNoise(**values)


def _spoil(
    planes: NDArray[np.bool_], condition: str, share: float, chance: np.random.Generator
) -> None:
    """Make a share of the pixels dead or hot, or lose a share of the planes, in place."""
    if condition == "lost":
        planes[chance.random(len(planes)) < share] = False
    else:
        planes[:, chance.random(planes.shape[1:]) < share] = condition == "hot"
