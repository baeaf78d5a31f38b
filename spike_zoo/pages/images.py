"""Sections of a report: reconstructed and deblurred images with ground truth, PSNR and SSIM."""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spike_zoo.checkpoints.loading import load, pick_device
from spike_zoo.errors import SpikeZooError
from spike_zoo.media.output import with_progress
from spike_zoo.media.viewer import Layer, Viewer
from spike_zoo.metrics.image import MIN_SIDE, psnr, ssim
from spike_zoo.pages.choices import Choices
from spike_zoo.pages.methods import LabelledMethod, explanations, method_label
from spike_zoo.pages.scene import ReportExposure, ReportScene, most_detailed_point
from spike_zoo.spikes.windows import spread_planes
from spike_zoo.tasks.protocols import Deblurs, margin_of, require_ability

if TYPE_CHECKING:
    from spike_zoo.media.page import Page

TRUTH: Final = "ground truth"
_MAX_EXPOSED_PIXELS: Final = 3_000_000  # of one layer, in colour


class Quality(NamedTuple):
    """PSNR in dB of an image, and SSIM if the image is large enough."""

    psnr: float
    ssim: float | None = None

    def __str__(self) -> str:
        return f"{self.psnr:.2f} dB" + ("" if self.ssim is None else f", SSIM {self.ssim:.3f}")


def quality(images: Tensor, truths: Tensor) -> list[Quality]:
    """Measure PSNR and SSIM of each of N images ``(N, C, H, W)`` in [0, 1]."""
    measured = [psnr(images, truths).tolist()]
    if min(images.shape[-2:]) >= MIN_SIDE:
        measured.append(ssim(images, truths).tolist())
    return [Quality(*values) for values in zip(*measured, strict=True)]


def add_images(
    page: Page, scene: ReportScene, methods: Sequence[LabelledMethod], choices: Choices
) -> dict[str, dict[int, Tensor]]:
    """Add a viewer with the images of all methods, and their metrics if there is ground truth.

    Returns name of a method -> plane -> image, ``(1, H, W)``.
    """
    _, height, width = scene.recording.shape
    count = choices.images_that_fit(len(methods) + scene.has_truth, height, width)
    margin = max((margin_of(method.module) for method in methods), default=0)
    planes = scene.selected_planes(choices, count, margin)
    first = min(planes, key=lambda plane: abs(plane - scene.center(choices)))
    page.add_section("Images", _introduction(scene, len(planes), count, choices))
    images: dict[str, dict[int, Tensor]] = {}
    for method in methods:
        centers = [first] if method.has_one_image else planes
        try:
            images[method.name] = _images(method, scene, centers, choices)
        except (SpikeZooError, ValueError) as error:  # recording too short or too small
            page.add_warning(f"{method.name} is left out: {error}")
    if not images:
        return images
    truths = scene.truths if scene.has_truth else {}
    measured = {name: _measured(by_plane, truths) for name, by_plane in images.items()}
    _add_viewer(page, scene, planes, first, images, measured)
    page.add_notes(explanations(list(images)))
    slow = [item.name for item in methods if item.has_one_image and item.name in images]
    if slow and len(planes) > 1:
        page.add_text(
            f"{' and '.join(slow)} take{'s' if len(slow) == 1 else ''} seconds per image and "
            f"{'shows' if len(slow) == 1 else 'show'} only plane {first}."
        )
    if any(measured.values()):
        _add_numbers(page, measured)
    return images


def _measured(
    images: Mapping[int, Tensor], truths: Mapping[int, NDArray[np.float32]]
) -> dict[int, Quality]:
    """Measure images against the ground truth, for planes that have one."""
    return {
        plane: quality(image[None], torch.from_numpy(truths[plane])[None])[0]
        for plane, image in images.items()
        if plane in truths
    }


def _add_viewer(
    page: Page,
    scene: ReportScene,
    planes: Sequence[int],
    first: int,
    images: Mapping[str, Mapping[int, Tensor]],
    measured: Mapping[str, Mapping[int, Quality]],
) -> None:
    layers = []
    for name, by_plane in images.items():
        qualities = measured[name]
        notes = [str(qualities.get(plane, "")) for plane in planes]
        layers.append(Layer.of(name, [by_plane.get(plane) for plane in planes], notes))
    if any(measured.values()):
        layers.append(Layer.of(TRUTH, [scene.truths.get(plane) for plane in planes]))
    _, height, width = scene.recording.shape
    page.add_viewer(
        Viewer(
            label=f"images of {scene.name}",
            layers=tuple(layers),
            moments=tuple(f"plane {plane}" for plane in planes),
            size=(width, height),
            sides=_sides(list(images), {name: measured[name].get(first) for name in images}),
            focus=most_detailed_point(list(images.values())[-1][first].numpy()),
            first=planes.index(first),
        )
    )


