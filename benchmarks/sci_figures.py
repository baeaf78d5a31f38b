"""Images of SCI and of other codecs: ``python -m benchmarks.sci_figures [ARCHIVE]``.

Writes docs/pictures/sci_coding.png (the paper's Figs. 10, 11 and 13: images at about equal bits,
and the spikes that a video codec leaves), sci_motion.png (its Fig. 16: motion as it was decoded and
as it is refined), of two test scenes with the weights that ship, and sci_smooth.png (its Fig. 8:
features without and with the smoothness constraint through x265 at rising rates), of one.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch

from spike_zoo import SpikeArchive, load
from spike_zoo.media import contact_sheet, save_image
from spike_zoo.media.flow import flow_image, longest
from spike_zoo.methods.sci import ATCModule, CAASModule, CTAModule, SCIBitstreamModule
from spike_zoo.methods.sci.codec.bitstream import decoded_group
from spike_zoo.metrics.image import psnr
from spike_zoo.metrics.rate import bpp
from spike_zoo.tasks.coding import CodedScene
from spike_zoo.tasks.evaluation import playback

if TYPE_CHECKING:
    from torch import Tensor

    from spike_zoo.methods.sci import SCICodec
    from spike_zoo.tasks.coding import CodingModule

SCENES = "medium", "fast"  # the first test scene of each speed
FAM_WEIGHTS = "experiments/sci/weights/fam.safetensors"
OWN_WEIGHTS = "experiments/sci/weights/sci_joint.safetensors"
SPIKES, IMAGES, FEATURES, OWN = (
    51,
    33,
    37,
    0,
)  # quantisers and a quality: near 0.015 bpp but for CTA
QUALITIES = 0, 3
SMOOTH = {
    f"w_lap {weight}": f"experiments/sci/weights/fem_w_lap_{tag}.safetensors"
    for weight, tag in (("0", "0"), ("0.05", "005"), ("0.5", "05"))
}
RISING = 47, 42, 37, 32  # quantisers
TIMES = 2  # upscaling of the scene
FOLDER = Path("docs/pictures")


def main() -> None:
    """Write both images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", nargs="?", default="data/sequence.h5")
    with SpikeArchive(parser.parse_args().archive) as archive, torch.inference_mode():
        names = [next(n for n in archive.names("test") if speed in n) for speed in SCENES]
        scenes = [_scene(archive, name) for name in names]
        _write("sci_coding.png", [_coded(scene) for scene in scenes])
        _write("sci_motion.png", [_moved(scene) for scene in scenes])
        _write("sci_smooth.png", [_smooth(scenes[0], weights) for weights in SMOOTH.items()])


def _scene(archive: SpikeArchive, name: str) -> CodedScene:
    facts, recording = archive.facts(name), archive[name]
    truth = torch.from_numpy(archive.images(name))[:, None].float() / 255
    scale = float(recording.rate_scale or 1.0)
    return CodedScene(torch.from_numpy(recording[:]), truth, list(facts.image_index), scale, name)


def _coded(scene: CodedScene) -> list[tuple[str, Tensor]]:
    """Return the captioned images of a scene: each codec with its bits and its error."""
    middle = len(scene.planes) // 2
    plane, truth = scene.planes[middle], scene.images[middle]
    cta = CTAModule("x265", [SPIKES])
    panels = [("spikes of a plane", scene.spikes[plane].float()), _spikes_left(cta, scene, plane)]
    ways: dict[str, tuple[CodingModule, int]] = {
        "CTA, x265": (cta, 0),
        "ATC, x265": (ATCModule("x265", [IMAGES], reconstructor=FAM_WEIGHTS), 0),
        "CAAS, x265": (CAASModule("x265", [FEATURES], weights=FAM_WEIGHTS), 0),
        "SCI": (SCIBitstreamModule(OWN_WEIGHTS), OWN),
    }
    for name, (module, point) in ways.items():
        rate, images = _through(module, scene, point)
        quality = float(psnr(images[middle][None], truth[None]))
        panels.append((f"{name}: {rate:.3f} bpp, {quality:.1f} dB", images[middle]))
    return [*panels, ("ground truth", truth)]


def _spikes_left(cta: CTAModule, scene: CodedScene, plane: int) -> tuple[str, Tensor]:
    coded = cta.compress(cta.prepared(scene), 0)
    return "through x265", (cta.decoded(coded)[plane] >= 128).float()


def _through(module: CodingModule, scene: CodedScene, point: int) -> tuple[float, Tensor]:
    """Return bits per pixel and plane of a scene, and its images."""
    module.read_weights()  # type: ignore[operator]  # all modules used here have it
    coded = module.compress(module.prepared(scene), point)
    planes, height, width = scene.spikes.shape
    return bpp(coded.n_bytes, (planes, height, width)), module.decompress(coded, scene)


def _moved(scene: CodedScene) -> list[tuple[str, Tensor]]:
    """Return the decoded flow at every rate, before and after refinement, in one colour scale."""
    codec = cast("SCICodec", load(OWN_WEIGHTS).codec)
    assert codec.fmvr is not None
    module = SCIBitstreamModule(OWN_WEIGHTS)
    module.read_weights()
    frame, panels = 4, []  # of the first group of pictures
    for quality in QUALITIES:
        header, payloads = module.compress(module.prepared(scene), quality).content
        features, motion = decoded_group(codec, payloads[0], header, 0)
        refined = codec.fmvr(motion[frame : frame + 1], features[frame : frame + 1])[0]
        panels += [(f"q{quality}, decoded", motion[frame]), (f"q{quality}, refined", refined)]
    plane = scene.planes[frame]
    image = playback(scene.spikes, scene.rate_scale, plane, 13)
    largest = max(longest(motion) for _, motion in panels)
    return [("playback", image), *((name, flow_image(one, largest)) for name, one in panels)]


def _smooth(scene: CodedScene, constraint: tuple[str, str]) -> list[tuple[str, Tensor]]:
    """Return the mean of a feature at falling quantisers; the uncoded feature is last."""
    name, weights = constraint
    module = CAASModule("x265", RISING, weights=weights, motion="none")
    middle, panels = len(scene.planes) // 2, []
    for point, _ in enumerate(RISING):
        rate, images = _through(module, scene, point)
        quality = float(psnr(images[middle][None], scene.images[middle][None]))
        panels.append((f"{name}: {rate:.4f} bpp, {quality:.1f} dB", images[middle]))
    uncoded = torch.from_numpy(module.prepared(scene)[middle]).float().mean(dim=0) / 255
    return [*panels, (f"{name}: uncoded", uncoded)]


def _write(name: str, rows: list[list[tuple[str, Tensor]]]) -> None:
    """Write rows of captioned images into one file."""
    enlarged = [
        image.repeat_interleave(TIMES, -1).repeat_interleave(TIMES, -2)
        for row in rows
        for _, image in row
    ]
    captions = [caption for row in rows for caption, _ in row]
    sheet = contact_sheet(enlarged, captions, columns=len(rows[0]))
    save_image(sheet, FOLDER / name, overwrite=True)
    print(FOLDER / name)


if __name__ == "__main__":
    main()
