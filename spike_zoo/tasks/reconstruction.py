"""Reconstruction: a clip of spikes in, the image at its middle plane out."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from torch import Tensor

from spike_zoo.metrics import reconstruction_metrics
from spike_zoo.metrics.flow import error_ratios
from spike_zoo.metrics.speeds import BY_SPEED, SPEEDS, speed_of
from spike_zoo.tasks.base import ClipModule
from spike_zoo.tasks.clips import ClipReconstruction
from spike_zoo.tasks.evaluation import (
    RECONSTRUCTION,
    TRUTH,
    Evaluation,
    MeasuredImage,
    SamplePictures,
    playback,
)
from spike_zoo.tasks.flow import FlowPrediction, field_errors, field_pictures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torchmetrics import MetricCollection

    from spike_zoo.batch import ReconstructionBatch, Split

PREVIEW_PLANES = 21  # planes of the playback that is shown beside a reconstruction


class ReconstructionModule(ClipReconstruction, ClipModule):
    """A method that turns a clip of spikes into the image at its middle plane, and is evaluated.

    A subclass sets :attr:`clip_length`, defines ``forward(spikes, rate_scale)`` and, where it
    learns, ``training_step`` and ``configure_optimizers``. PSNR and SSIM are also means over the
    recordings of each speed, as ``test/psnr_fast``, where their names state it.

    Args:
        lpips: ``"auto"`` measures LPIPS where its backbone is at hand, ``"off"`` never does, a
            path names the backbone's file.
        protocols: Published evaluation protocols to report beside the usual metrics, as
            ``"stir"`` (``test/psnr_stir``, ``test/ssim_stir``).
    """

    def __init__(self, *, lpips: str = "auto", protocols: Sequence[str] = ()) -> None:
        super().__init__()
        self.lpips = lpips
        self.protocols = tuple(protocols)

    def make_metrics(self) -> MetricCollection:
        """Return the metrics of images, those of the wanted protocols among them."""
        return reconstruction_metrics(lpips=self.lpips, protocols=self.protocols)

    def predict_step(self, batch: ReconstructionBatch, batch_idx: int) -> Tensor:
        """Return the reconstruction ``(B, 1, H, W)`` in [0, 1]."""
        self.check_clip(batch["spikes"].shape[1])
        return self(batch["spikes"], batch["rate_scale"]).float()

    def found(self, batch: ReconstructionBatch, batch_idx: int) -> FlowPrediction:
        """Return the reconstruction, and the motion it was made with where a method has it."""
        return FlowPrediction(self.predict_step(batch, batch_idx))

    def evaluate(self, batch: ReconstructionBatch, split: Split, batch_idx: int) -> Evaluation:
        """Reconstruct a batch and add it to the metrics of a split."""
        return self.evaluation(batch, self.found(batch, batch_idx), split)

    def evaluation(
        self, batch: ReconstructionBatch, prediction: FlowPrediction, split: Split
    ) -> Evaluation:
        """Add what was made of a batch of clips to the metrics of a split."""
        images, fields = prediction
        origins = ClipModule.origins(self, batch)  # of clips, also where batches are scenes
        scales = batch["rate_scale"].tolist()
        values = self.measure(split, images, batch["image"])
        self.measure_speeds(split, batch["name"], values)
        truth = batch.get("flow")
        if fields and truth is not None:
            self._measure_motion(split, batch["name"], fields, truth)
        measured = [
            MeasuredImage(one, one.plane, scale) for one, scale in zip(origins, scales, strict=True)
        ]
        shown = []
        for index, (origin, image) in enumerate(zip(origins, images, strict=True)):
            pictures = self.pictures(batch, index, image)
            if fields and truth is not None:
                pictures = {**field_pictures(fields[0][index], truth[index]), **pictures}
            shown.append(SamplePictures(origin, pictures, f"{origin.name}-plane{origin.plane}"))
        return Evaluation(shown, measured, values)

    def on_validation_epoch_end(self) -> None:
        """Log how the errors of motion compare with those of no motion, where there are any."""
        super().on_validation_epoch_end()
        self.log_dict(error_ratios(self.trainer.callback_metrics))

    def on_test_epoch_end(self) -> None:
        """Log how the errors of motion compare with those of no motion, where there are any."""
        super().on_test_epoch_end()
        self.log_dict(error_ratios(self.trainer.callback_metrics))

    def _measure_motion(
        self, split: Split, names: Sequence[str], fields: Sequence[Tensor], truth: Tensor
    ) -> None:
        """Log the errors of motion fields, means over the images of which some motion is known."""
        errors = field_errors(fields, truth)
        known = [index for index, one in enumerate(errors["epe_still"].tolist()) if one == one]
        if not known:
            return
        errors = {name: values[known] for name, values in errors.items()}
        self.log_means(split, errors)
        self.measure_speeds(split, [names[index] for index in known], errors)

    def measure_speeds(
        self, split: Split, names: Sequence[str], values: Mapping[str, Tensor]
    ) -> None:
        """Add values to the means of each speed (slow, medium, fast), and log them.

        Args:
            split: ``"val"`` or ``"test"``.
            names: The recording of each image.
            values: Metric, without its split -> its value for each of them.
        """
        paces = [speed_of(name) for name in names]
        for metric, pace in itertools.product(BY_SPEED, SPEEDS):
            chosen = [index for index, one in enumerate(paces) if one == pace]
            if chosen and metric in values:
                self.log_means(split, {f"{metric}_{pace}": values[metric][chosen]})

    def pictures(self, batch: ReconstructionBatch, index: int, image: Tensor) -> dict[str, Tensor]:
        """Return the images shown for one sample, its reconstruction and truth last.

        Args:
            batch: The samples.
            index: Which of them.
            image: What was made of it.
        """
        spikes = batch["spikes"][index]
        rate = playback(spikes, batch["rate_scale"][index], len(spikes) // 2, PREVIEW_PLANES)
        return {
            f"playback, {PREVIEW_PLANES} planes": rate,
            RECONSTRUCTION: image,
            TRUTH: batch["image"][index],
        }