def _sides(names: Sequence[str], qualities: Mapping[str, Quality | None]) -> tuple[int, int]:
    """Return the indices of TFI and of the best method, which the slider compares initially.

    The best method has the highest PSNR, or is the last one without ground truth. A single method
    is compared with the last layer.
    """
    if len(names) == 1:
        return 0, -1
    values = [quality.psnr if quality else -math.inf for quality in map(qualities.get, names)]
    best = max(range(len(names)), key=lambda at: (values[at], at))
    others = [at for at in range(len(names)) if at != best]
    is_tfi = [names[at].partition(":")[0] in ("tfi", "tfi-colour") for at in others]
    return others[is_tfi.index(True) if any(is_tfi) else 0], best


def _images(
    method: LabelledMethod, scene: ReportScene, planes: Sequence[int], choices: Choices
) -> dict[int, Tensor]:
    scale, own = scene.rate_scale, getattr(method.module, "own_rate_scale", None)
    value = own if own and scale.is_estimated else scale.value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the report states missing facts
        stream = method.module.reconstruct_stream(scene.recording, planes, rate_scale=value)
        images = list(with_progress(stream, len(planes), method.name))
    return dict(zip(planes, images, strict=True))


def _introduction(scene: ReportScene, shown: int, fitting: int, choices: Choices) -> str:
    """Return the text above the images, with the reason if some planes are left out."""
    requested = min(choices.images, len(scene.recording))
    reason = "to limit the size of the page"
    if shown < min(requested, fitting):
        reason = "because windows around the others would reach past an end of the recording"
    left_out = f" {shown} of {requested} planes are shown, {reason}." if shown < requested else ""
    return f"Each method reconstructs the same planes; white is the same for all.{left_out}"


def _add_numbers(page: Page, measured: Mapping[str, Mapping[int, Quality]]) -> None:
    """Add mean metrics over the planes with ground truth; the best are bold.

    Only methods with all planes are compared.
    """
    counts = {name: len(qualities) for name, qualities in measured.items()}
    most = max(counts.values())
    means = {
        name: [
            statistics.fmean(values)
            for values in zip(*qualities.values(), strict=True)
            if None not in values
        ]
        for name, qualities in measured.items()
        if qualities
    }
    complete = [values for name, values in means.items() if counts[name] == most]
    best = [max(column) for column in zip(*complete, strict=True)]
    forms = ("{:.2f}", "{:.4f}")
    rows = []
    for name, values in means.items():
        is_complete = counts[name] == most
        texts = [form.format(value) for form, value in zip(forms, values, strict=False)]
        rows.append(
            [name if is_complete else f"{name} ({_planes(counts[name])})"]
            + [
                f"**{text}**" if is_complete and value == top else text
                for text, value, top in zip(texts, values, best, strict=True)
            ]
        )
    page.add_table(
        ["", "PSNR (dB)", "SSIM"][: 1 + len(best)],
        rows,
        caption=f"Mean over {_planes(most)}; more is better",
    )


def _planes(count: int) -> str:
    return f"{count} plane{'s' if count > 1 else ''}"


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
        planes = _exposed_planes(scene, exposure, choices)
        stream = module.deblur_stream(
            exposure.blur, scene.recording, planes, exposure=exposure.span
        )
        images = torch.stack(
            list(with_progress(stream, len(planes), method_label(choices.deblurring)))
        )
    except (SpikeZooError, ValueError) as error:
        page.add_warning(f"{method_label(choices.deblurring)} cannot deblur the image: {error}")
        return
    _add_sharp_viewer(page, scene, exposure, planes, images.float().cpu())


def _exposed_planes(scene: ReportScene, exposure: ReportExposure, choices: Choices) -> list[int]:
    """Return planes of the exposure with ground truth, or evenly spaced planes without any."""
    height, width = exposure.blur.shape[1:]
    count = max(1, min(choices.images + 2, _MAX_EXPOSED_PIXELS // (height * width)))
    start, stop = exposure.span
    with_truth = [plane for plane in sorted(scene.truths) if start <= plane < stop]
    if not with_truth:
        return spread_planes(start, stop, min(count, stop - start))
    indices = spread_planes(0, len(with_truth), min(count, len(with_truth)))
    return [with_truth[index] for index in indices]


def _add_sharp_viewer(
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
