"""Images of shipped methods where they fail: ``python -m benchmarks.failures``.

Writes docs/pictures/failures.png and prints PSNR beside that of the same scene without the cause.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from spike_zoo import load
from spike_zoo.media.pictures import contact_sheet, save_picture
from spike_zoo.metrics import psnr
from spike_zoo.simulation import SpikeCamera, default_scenes
from spike_zoo.simulation.scenes.scene import Scene, SceneSpec
from spike_zoo.spikes import SpikeRecording

if TYPE_CHECKING:
    from numpy.typing import NDArray

PICTURE: Final = Path("docs/pictures/failures.png")
PLANES, CENTER, CUT = 201, 100, 95
METHODS: Final = {
    "tfi, mean of 9": "tfi",
    "tfi-aligned": "tfi-aligned",
    "plain": "plain",
    "stir": "stir",
}


def lights() -> dict[str, NDArray[np.float32]]:
    """Return the light of each plane of each scene, ``(T, H, W)``."""
    first, second = (_spec(name) for name in ("astronaut-medium", "chelsea-medium"))
    usual, other = (Scene(spec).luminance() for spec in (first, second))
    flicker = 1 / np.sqrt(3) ** (1 + np.sin(2 * np.pi * np.arange(PLANES) / 19))
    return {
        "0.3 pixels per plane": usual,
        "5 planes after a cut": np.concatenate([other[:CUT], usual[CUT:]]),
        "flicker by a factor of 3": (usual * flicker[:, None, None]).astype(np.float32),
        "3 pixels per plane": Scene(replace(first, speed=3.0, object_speed=3.0)).luminance(),
    }


def _spec(part: str) -> SceneSpec:
    specs = default_scenes("test", 8, testing="three", planes=PLANES)
    return replace(next(spec for spec in specs if part in spec.name), noise="none", rate_scale=0.6)


def main() -> None:
    """Write the picture and print the table."""
    methods = {name: load(method) for name, method in METHODS.items()}
    methods["tfi, mean of 9"] = methods["tfi, mean of 9"].adjusted(average=9)  # type: ignore[operator]
    images, captions = [], []
    for condition, light in lights().items():
        camera = SpikeCamera(generator=0)
        recording = SpikeRecording.from_planes(camera.expose(light), rate_scale=0.6)
        truth = torch.from_numpy(light[CENTER])[None, None]
        for name, method in methods.items():
            image = method.reconstruct(recording, [CENTER])  # type: ignore[operator]
            value = float(psnr(image, truth))
            print(f"{condition}: {name} {value:.1f} dB", flush=True)
            images.append(image[0])
            captions.append(f"{name}: {value:.1f} dB")
        images.append(truth[0])
        captions.append(condition)
    save_picture(contact_sheet(images, captions, len(methods) + 1), PICTURE, overwrite=True)
    print(PICTURE)


if __name__ == "__main__":
    main()
