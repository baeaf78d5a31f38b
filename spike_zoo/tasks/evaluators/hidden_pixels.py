"""Evaluator of reconstruction without ground truth, by the spikes of hidden pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from spike_zoo.tasks.batch import ReconstructionBatch, Split
from spike_zoo.tasks.evaluation import RECONSTRUCTION, CaptionedImages, Evaluation, playback
from spike_zoo.tasks.evaluators.base import Evaluator, clip_origins, measured_clips

if TYPE_CHECKING:
    from spike_zoo.tasks.reconstruction import ReconstructionModule

HELD_OUT_ERROR = "heldout_mse"
"""Metric of data without images: mean squared error minus that of the method of the targets."""
PREVIEW_PLANES = 21  # window of the playback shown with a reconstruction


class HiddenPixelEvaluator(Evaluator["ReconstructionModule", ReconstructionBatch]):
    """Estimate the squared error of reconstructions of clips that have no ground truth.

    The images of the batches are reference images, made of the clips with hidden pixels.
    """

    def evaluate(
        self, method: ReconstructionModule, batch: ReconstructionBatch, split: Split, index: int
    ) -> Evaluation:
        """Reconstruct a batch, with and without hidden pixels, and add the estimated errors."""
        images = method.predict_step(batch, index)
        hidden_batch: ReconstructionBatch = {**batch, "spikes": batch["hidden_spikes"]}
        errors = held_out_errors(batch, images, method.predict_step(hidden_batch, index))
        if len(known := errors[~errors.isnan()]):
            self.add_means(split, {HELD_OUT_ERROR: known})
        samples = [clip_sample(batch, number, image) for number, image in enumerate(images)]
        return Evaluation(samples, measured_clips(batch), {HELD_OUT_ERROR: errors})


def held_out_errors(batch: ReconstructionBatch, images: Tensor, hidden: Tensor) -> Tensor:
    """Estimate by how much the squared errors of images exceed those of ``batch["image"]``.

    Let x be a reconstruction in ``images``, h that from the clip with hidden pixels, in ``hidden``,
    r the reference image, which is made of the same clip, and y the brightness by the hidden
    spikes. The noise of y is independent of h and r, so the expectation of 2 (h - r) (r - y) is the
    same for the true brightness s. With it, (x - r)^2 + 2 (h - r) (r - y) has the expectation of
    (x - s)^2 - (r - s)^2, except for the difference of x and h, multiplied by the error of r.

    Returns:
        Means over hidden pixels, ``(B,)``; NaN without any.
    """
    reference, scale = batch["image"], batch["rate_scale"].view(-1, 1, 1, 1)
    error = reference - batch["hidden_rates"] / scale
    excess = (images - reference).square() + 2 * (hidden - reference) * error
    return excess.flatten(1).nanmean(dim=1)


def clip_sample(batch: ReconstructionBatch, index: int, image: Tensor) -> CaptionedImages:
    """Return the images of one clip: playback, and the image reconstructed from it."""
    origin, spikes = clip_origins(batch)[index], batch["spikes"][index]
    rate = playback(spikes, batch["rate_scale"][index], len(spikes) // 2, PREVIEW_PLANES)
    by_caption = {f"playback, {PREVIEW_PLANES} planes": rate, RECONSTRUCTION: image}
    return CaptionedImages(origin, by_caption, f"{origin.name}-plane{origin.plane}")
