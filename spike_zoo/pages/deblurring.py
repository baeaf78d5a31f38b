"""Section of a report: a blurry image and the deblurred images of its exposure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from spike_zoo.checkpoints.loading import load, pick_device
from spike_zoo.errors import SpikeZooError
from spike_zoo.media import Layer, Viewer
from spike_zoo.media.output import with_progress
from spike_zoo.pages.methods import method_label
from spike_zoo.pages.pictures import TRUTH, quality
from spike_zoo.pages.scene import most_detailed_point
from spike_zoo.spikes import spread_planes
from spike_zoo.tasks.protocols import Deblurs, require_ability

if TYPE_CHECKING:
    from torch import Tensor

    from spike_zoo.media import Page
    from spike_zoo.pages.choices import Choices
    from spike_zoo.pages.scene import ReportExposure, ReportScene

_MAX_PIXELS: Final = 3_000_000  # of one layer, in colour


def add_deblurring(page: Page, scene: ReportScene, choices: Choices) -> None:
    """Add the deblurred images of the first exposure of a scene."""
    if not scene.exposures:
        return
    exposure = scene.exposures[0]
    page.add_section(
        "Blurry to sharp",
        "The blurry image of the whole exposure, and the sharp images that "
        f"{method_label(choices.deblurring)} estimates from it and the spikes of the exposure.",
    )
    try:
        loaded = load(choices.deblurring, device=pick_device(choices.device), trust=choices.trust)
        module = require_ability(loaded, Deblurs, f"--deblurring {choices.deblurring}")
        planes = _planes(scene, exposure, choices)
        stream = module.deblur_stream(
            exposure.blur, scene.recording, planes, exposure=exposure.span
        )
        images = torch.stack(
            list(with_progress(stream, len(planes), method_label(choices.deblurring)))
        )
    except (SpikeZooError, ValueError) as error:
        page.add_warning(f"{method_label(choices.deblurring)} cannot deblur the image: {error}")
        return
    _add_viewer(page, scene, exposure, planes, images.float().cpu())


def _planes(scene: ReportScene, exposure: ReportExposure, choices: Choices) -> list[int]:
    """Return planes of the exposure with ground truth, or evenly spaced planes without any."""
    height, width = exposure.blur.shape[1:]
    count = max(1, min(choices.pictures + 2, _MAX_PIXELS // (height * width)))
    start, stop = exposure.span
    with_truth = [plane for plane in sorted(scene.truths) if start <= plane < stop]
    if not with_truth:
        return spread_planes(start, stop, min(count, stop - start))
    indices = spread_planes(0, len(with_truth), min(count, len(with_truth)))
    return [with_truth[index] for index in indices]


def _add_viewer(
    page: Page, scene: ReportScene, exposure: ReportExposure, planes: list[int], images: Tensor
) -> None:
    blurry = torch.from_numpy(exposure.blur)
    layers = [Layer.of("blurry", [blurry])]
    notes: tuple[str, ...] = ()
    truths = [torch.from_numpy(scene.truths[plane]) for plane in planes if plane in scene.truths]
    has_truth = len(truths) == len(planes) and truths[0].shape == images.shape[1:]
    if has_truth:
        references = torch.stack(truths)
        notes = tuple(map(str, quality(images, references)))
        blurry_notes = list(map(str, quality(blurry.expand_as(references), references)))
        layers = [Layer.of("blurry", [blurry] * len(planes), blurry_notes)]
    layers.append(Layer.of("deblurred", list(images), notes))
    if has_truth:
        layers.append(Layer.of(TRUTH, truths))
    height, width = exposure.blur.shape[1:]
    start, stop = exposure.span
    page.add_viewer(
        Viewer(
            label=f"sharp sequence of {scene.name}",
            layers=tuple(layers),
            moments=tuple(f"plane {plane}" for plane in planes),
            size=(width, height),
            sides=(0, 1),
            focus=most_detailed_point(images[len(images) // 2].numpy()),
            caption=f"Exposed from plane {start} to {stop - 1}.",
            has_strip=len(planes) > 1,
            first=len(planes) // 2,
        )
    )
