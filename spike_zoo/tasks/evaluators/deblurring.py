"""Evaluator of deblurring: all sharp images of an exposure, and the middle one alone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

import torch
from lightning import LightningDataModule
from torch import Tensor
from torchmetrics import MetricCollection

from spike_zoo.errors import ConfigError
from spike_zoo.metrics.image import psnr
from spike_zoo.spikes.windows import spread_planes
from spike_zoo.tasks.batch import DeblurBatch, Split
from spike_zoo.tasks.evaluation import (
    RECONSTRUCTION,
    TRUTH,
    CaptionedImages,
    Evaluation,
    MeasuredImage,
    Origin,
    playback,
)
from spike_zoo.tasks.evaluators.base import EvaluationOptions, ImageEvaluator
from spike_zoo.tasks.exposures import Exposure, ExposureResult, exposures

if TYPE_CHECKING:
    from spike_zoo.tasks.deblurring import DeblurModule

BLURRY = "blurry"  # caption
PREVIEW_PLANES = 9  # window of the playback shown with a deblurred image
SEQUENCE = 7  # images of one exposure's video


class MiddleImageEvaluator(ImageEvaluator[Any, Any]):
    """Measure one image of each exposure; the names of metrics end with ``_middle``."""

    def make_metrics(self) -> MetricCollection:
        """Return the image metrics with other names."""
        return super().make_metrics().clone(postfix="_middle")


class DeblurEvaluator(ImageEvaluator["DeblurModule", DeblurBatch]):
    """Measure the deblurred images of exposures.

    ``psnr`` is measured over all sharp images of an exposure, ``psnr_middle`` on the middle one
    alone, and so on for other metrics. ``psnr_gain`` is the difference between the PSNR of the
    output and that of the blurry input (``psnr_before``).

    Args:
        options: Arguments of :class:`ImageEvaluator`.
    """

    def __init__(self, **options: Unpack[EvaluationOptions]) -> None:
        super().__init__(**options)
        self.middle = MiddleImageEvaluator(**options)

    def check_data(self, method: DeblurModule, datamodule: LightningDataModule, stage: str) -> None:
        """Raise ConfigError if the data have too few planes around an exposure for the windows."""
        least = method.longest_window(stage) // 2
        margin = getattr(datamodule, "margin", least)
        if margin < least:
            raise ConfigError(
                f"data.init_args.margin: {margin} planes before and after an exposure, the "
                f"windows of {type(method).__name__} at its ends take {least}; set it to at least "
                f"{least}"
            )

    def origins(self, batch: DeblurBatch) -> list[Origin]:
        """Return the recording of each exposure."""
        return [Origin(name) for name in batch["name"]]

    def predict(self, method: DeblurModule, batch: DeblurBatch) -> Tensor:
        """Return one image of each exposure, ``(B, C, H, W)`` in [0, 1]."""
        return torch.cat([method.image_of(exposure) for exposure in exposures(batch)])

    def evaluate(
        self, method: DeblurModule, batch: DeblurBatch, split: Split, index: int
    ) -> Evaluation:
        """Deblur a batch, add it to the metrics of a split, and return its evaluation."""
        samples: list[CaptionedImages] = []
        measured: list[MeasuredImage] = []
        values: list[dict[str, Tensor]] = []
        for exposure in exposures(batch):
            images = method.restore_exposure(exposure)
            stem = f"{exposure.name}-{index:04d}"
            if images is None:  # recording of a real camera, without ground truth
                samples = samples or [exposure_images(exposure, stem, method.image_of(exposure)[0])]
                continue
            number = exposure.middle_image if len(images.restored) > 1 else 0
            values.append(self._measure(split, images, number))
            measured += measured_images(exposure, len(images.restored))
            pair = images.restored[number], images.truth[number]
            samples = samples or [exposure_images(exposure, stem, *pair)]
        columns = {name: torch.cat([row[name] for row in values]) for name in (values or [{}])[0]}
        sequence = partial(_sequence, method, next(exposures(batch)))
        return Evaluation(samples, measured, columns, sequence)

    def _measure(self, split: Split, images: ExposureResult, middle: int) -> dict[str, Tensor]:
        """Add the images of one exposure to the metrics of a split; return their values."""
        values = self.measure(split, images.restored, images.truth)
        only_middle = slice(middle, middle + 1)
        self.middle.measure(split, images.restored[only_middle], images.truth[only_middle])
        before = psnr(images.degraded, images.truth)
        self.add_means(split, {"psnr_before": before, "psnr_gain": values["psnr"] - before})
        return values


@torch.inference_mode()
def _sequence(method: DeblurModule, exposure: Exposure) -> list[CaptionedImages]:
    """Return images of an exposure in order of time, each with the blurry image."""
    planes = spread_planes(*exposure.span, SEQUENCE)
    try:
        images = method.images_at(exposure.blur, exposure.spikes, planes, exposure.span)
    except ConfigError:  # a stage that trains one of several networks makes no images yet
        return []
    return [
        CaptionedImages(
            Origin(exposure.name, plane),
            {BLURRY: exposure.blur[0], RECONSTRUCTION: image.float()},
            f"{exposure.name}-{plane:06d}",
        )
        for plane, image in zip(planes, images[:, 0], strict=True)
    ]


def exposure_images(
    exposure: Exposure, stem: str, deblurred: Tensor, truth: Tensor | None = None
) -> CaptionedImages:
    """Return the images of one exposure, with the file name ``stem``."""
    rate = playback(exposure.spikes[0], exposure.rate_scale, exposure.middle, PREVIEW_PLANES)
    by_caption = {
        BLURRY: exposure.blur[0],
        f"playback, {PREVIEW_PLANES} planes": rate,
        RECONSTRUCTION: deblurred.float(),
    }
    if truth is not None:
        by_caption[TRUTH] = truth
    plane = exposure.planes[exposure.middle_image] if exposure.planes else exposure.middle
    return CaptionedImages(Origin(exposure.name, plane), by_caption, stem)


def measured_images(exposure: Exposure, count: int) -> list[MeasuredImage]:
    """Return the measured images of one exposure.

    Their planes are those of the sharp images if there are ``count`` of them; otherwise None.
    """
    start, _ = exposure.span
    if count != len(exposure.planes):
        return [MeasuredImage(Origin(exposure.name), None, exposure.rate_scale)] * count
    name, planes, scale = exposure.name, exposure.planes, exposure.rate_scale
    return [MeasuredImage(Origin(name, plane), plane - start, scale) for plane in planes]
