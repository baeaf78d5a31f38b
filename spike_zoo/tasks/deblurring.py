"""Task module of deblurring: sharp images from a blurry image and the spikes of its exposure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, ClassVar, cast

import torch
from lightning import LightningDataModule
from numpy.typing import NDArray
from torch import Tensor, nn
from torchmetrics import MetricCollection

from spike_zoo.errors import ConfigError
from spike_zoo.metrics.image import psnr
from spike_zoo.spikes.recording import SpikeRecording, check_recording
from spike_zoo.spikes.windows import Planes, spread_planes, wanted_planes
from spike_zoo.tasks.base import EVALUATED_SPLITS, ImageModule
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
from spike_zoo.tasks.exposures import (
    Exposure,
    ExposureResult,
    as_image,
    check_pair,
    exposures,
    whole_windows,
)

BLURRY = "blurry"  # caption
PREVIEW_PLANES = 9  # window of the playback shown with a deblurred image
SEQUENCE = 7  # images of one exposure's video


class DeblurModule(ImageModule):
    """Base class of deblurring methods; inputs and outputs are R,G,B in [0, 1].

    A subclass defines :meth:`images_at` and, if it is trained, ``training_step`` and
    ``configure_optimizers``. ``psnr`` is measured over all sharp images of an exposure,
    ``psnr_middle`` on the middle one alone, and so on for other metrics. ``psnr_gain`` is the
    difference between the PSNR of the output and that of the blurry input (``psnr_before``).
    """

    #: width of an image divided by the width of the spikes; the same for the height
    ratio: ClassVar[int] = 4
    window_length: int = 1  #: planes of the window around each output plane

    def __init__(self, **evaluation: Any) -> None:
        super().__init__(**evaluation)
        self.middle_metrics = nn.ModuleDict()

    def longest_window(self, stage: str) -> int:
        """Return the length of the longest spike window in a stage of Lightning, in planes."""
        return self.window_length

    def images_at(
        self, blur: Tensor, spikes: Tensor, times: Sequence[int], span: tuple[int, int]
    ) -> Tensor:
        """Deblur at some planes of ``spikes``.

        Args:
            blur: ``(B, 3, 4h, 4w)``, R,G,B in [0, 1].
            spikes: ``(B, T, h, w)``, 0 or 1.
            times: Planes inside the exposure.
            span: First and past-the-last plane of the exposure.

        Returns:
            float32 ``(len(times), B, 3, 4h, 4w)``, R,G,B in [0, 1].
        """
        raise NotImplementedError

    def restore_exposure(self, exposure: Exposure) -> ExposureResult | None:
        """Deblur at the planes of the sharp images; return None if the exposure has none."""
        if not exposure.planes:
            return None
        deblurred = self.images_at(exposure.blur, exposure.spikes, exposure.planes, exposure.span)
        return ExposureResult(
            deblurred[:, 0], exposure.blur.expand_as(exposure.images), exposure.images
        )

    def image_of(self, exposure: Exposure) -> Tensor:
        """Return the image at the middle plane of an exposure, ``(1, 3, H, W)``."""
        times = [exposure.middle]
        return self.images_at(exposure.blur, exposure.spikes, times, exposure.span)[0]

    def check_data(self, datamodule: LightningDataModule, stage: str) -> None:
        """Raise ConfigError if the data have too few planes around an exposure for the windows."""
        least = self.longest_window(stage) // 2
        margin = getattr(datamodule, "margin", least)
        if margin < least:
            raise ConfigError(
                f"data.init_args.margin: {margin} planes before and after an exposure, the "
                f"windows of {type(self).__name__} at its ends take {least}; set it to at least "
                f"{least}"
            )

    def setup(self, stage: str) -> None:
        """Check the data and create the metrics of all images and of the middle images."""
        super().setup(stage)
        if self.split_metrics and not self.middle_metrics:
            metrics = self.make_metrics()
            for split in EVALUATED_SPLITS:
                self.middle_metrics[split] = metrics.clone(prefix=f"{split}/", postfix="_middle")

    def origins(self, batch: DeblurBatch) -> list[Origin]:
        """Return the recording of each exposure."""
        return [Origin(name) for name in batch["name"]]

    def predict_step(self, batch: DeblurBatch, batch_idx: int) -> Tensor:
        """Return one image of each exposure, ``(B, C, H, W)`` in [0, 1]."""
        return torch.cat([self.image_of(exposure) for exposure in exposures(batch)])

    def evaluate(self, batch: DeblurBatch, split: Split, batch_idx: int) -> Evaluation:
        """Deblur a batch, add it to the metrics of a split, and return its evaluation."""
        samples: list[CaptionedImages] = []
        measured: list[MeasuredImage] = []
        values: list[dict[str, Tensor]] = []
        for exposure in exposures(batch):
            images = self.restore_exposure(exposure)
            stem = f"{exposure.name}-{batch_idx:04d}"
            if images is None:  # recording of a real camera, without ground truth
                samples = samples or [exposure_images(exposure, stem, self.image_of(exposure)[0])]
                continue
            number = exposure.middle_image if len(images.restored) > 1 else 0
            values.append(self._measure(images, number, split))
            measured += measured_images(exposure, len(images.restored))
            pair = images.restored[number], images.truth[number]
            samples = samples or [exposure_images(exposure, stem, *pair)]
        columns = {name: torch.cat([row[name] for row in values]) for name in (values or [{}])[0]}
        first = next(exposures(batch))
        return Evaluation(samples, measured, columns, partial(self._sequence, first))

    def _measure(self, images: ExposureResult, middle: int, split: Split) -> dict[str, Tensor]:
        """Add the images of one exposure to the metrics of a split; return their values."""
        values = self.measure(split, images.restored, images.truth)
        metrics = cast(MetricCollection, self.middle_metrics[split])
        only_middle = slice(middle, middle + 1)
        self.measure(split, images.restored[only_middle], images.truth[only_middle], metrics)
        before = psnr(images.degraded, images.truth)
        self.log_means(split, {"psnr_before": before, "psnr_gain": values["psnr"] - before})
        return values

    @torch.inference_mode()
    def _sequence(self, exposure: Exposure) -> list[CaptionedImages]:
        """Return images of an exposure in order of time, each with the blurry image."""
        planes = spread_planes(*exposure.span, SEQUENCE)
        try:
            images = self.images_at(exposure.blur, exposure.spikes, planes, exposure.span)
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

    def deblur(
        self,
        blurry: Tensor | NDArray[Any],
        recording: SpikeRecording,
        centers: Planes,
        *,
        exposure: tuple[int, int] | None = None,
        memory_gib: float | None = None,
    ) -> Tensor:
        """Return the sharp images at some planes of a recording.

        Args:
            blurry: ``(3, 4h, 4w)``, R,G,B, float in [0, 1] or uint8.
            recording: The spikes, ``(T, h, w)``.
            centers: Planes inside the exposure, or one plane.
            exposure: First and past-the-last plane of the exposure, for methods that use all of
                it; by default all but 20 planes at either end.
            memory_gib: Approximate limit of the memory of features; at least one image is computed
                at a time. The default depends on the device.

        Returns:
            float32 ``(N, 3, 4h, 4w)``, R,G,B in [0, 1], one image per plane, on the CPU.
        """
        check_recording(recording)
        planes = wanted_planes(centers, len(recording))
        images = self.deblur_stream(
            blurry, recording, planes, exposure=exposure, memory_gib=memory_gib
        )
        result = torch.empty(len(planes), *tuple(blurry.shape)[-3:])
        for index, image in enumerate(images):
            result[index] = image
        return result

    def deblur_stream(
        self,
        blurry: Tensor | NDArray[Any],
        recording: SpikeRecording,
        centers: Planes,
        *,
        exposure: tuple[int, int] | None = None,
        memory_gib: float | None = None,
    ) -> Iterator[Tensor]:
        """Yield the images of :meth:`deblur` one by one, ``(3, 4h, 4w)``, in constant memory."""
        image = as_image(blurry)
        check_recording(recording)
        check_pair(image, recording, self.ratio)
        planes = whole_windows(centers, self.window_length, len(recording))
        return self._stream(image, recording, planes, exposure, memory_gib)

    def _stream(
        self,
        image: Tensor,
        recording: SpikeRecording,
        centers: Sequence[int],
        exposure: tuple[int, int] | None,
        memory_gib: float | None,
    ) -> Iterator[Tensor]:
        raise NotImplementedError


def exposure_images(
    exposure: Exposure, stem: str, deblurred: Tensor, truth: Tensor | None = None
) -> CaptionedImages:
    """Return the images of one exposure, with the file name ``stem``."""
    rate = playback(exposure.spikes[0], exposure.rate_scale, exposure.middle, PREVIEW_PLANES)
    images = {
        BLURRY: exposure.blur[0],
        f"playback, {PREVIEW_PLANES} planes": rate,
        RECONSTRUCTION: deblurred.float(),
    }
    if truth is not None:
        images[TRUTH] = truth
    plane = exposure.planes[exposure.middle_image] if exposure.planes else exposure.middle
    return CaptionedImages(Origin(exposure.name, plane), images, stem)


def measured_images(exposure: Exposure, count: int) -> list[MeasuredImage]:
    """Return the measured images of one exposure.

    Their planes are those of the sharp images if there are ``count`` of them; otherwise None.
    """
    are_sharp = count == len(exposure.planes)
    planes: list[int | None] = [*exposure.planes] if are_sharp else [None] * count
    start, _ = exposure.span
    return [
        MeasuredImage(
            Origin(exposure.name, plane),
            None if plane is None else plane - start,
            exposure.rate_scale,
        )
        for plane in planes
    ]
