"""Test scenes with varied light, speed, noise, defects and lost planes, and with parallax."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from spike_zoo.errors import UsageError
from spike_zoo.simulation.camera.noise import NOISE_PRESETS, CameraNoise
from spike_zoo.simulation.defaults import SHIPPED_PLAN, SPEEDS, default_scenes
from spike_zoo.simulation.kinds.takes import MARGIN, simulate_take
from spike_zoo.simulation.scenes.photograph_sets import PhotographSet, shipped_photographs
from spike_zoo.simulation.scenes.photographs import Split
from spike_zoo.simulation.scenes.scene import SceneSpec
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.spikes.take import Take

CONDITIONS_SIMULATOR: Final = "spike_zoo.simulation conditions v2"
SOFTNESS_SIMULATOR: Final = "spike_zoo.simulation softness v2"
PARALLAX_SIMULATOR: Final = "spike_zoo.simulation parallax v1"
_LAYERS: Final = (2, 3, 4)  # layers before the background, in turn
_DEPTHS: Final = (0.35, 0.85)  # range of their depths; the background has 1
_SHAKE: Final = 0.15  # speed of each oscillation, of the speed of the background

CONDITION_PLANES: Final = 2 * MARGIN + 2
"""Planes of a recording, enough for one image with a window of 151 planes."""

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
"""Condition -> its values in increasing order.

``light`` is the rate scale (spikes per plane at white), ``speed`` the fastest movement of the
background in pixels per plane, ``noise`` the factor of the terms of ``lowlight-v1``, ``dead`` the
share of pixels that never fire, ``hot`` the share of pixels that fire in every plane, and ``lost``
the share of planes without spikes. Conditions that are not varied are a rate scale of 0.6, a speed
of 0.3 pixels per plane, and by default no noise. For the same share, dead and hot pixels are the
same pixels.
"""
SOFTNESS: Final[Mapping[str, tuple[float, ...]]] = MappingProxyType({"softness": (0.0, 0.3, 0.6)})
"""Values of the condition of ``--kind softness``: the blur of the lens in pixels."""


@dataclass(frozen=True)
class ConditionedScene:
    """A scene under one value of one condition."""

    scene: SceneSpec  #: scene and camera before the condition is applied
    condition: str  #: one of :data:`CONDITIONS`, or ``softness``
    value: float  #: value of the condition

    @property
    def name(self) -> str:
        """Name of the recording, as ``kitten.light-0.05``."""
        return f"{self.scene.name}.{self.condition}-{self.value:g}"

    def take(self) -> Take:
        """Simulate the recording."""
        spec = self.scene
        if self.condition == "light":
            spec = replace(spec, rate_scale=self.value)
        elif self.condition == "speed":
            spec = replace(spec, speed=self.value, object_speed=1.25 * self.value)
        elif self.condition == "softness":
            spec = replace(spec, softness=self.value)
        noise = scaled_noise(self.value) if self.condition == "noise" else None
        take = simulate_take(spec, noise=noise)
        if self.condition not in ("dead", "hot", "lost"):
            return take
        planes = take.recording.read()
        chance = np.random.default_rng(np.random.SeedSequence([spec.seed, 3]))
        if self.condition == "lost":
            planes[chance.random(len(planes)) < self.value] = False
        else:
            planes[:, chance.random(planes.shape[1:]) < self.value] = self.condition == "hot"
        recording = SpikeRecording.from_planes(
            planes,
            fps=take.recording.fps,
            rate_scale=take.recording.rate_scale,
            meta=take.recording.meta,
        )
        return replace(take, recording=recording)


def conditioned_scenes(
    split: Split,
    count: int,
    seed: int,
    options: Mapping[str, Any],
    conditions: Mapping[str, tuple[float, ...]] = CONDITIONS,
) -> list[ConditionedScene]:
    """Return scenes of up to 24 shipped photographs, each under all values of all conditions.

    Raises UsageError if ``count`` is larger than their number, or the split is not ``"test"``.
    """
    limit = len(shipped_photographs().names["test"])
    if split != "test" or count > limit:
        raise UsageError(
            f"this kind has at most {limit} scenes, all in the test split: got --{split} {count}"
        )
    scenes = default_scenes(
        split,
        len(SPEEDS) * limit,
        seed,
        height=options["height"],
        width=options["width"],
        planes=options["planes"],
        noise=options["noise"],
        testing=SHIPPED_PLAN,
    )
    medium = [scene for scene in scenes if "-medium-" in scene.name][:count]
    plain = [
        replace(scene, name=scene.background.rpartition("/")[2], rate_scale=0.6, speed=0.3)
        for scene in medium
    ]
    return [
        ConditionedScene(scene, condition, value)
        for scene in plain
        for condition, values in conditions.items()
        for value in values
    ]


def scaled_noise(factor: float) -> CameraNoise:
    """Return the noise ``lowlight-v1`` with every term multiplied by a factor.

    The terms are means, deviations and probabilities. The deviation of the dark charge is the
    deviation of its logarithm, so the spread over pixels grows faster than the factor.
    """
    noise = NOISE_PRESETS["lowlight-v1"]
    if factor == 0:
        return NOISE_PRESETS["none"]
    values = {field.name: getattr(noise, field.name) * factor for field in fields(noise)[:-1]}
    # Poisson noise has the relative deviation 1 / sqrt(electrons); the rate of spurious spikes is
    # 1 / gap
    values["electrons"] = noise.electrons / factor**2
    for name in ("spurious_mean", "spurious_deviation"):
        values[name] = getattr(noise, name) / factor
    return CameraNoise(**values)


def parallax_scenes(
    split: Split, count: int, seed: int = 0, photographs: PhotographSet | None = None, **values: Any
) -> list[SceneSpec]:
    """Return scenes of two to four layers at different depths before a photograph.

    The layers are pieces of other photographs of the split, by default of the shipped ones. The
    camera translates and shakes, and half of the layers move by themselves. Successive scenes are
    slow, medium and fast: without the shake, the background moves at most at half of
    :data:`SPEEDS`, a layer at depth d 1 / d times as fast.

    ``values`` are further arguments of :func:`default_scenes`, which also states ``split``,
    ``count`` and ``seed``.
    """
    chosen = photographs or shipped_photographs()
    values |= {"testing": SHIPPED_PLAN, "photographs": chosen}
    names = chosen.names[split]
    layered = []
    for index, spec in enumerate(default_scenes(split, count, seed, **values)):
        rng = np.random.default_rng(np.random.SeedSequence([spec.seed, 7]))
        photograph, speed = names[index % len(names)], tuple(SPEEDS)[index % len(SPEEDS)]
        others = [name for name in names if name != photograph]
        layers = _LAYERS[index // len(SPEEDS) % len(_LAYERS)]
        objects = rng.choice(others, layers, replace=len(others) < layers)
        layered.append(
            replace(
                spec,
                name=f"{split}-{photograph.rpartition('/')[2]}-{speed}-{index:02d}",
                background=f"photo:{photograph}",
                objects=tuple(f"photo:{name}" for name in objects),
                depths=tuple(np.sort(rng.uniform(*_DEPTHS, layers))[::-1].round(3).tolist()),
                speed=SPEEDS[speed] / 2,
                object_speed=SPEEDS[speed],
                shake=_SHAKE * SPEEDS[speed] / 2,
            )
        )
    return layered
