"""What every method makes of a recording, beside each other and beside the truth."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from spike_zoo.errors import SpikeZooError
from spike_zoo.media import Layer, Viewer
from spike_zoo.media.output import with_progress
from spike_zoo.metrics import psnr, ssim
from spike_zoo.metrics.image import SMALLEST_SIDE
from spike_zoo.reports.scene import interesting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from spike_zoo.media import Page
    from spike_zoo.reports.choices import Choices
    from spike_zoo.reports.methods import Named
    from spike_zoo.reports.scene import Scene

TRUTH = "ground truth"


@dataclass(frozen=True)
class Quality:
    """How near some images are to the truth, image by image."""

    psnr: list[float]
    ssim: list[float] = field(default_factory=list)

    @property
    def notes(self) -> list[str]:
        """What stands beside each image."""
        if not self.ssim:
            return [f"{value:.2f} dB" for value in self.psnr]
        pairs = zip(self.psnr, self.ssim, strict=True)
        return [f"{value:.2f} dB, SSIM {near:.3f}" for value, near in pairs]


def quality(images: Tensor, truths: Tensor) -> Quality:
    """Measure images ``(N, C, H, W)`` in [0, 1]; SSIM where they are large enough for it."""
    measured = psnr(images, truths).tolist()
    if min(images.shape[-2:]) < SMALLEST_SIDE:
        return Quality(measured)
    return Quality(measured, ssim(images, truths).tolist())


def add_pictures(page: Page, scene: Scene, methods: Sequence[Named], choices: Choices) -> None:
    """Add the pictures of all methods under a slider, and their numbers where there is a truth."""
    _, height, width = scene.recording.shape
    count = choices.pictures_that_fit(len(methods) + scene.has_truth, height, width)
    planes = scene.moments(choices, count)
    page.add_section("Pictures", _in_words(scene, len(planes), count, choices))
    made: dict[str, Tensor] = {}
    for method in methods:
        try:
            made[method.name] = _images(method, scene, planes, choices)
        except (SpikeZooError, ValueError) as error:  # too short or too small for this one
            page.add_warning(f"{method.name} is left out: {error}")
    if not made:
        return
    known = [at for at, plane in enumerate(planes) if scene.has_truth and plane in scene.truths]
    truths = [torch.from_numpy(scene.truths[planes[at]]) for at in known]
    measured = {
        name: quality(one[known], torch.stack(truths)) for name, one in made.items() if known
    }
    _add_viewer(page, scene, planes, made, measured, choices)
    if measured:
        _add_numbers(page, measured)


def _add_viewer(
    page: Page,
    scene: Scene,
    planes: Sequence[int],
    made: dict[str, Tensor],
    measured: dict[str, Quality],
    choices: Choices,
) -> None:
    truths = scene.truths if scene.has_truth else {}
    layers = []
    for name, images in made.items():
        notes = iter(measured[name].notes if measured else ())
        told = [next(notes) if plane in truths else "" for plane in planes]
        layers.append(Layer.of(name, list(images), told))
    if measured:
        layers.append(Layer.of(TRUTH, [truths.get(plane) for plane in planes]))
    first = planes.index(min(planes, key=lambda plane: abs(plane - scene.center(choices))))
    _, height, width = scene.recording.shape
    page.add_viewer(
        Viewer(
            label=f"pictures of {scene.name}",
            layers=tuple(layers),
            moments=tuple(f"plane {plane}" for plane in planes),
            size=(width, height),
            sides=(0, len(made) - 1 if len(made) > 1 else -1),
            focus=interesting(list(made.values())[-1][first].numpy()),
            first=first,
        )
    )


def _images(method: Named, scene: Scene, planes: Sequence[int], choices: Choices) -> Tensor:
    scale = scene.rate_scale(choices).value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the page says what is not known
        stream = method.module.reconstruct_stream(scene.recording, planes, rate_scale=scale)
        return torch.stack(list(with_progress(stream, len(planes), method.name)))


def _in_words(scene: Scene, shown: int, fitting: int, choices: Choices) -> str:
    """Say how pictures are to be read, and why there are fewer than were asked for."""
    asked = min(choices.pictures, len(scene.recording))
    why = "so that the page stays small"
    if shown < min(asked, fitting):
        why = "as the others lie so near an end that windows around them would be mirrored"
    left_out = (
        f" {shown} of the {asked} planes asked for are shown, {why}." if shown < asked else ""
    )
    return f"Each method reconstructs the same planes; white is the same for all.{left_out}"


def _add_numbers(page: Page, measured: dict[str, Quality]) -> None:
    """Add means over the shown planes, the best in bold."""
    means = {
        name: [sum(values) / len(values) for values in (one.psnr, one.ssim) if values]
        for name, one in measured.items()
    }
    best = [max(column) for column in zip(*means.values(), strict=True)]
    forms = ("{:.2f}", "{:.4f}")
    rows = []
    for name, values in means.items():
        texts = [form.format(value) for form, value in zip(forms, values, strict=False)]
        rows.append(
            [name]
            + [
                f"**{text}**" if value == top else text
                for text, value, top in zip(texts, values, best, strict=True)
            ]
        )
    count = len(next(iter(measured.values())).psnr)
    page.add_table(
        ["", "PSNR (dB)", "SSIM"][: 1 + len(best)],
        rows,
        caption=f"Mean over {count} plane{'s' if count > 1 else ''}; more is better",
    )
