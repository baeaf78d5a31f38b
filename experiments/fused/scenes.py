"""Scenes for the training of `fused`: light, noise, defects and changes of light vary."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from spike_zoo.methods.fused.network import FusedInputs
from spike_zoo.simulation.camera.spike_camera import SpikeCamera
from spike_zoo.simulation.defaults import default_scenes
from spike_zoo.simulation.kinds.conditions import scaled_noise
from spike_zoo.simulation.scenes.photograph_sets import shipped_photographs
from spike_zoo.simulation.scenes.scene import Scene, SceneSpec
from spike_zoo.spikes.recording import SpikeRecording

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spike_zoo.simulation.scenes.photograph_sets import PhotographSet

HEIGHT, WIDTH, PLANES = 128, 160, 113
IMAGES: Final = 4  # of a scene
_CENTERS: Final = (42, 51, 60, 69)
_CHANCES: Final = {
    "default": 0.46, "light": 0.1, "noise": 0.13, "dead": 0.05, "hot": 0.05, "lost": 0.06,
    "flicker": 0.04, "cut": 0.04, "several": 0.07,
}  # fmt: skip
_VALIDATED: Final = (
    *(("light", 0.05), ("light", 0.2), ("light", 1.0), ("speed", 0.0), ("speed", 1.6)),
    *(("noise", 1.0), ("noise", 4.0), ("dead", 0.01), ("hot", 0.01), ("lost", 0.1)),
)  # conditions and values
_PERIODS: Final = 40.0, 400.0  # of flicker, in planes
_FASTER: Final = 0.3  # share of scenes with up to 3 pixels per plane


@dataclass(frozen=True)
class Condition:
    """A scene with conditions applied to it."""

    spec: SceneSpec
    values: dict[str, float]  # condition -> value
    next: SceneSpec | None = None  # after the cut

    @property
    def condition(self) -> str:
        """Condition and value, as ``light 0.05``."""
        return ", ".join(f"{name} {value:g}" for name, value in self.values.items()) or "default"

    def record(self) -> tuple[SpikeRecording, NDArray[np.float32]]:
        """Simulate the recording; return it and the luminance of every plane."""
        rng = np.random.default_rng([self.spec.seed, 5])
        light = Scene(self.spec).luminance()
        if self.next is not None:
            cut = int(self.values["cut"])
            light[cut:] = Scene(self.next).luminance(cut)
        if "flicker" in self.values:
            period = np.exp(rng.uniform(*np.log(_PERIODS)))
            phase = 2 * np.pi * (np.arange(len(light)) / period + rng.random())
            share = 1 - self.values["flicker"] * (1 + np.sin(phase)) / 2
            light *= share[:, None, None].astype(np.float32)
        noise: Any = self.spec.noise
        if "noise" in self.values:
            noise = scaled_noise(self.values["noise"])
        camera = SpikeCamera(gain=self.spec.rate_scale, noise=noise, generator=rng)
        planes = camera.expose(light)
        for kind in ("dead", "hot"):
            if kind in self.values:
                planes[:, rng.random(planes.shape[1:]) < self.values[kind]] = kind == "hot"
        if "lost" in self.values:
            planes[rng.random(len(planes)) < self.values["lost"]] = False
        return SpikeRecording.from_planes(planes, rate_scale=self.spec.rate_scale), light


def training_scene(index: int, scenes: list[SceneSpec], seed: int = 0) -> Condition:
    """Draw the conditions of one of the scenes of :func:`training_scenes`."""
    rng = np.random.default_rng([seed, index, 17])
    spec, values = scenes[index], {}
    if rng.random() < _FASTER:
        speeds = [_log_uniform(rng, 0.3, 3.0) for _ in range(2)]
        spec = replace(spec, speed=speeds[0], object_speed=speeds[1])
    kind = str(rng.choice(list(_CHANCES), p=list(_CHANCES.values())))
    names = ("light", "noise", "dead", "hot", "lost")
    kinds = list(rng.choice(names, 2, replace=False)) if kind == "several" else [kind]
    following = None
    for name in kinds:
        if name == "light":
            spec = replace(spec, rate_scale=_log_uniform(rng, 0.04, 1.0))
        elif name == "noise":
            values["noise"] = float(rng.uniform(0.3, 4.5))
        elif name in ("dead", "hot"):
            values[name] = _log_uniform(rng, 0.0005, 0.03)
        elif name == "lost":
            values["lost"] = _log_uniform(rng, 0.01, 0.3)
        elif name == "flicker":
            values["flicker"] = float(rng.uniform(0.1, 0.7))
        elif name == "cut":
            values["cut"] = float(rng.integers(20, 90))
            following = replace(scenes[index - 3], planes=spec.planes)
    return Condition(spec, values, following)


def training_scenes(photographs: PhotographSet, count: int, seed: int = 0) -> list[SceneSpec]:
    """Return scenes of photographs and of objects cut from them, without conditions."""
    size = {"height": HEIGHT, "width": WIDTH, "planes": PLANES}
    return default_scenes(
        "train", count, seed, training="photographs", photographs=photographs, **size
    )


def validation_scenes() -> list[Condition]:
    """Return the scenes of the validation photographs, and two of them under other conditions."""
    scenes = default_scenes("val", 12, planes=PLANES, photographs=shipped_photographs())
    conditions = [Condition(scene, {}) for scene in scenes]
    for scene in [scene for scene in scenes if "-medium-" in scene.name][:2]:
        base = replace(scene, rate_scale=0.6, speed=0.3, noise="none")
        for name, value in _VALIDATED:
            spec, values = base, {name: value}
            if name == "light":
                spec = replace(base, rate_scale=value)
            elif name == "speed":
                spec = replace(base, speed=value, object_speed=1.25 * value)
            conditions.append(Condition(spec, values))
    return conditions


def samples(scene: Condition, *, varied: bool) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    """Return inputs ``(N, 34, H, W)`` and images ``(N, H, W)`` of a scene."""
    recording, light = scene.record()
    rng = np.random.default_rng([scene.spec.seed, 6])
    centers = list(_CENTERS) if varied else [PLANES // 2]
    if varied:
        centers = [center + int(rng.integers(-4, 5)) for center in centers]
        if rng.random() < 0.25:  # an image near an end of the recording
            edge = int(rng.integers(0, 24))
            centers[rng.integers(len(centers))] = edge if rng.random() < 0.5 else PLANES - 1 - edge
    centers = sorted(centers)
    scale = float(recording.rate_scale or 1.0)
    inputs = torch.stack(list(FusedInputs(scale).of(recording, centers)))
    images = np.clip(light[centers], 0, 1)
    return inputs.half().numpy(), images.astype(np.float16)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
