"""Images of shipped methods where they fail: ``python -m benchmarks.failures``.

Writes docs/pictures/conditions.jpg (of data/conditions.h5), failures.png, failures_student.jpg and
failures_sci.jpg (of data/deblur.h5 and data/sequence.h5), and prints PSNR beside that of the same
scene without the cause.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from spike_zoo import SpikeArchive, load
from spike_zoo.media.coded_video import decode_video, encode_video
from spike_zoo.media.images import contact_sheet, save_image
from spike_zoo.metrics import psnr
from spike_zoo.simulation import SpikeCamera, default_scenes
from spike_zoo.simulation.scenes.scene import Scene, SceneSpec
from spike_zoo.spikes import SpikeRecording

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDER: Final = Path("docs/pictures")
PLANES, CENTER, CUT = 201, 100, 95
SPEEDS: Final = ("slow", "fast")
METHODS: Final = {
    "tfi, mean of 9": "tfi",
    "tfi-aligned": "tfi-aligned",
    "plain": "plain",
    "stir-aligned": "stir-aligned",
    "fused": "fused",
}
#: Recordings of data/conditions.h5 -> caption.
CONDITIONS: Final = {
    "kitten.light-0.05": "light 0.05",
    "kitten.noise-4": "noise x 4",
    "kitten.hot-0.03": "3 % hot",
    "kitten.lost-0.1": "10 % lost",
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


def student() -> None:
    """Write the images of `ssdm-student` in a slow and in a fast exposure."""
    images, captions = [], []
    method = load("ssdm-student")
    with SpikeArchive("data/deblur.h5") as archive:
        for speed in SPEEDS:
            name = next(name for name in archive.names("test") if speed in name)
            planes, sharp = archive.image_index(name), archive.images(name)
            middle = len(planes) // 2
            truth = torch.from_numpy(sharp[middle]).movedim(-1, 0)[None] / 255
            blurry = torch.from_numpy(archive.blur(name)[0]).movedim(-1, 0)
            image = method.deblur(blurry, archive[name], int(planes[middle]))  # type: ignore[operator]
            by_label = {"blurry image": blurry[None] / 255, "ssdm-student": image}
            for label, result in by_label.items():
                captions.append(f"{speed}, {label}: {float(psnr(result, truth)):.1f} dB")
                images.append(result[0, :, 160:, 64:288])
            captions.append("ground truth")
            images.append(truth[0, :, 160:, 64:288])
    save_image(contact_sheet(images, captions, 3), FOLDER / "failures_student.jpg", overwrite=True)


def coding() -> None:
    """Write images of `sci`, and of x265 with at most as many bits, in a slow and a fast scene."""
    images, captions = [], []
    method = load("sci")
    codec = method.codec
    with SpikeArchive("data/sequence.h5") as archive:
        for speed in SPEEDS:
            name = next(name for name in archive.names("test") if speed in name)
            recording, planes = archive[name], archive.image_index(name).tolist()
            truth = torch.from_numpy(archive.images(name))[:, None] / 255
            uncoded = method.reconstruct(recording, planes)  # type: ignore[operator]
            frames = (uncoded[:, 0] * 255).round().byte().numpy()
            for quality in (0, 3):
                data = codec.compress(recording, quality, 32)  # type: ignore[operator, union-attr]
                coded = codec.reconstruct(codec.decompress(data))  # type: ignore[operator, union-attr]
                videos = (encode_video(frames, "x265", qp) for qp in range(52))
                video = next(video for video in videos if video.n_bytes <= len(data))
                other = torch.from_numpy(decode_video(video))[:, None] / 255
                sizes = {"sci": (coded, len(data)), "x265": (other, video.n_bytes)}
                for label, (result, size) in sizes.items():
                    value = float(psnr(result, truth).mean())
                    captions.append(f"{speed}, {size} bytes\n{label}: {value:.1f} dB")
                    images.append(result[len(planes) // 2])
            captions.append("ground truth")
            images.append(truth[len(planes) // 2])
    save_image(contact_sheet(images, captions, 5), FOLDER / "failures_sci.jpg", overwrite=True)


def conditions() -> None:
    """Write images in low light, with noise, hot pixels and lost planes."""
    images, captions = [], []
    methods = {name: load(name) for name in ("tfi-aligned", "plain", "fused")}
    with SpikeArchive("data/conditions.h5") as archive:
        for name, caption in CONDITIONS.items():
            plane, truth = archive.image_index(name).tolist(), archive.images(name)[None] / 255
            for label, method in methods.items():
                image = method.reconstruct(archive[name], plane)  # type: ignore[operator]
                value = float(psnr(image, torch.from_numpy(truth)))
                captions.append(f"{caption}, {label}: {value:.1f} dB")
                images.append(image[0])
            captions.append("ground truth")
            images.append(torch.from_numpy(truth[0]))
    sheet = contact_sheet(images, captions, len(methods) + 1)
    save_image(sheet, FOLDER / "conditions.jpg", overwrite=True)


def reconstruction() -> None:
    """Write images after a scene cut, in flicker and in fast motion, and print their PSNR."""
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
    sheet = contact_sheet(images, captions, len(methods) + 1)
    save_image(sheet, FOLDER / "failures.png", overwrite=True)


def main() -> None:
    """Write the images."""
    student()
    coding()
    conditions()
    reconstruction()


if __name__ == "__main__":
    main()
