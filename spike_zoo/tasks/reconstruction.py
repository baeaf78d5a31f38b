"""Task module of reconstruction: the image at the middle plane of a clip of spikes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

import torch
from torch import Tensor

from spike_zoo.checkpoints.loading import load
from spike_zoo.errors import ConfigError
from spike_zoo.metrics.flow import error_ratios
from spike_zoo.metrics.speeds import BY_SPEED, SPEEDS, speed_of
from spike_zoo.tasks.base import ClipModule, ImageModule
from spike_zoo.tasks.batch import ReconstructionBatch, Split
from spike_zoo.tasks.clips import ClipReconstruction
from spike_zoo.tasks.evaluation import (
    RECONSTRUCTION,
    TRUTH,
    CaptionedImages,
    Evaluation,
    MeasuredImage,
    playback,
)
from spike_zoo.tasks.flow import field_errors, flow_images

HELD_OUT_ERROR = "heldout_mse"
"""Metric of data without images: mean squared error minus that of the method of the targets."""
PREVIEW_PLANES = 21  # window of the playback shown with a reconstruction


class ReconstructionModule(ClipReconstruction, ClipModule, ImageModule):
    """Base class of methods that reconstruct the middle plane of a clip, with their evaluation.

    A subclass sets :attr:`clip_length`, defines ``forward(spikes, rate_scale)`` and, if it is
    trained, ``training_step`` and ``configure_optimizers``. If the names of recordings state their
    speed, PSNR and SSIM are also averaged per speed, for example ``test/psnr_fast``.
    """

    def predict_step(self, batch: ReconstructionBatch, batch_idx: int) -> Tensor:
        """Return the reconstruction ``(B, 1, H, W)`` in [0, 1]."""
        self.check_clip(batch["spikes"].shape[1])
        return self(batch["spikes"], batch["rate_scale"]).float()

    def predict_with_flow(
        self, batch: ReconstructionBatch, batch_idx: int
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Return the reconstruction, and the flow fields used for it, see :func:`field_errors`."""
        return self.predict_step(batch, batch_idx), ()

    def evaluate(self, batch: ReconstructionBatch, split: Split, batch_idx: int) -> Evaluation:
        """Reconstruct a batch and add it to the metrics of a split.

        Raises:
            ConfigError: If a data module outside this package leaves out an entry of the batch.
        """
        if missing := sorted({"spikes", "image", "rate_scale", "plane", "name"} - set(batch)):
            raise ConfigError(
                f"the batches of the data have no {', '.join(missing)}; "
                "spike_zoo.tasks.batch.ReconstructionBatch describes all entries"
            )
        return self.evaluation(batch, split, *self.predict_with_flow(batch, batch_idx))

    def evaluation(
        self,
        batch: ReconstructionBatch,
        split: Split,
        images: Tensor,
        fields: Sequence[Tensor] = (),
    ) -> Evaluation:
        """Add the images and flow fields of a batch of clips to the metrics of a split."""
        if "hidden_spikes" in batch:
            errors = self._held_out_errors(batch, images)
            values = {HELD_OUT_ERROR: errors}
            if len(known := errors[~errors.isnan()]):
                self.log_means(split, {HELD_OUT_ERROR: known})
        else:
            values = self.measure(split, images, batch["image"])
        self.measure_speeds(split, batch["name"], values)
        truth = batch.get("flow")
        if fields and truth is not None:
            self._measure_fields(split, batch["name"], fields, truth)
        measured = self.measured_clips(batch)
        samples = []
        for index, ((origin, *_), image) in enumerate(zip(measured, images, strict=True)):
            by_caption = self.captioned_images(batch, index, image)
            if fields and truth is not None:
                by_caption = {**flow_images(fields[0][index][0], truth[index][0]), **by_caption}
            samples.append(
                CaptionedImages(origin, by_caption, f"{origin.name}-plane{origin.plane}")
            )
        return Evaluation(samples, measured, values)

    def flow_evaluation(
        self,
        split: Split,
        images: Sequence[MeasuredImage],
        flows: Tensor,
        truth: Tensor,
        inputs: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> Evaluation:
        """Measure the flows that have any ground truth, and return metrics and images.

        Args:
            split: Split of the metrics.
            images: Image of each flow.
            flows: ``(N, 2, H, W)`` in pixels.
            truth: ``(N, 2, H, W)``, NaN where unknown.
            inputs: Further images of each flow by caption, ``(N, C, H, W)``.
        """
        has_truth = torch.isfinite(truth).all(dim=1).flatten(1).any(dim=1)
        indices = has_truth.nonzero()[:, 0].tolist()
        if not indices:
            return Evaluation(())
        measured = [images[index] for index in indices]
        values = self.measure(split, flows[has_truth], truth[has_truth])
        self.measure_speeds(split, [image.origin.name for image in measured], values)
        samples = []
        for index, (origin, *_) in zip(indices, measured, strict=True):
            by_caption = {caption: tensor[index] for caption, tensor in inputs.items()}
            by_caption |= flow_images(flows[index], truth[index])
            samples.append(
                CaptionedImages(origin, by_caption, f"{origin.name}-plane{origin.plane}")
            )
        return Evaluation(samples, measured, values)

    def _held_out_errors(self, batch: ReconstructionBatch, images: Tensor) -> Tensor:
        """Estimate by how much the squared errors of images exceed those of ``batch["image"]``.

        Let x be the reconstruction, h that from the clip with hidden pixels, r the reference image,
        which is made of the same clip, and y the brightness by the hidden spikes. The noise of y
        is independent of h and r, so the expectation of 2 (h - r) (r - y) is the same for the true
        brightness s. With it, (x - r)^2 + 2 (h - r) (r - y) has the expectation of
        (x - s)^2 - (r - s)^2, except for the difference of x and h, multiplied by the error of r.

        Returns:
            Means over hidden pixels, ``(B,)``; NaN without any.
        """
        reference, scale = batch["image"], batch["rate_scale"].view(-1, 1, 1, 1)
        hidden = self.predict_step({**batch, "spikes": batch["hidden_spikes"]}, 0)
        error = reference - batch["hidden_rates"] / scale
        excess = (images - reference).square() + 2 * (hidden - reference) * error
        return excess.flatten(1).nanmean(dim=1)

    def log_epoch(self, split: Split) -> None:
        """Log the metrics, and ratios of flow errors to those of zero flow if flow was measured."""
        super().log_epoch(split)
        self.log_dict(error_ratios(self.trainer.callback_metrics))

    def _measure_fields(
        self, split: Split, names: Sequence[str], fields: Sequence[Tensor], truth: Tensor
    ) -> None:
        """Log the mean errors of flow fields over the images with known flow."""
        errors = field_errors(fields, truth)
        still_errors = errors["epe_still"].tolist()
        known = [index for index, error in enumerate(still_errors) if not math.isnan(error)]
        if not known:
            return
        errors = {name: values[known] for name, values in errors.items()}
        self.log_means(split, errors)
        self.measure_speeds(split, [names[index] for index in known], errors)

    def measure_speeds(
        self, split: Split, names: Sequence[str], values: Mapping[str, Tensor]
    ) -> None:
        """Add a value for each image to the means of each speed, which the names state."""
        speeds = [speed_of(name) for name in names]
        for metric, speed in itertools.product(BY_SPEED, SPEEDS):
            chosen = [index for index, other in enumerate(speeds) if other == speed]
            if chosen and metric in values:
                self.log_means(split, {f"{metric}_{speed}": values[metric][chosen]})

    def captioned_images(
        self, batch: ReconstructionBatch, index: int, image: Tensor
    ) -> dict[str, Tensor]:
        """Return the images of one sample and its image; reconstruction and truth are last."""
        spikes = batch["spikes"][index]
        rate = playback(spikes, batch["rate_scale"][index], len(spikes) // 2, PREVIEW_PLANES)
        by_caption = {f"playback, {PREVIEW_PLANES} planes": rate, RECONSTRUCTION: image}
        return (
            by_caption if "hidden_spikes" in batch else {**by_caption, TRUTH: batch["image"][index]}
        )


class LoadedReconstruction(ReconstructionModule):
    """Reconstruction method with frozen trained weights.

    Args:
        weights: Argument of :func:`spike_zoo.load`: a shipped name, for example ``"stir"``, or the
            path of a checkpoint or an export.
        evaluation: Arguments of :class:`ReconstructionModule`.

    Raises:
        ConfigError: If the weights are of a method that does not reconstruct clips.
    """

    has_own_weights = True  # a test needs no checkpoint

    def __init__(self, weights: str, **evaluation: Any) -> None:
        super().__init__(**evaluation)
        self.save_hyperparameters()
        method = load(weights)
        if not isinstance(method, ClipReconstruction):
            raise ConfigError(f"{weights}: {type(method).__name__} does not reconstruct clips")
        self.method = method.requires_grad_(False)
        self.clip_length = method.clip_length

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Reconstruct the middle plane: ``(B, T, H, W)`` -> ``(B, 1, H, W)`` in [0, 1]."""
        return cast("Tensor", self.method(spikes, rate_scale))
