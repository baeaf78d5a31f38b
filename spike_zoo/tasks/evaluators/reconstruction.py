"""Evaluator of reconstruction: images at the middle planes of clips, with ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

from lightning import LightningDataModule
from torch import Tensor

from spike_zoo.errors import ConfigError
from spike_zoo.media.flow import flow_images
from spike_zoo.tasks.batch import ReconstructionBatch, Split
from spike_zoo.tasks.evaluation import TRUTH, CaptionedImages, Evaluation, Origin
from spike_zoo.tasks.evaluators.base import (
    EvaluationOptions,
    ImageEvaluator,
    clip_origins,
    measured_clips,
)
from spike_zoo.tasks.evaluators.flow import FlowEvaluator
from spike_zoo.tasks.evaluators.hidden_pixels import HiddenPixelEvaluator, clip_sample

if TYPE_CHECKING:
    from spike_zoo.tasks.reconstruction import ReconstructionModule


class ReconstructionEvaluator(ImageEvaluator["ReconstructionModule", ReconstructionBatch]):
    """Measure reconstructed images, and the flow fields that were used for them.

    If the names of recordings state their speed, PSNR and SSIM are also averaged per speed, for
    example ``test/psnr_fast``. A data module with ``targets`` has no ground truth for validation;
    :class:`HiddenPixelEvaluator` then measures it.

    Args:
        options: Arguments of :class:`ImageEvaluator`.
    """

    def __init__(self, **options: Unpack[EvaluationOptions]) -> None:
        super().__init__(**options)
        self.flow = FlowEvaluator()
        self.hidden_pixels = HiddenPixelEvaluator()
        self._has_validation_images = True

    def check_data(
        self, method: ReconstructionModule, datamodule: LightningDataModule, stage: str
    ) -> None:
        """Raise ConfigError for clips of another length; select the evaluator of a validation."""
        if hasattr(datamodule, "clip_length"):
            method.check_clip(datamodule.clip_length)
        self._has_validation_images = getattr(datamodule, "targets", None) is None

    def origins(self, batch: ReconstructionBatch) -> list[Origin]:
        """Return recording and middle plane of each clip."""
        return clip_origins(batch)

    def predict(self, method: ReconstructionModule, batch: ReconstructionBatch) -> Tensor:
        """Return the reconstruction ``(B, 1, H, W)`` in [0, 1]."""
        method.check_clip(batch["spikes"].shape[1])
        return method(batch["spikes"], batch["rate_scale"]).float()

    def evaluate(
        self, method: ReconstructionModule, batch: ReconstructionBatch, split: Split, index: int
    ) -> Evaluation:
        """Reconstruct a batch and add it to the metrics of a split.

        Raises:
            ConfigError: If a data module outside this package leaves out an entry of the batch.
        """
        if missing := sorted({"spikes", "image", "rate_scale", "plane", "name"} - set(batch)):
            raise ConfigError(
                f"the batches of the data have no {', '.join(missing)}; "
                "spike_zoo.tasks.batch.ReconstructionBatch describes all entries"
            )
        if split == "val" and not self._has_validation_images:
            return self.hidden_pixels.evaluate(method, batch, split, index)
        return self.measure_batch(method, batch, split, index)

    def measure_batch(
        self, method: ReconstructionModule, batch: ReconstructionBatch, split: Split, index: int
    ) -> Evaluation:
        """Reconstruct a batch with ground truth and add it to the metrics of a split."""
        return self.measure_clips(split, batch, *method.predict_with_flow(batch, index))

    def measure_clips(
        self,
        split: Split,
        batch: ReconstructionBatch,
        images: Tensor,
        fields: Sequence[Tensor] = (),
    ) -> Evaluation:
        """Add the images and flow fields of a batch of clips to the metrics of a split."""
        values = self.measure(split, images, batch["image"])
        self.add_speeds(split, batch["name"], values)
        samples = [self._sample(batch, index, image, fields) for index, image in enumerate(images)]
        if fields and "flow" in batch:
            self.flow.add_fields(split, batch["name"], fields, batch["flow"])
        return Evaluation(samples, measured_clips(batch), values)

    def _sample(
        self, batch: ReconstructionBatch, index: int, image: Tensor, fields: Sequence[Tensor]
    ) -> CaptionedImages:
        """Return the images of one clip; reconstruction and ground truth are last."""
        sample = clip_sample(batch, index, image)
        by_caption = {**sample.images, TRUTH: batch["image"][index]}
        if fields and "flow" in batch:
            by_caption = {**flow_images(fields[0][index][0], batch["flow"][index][0]), **by_caption}
        return sample._replace(images=by_caption)
