"""Pictures beside the numbers: the same samples at every validation, and predictions as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning import Callback
from lightning.pytorch.callbacks import BasePredictionWriter
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

from spike_zoo.media import save_picture, side_by_side

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lightning import LightningModule, Trainer
    from torch import Tensor

    from spike_zoo.batch import ReconstructionBatch

    Outputs = Tensor | dict[str, Tensor]  # what the module's step returns

PREVIEW_PLANES = 21  # playback over this window stands beside a reconstruction
RECONSTRUCTIONS, TRUTHS = "reconstructions", "truths"
RECONSTRUCTION, TRUTH = "reconstruction", "ground truth"  # captions


class SampleImages(Callback):
    """Save reconstructions of the same samples at every evaluation, as strips that loggers show.

    Strips go to W&B, their captions naming recording and plane, and to TensorBoard. The samples
    are spread evenly over the split. A test also leaves each reconstruction and its ground truth as
    files of their own, named after recording and plane, so that runs can be put side by side.

    Args:
        folder: Where the PNG files go.
        count: Samples of each evaluation.
    """

    def __init__(self, folder: Path, count: int = 4) -> None:
        self.folder = folder
        self.count = count

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  (what the module's step returns, see shown_pictures)
        batch: ReconstructionBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep a strip of a chosen validation sample."""
        number = self._number(trainer.num_val_batches, batch_idx)
        if number is None or trainer.sanity_checking or not trainer.is_global_zero:
            return
        path = self.folder / f"val-{number}-step{trainer.global_step:07d}.png"
        self._save_strip(trainer, f"val/sample_{number}", path, outputs, batch)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  (what the module's step returns, see shown_pictures)
        batch: ReconstructionBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep a chosen test sample: strip, reconstruction, ground truth."""
        number = self._number(trainer.num_test_batches, batch_idx)
        pictures = shown_pictures(outputs, batch)
        if number is None or not trainer.is_global_zero or TRUTH not in pictures:
            return
        path = self.folder / f"test-{number}.png"
        self._save_strip(trainer, f"test/sample_{number}", path, outputs, batch)
        where = f"plane{int(batch['plane'][0])}" if "plane" in batch else f"{batch_idx:04d}"
        stem = f"{batch['name'][0]}-{where}"
        kinds = {RECONSTRUCTIONS: pictures[RECONSTRUCTION], TRUTHS: pictures[TRUTH]}
        for kind, image in kinds.items():
            save_picture(image.float(), self.folder / kind / f"{stem}.png", overwrite=True)

    def _number(self, batches: Sequence[int | float], batch_idx: int) -> int | None:
        """Return which of the chosen samples a batch begins with, None where it is not one."""
        last = int(batches[0]) - 1
        steps = max(self.count - 1, 1)
        chosen = list(dict.fromkeys(round(number * last / steps) for number in range(self.count)))
        return chosen.index(batch_idx) if batch_idx in chosen else None

    def _save_strip(
        self, trainer: Trainer, key: str, path: Path, outputs: Outputs, batch: ReconstructionBatch
    ) -> None:
        pictures = shown_pictures(outputs, batch)
        strip = side_by_side(list(pictures.values()), list(pictures))
        save_picture(strip, path, overwrite=True)
        caption, step = caption_of(batch), trainer.global_step
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image(key, [str(path)], step=step, caption=[caption])
            elif isinstance(logger, TensorBoardLogger):  # which has no captions
                logger.experiment.add_image(f"{key}/{caption}", strip, step)


class PredictionPictures(BasePredictionWriter):
    """Write every predicted image as PNG, named after its recording and plane or sample.

    Args:
        folder: Where the files go.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(write_interval="batch")
        self.folder = folder

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Tensor,
        batch_indices: Sequence[int] | None,
        batch: ReconstructionBatch,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write the images of one batch."""
        numbers = batch_indices or [batch_idx * len(prediction) + n for n in range(len(prediction))]
        for index, image in enumerate(prediction):
            number = int(batch["plane"][index]) if "plane" in batch else numbers[index]
            path = self.folder / f"{batch['name'][index]}-{number:06d}.png"
            save_picture(image.float(), path, overwrite=True)


def caption_of(batch: Mapping[str, Any]) -> str:
    """Return which recording and plane the pictures of a batch's first sample show."""
    name = batch["name"][0]
    if "plane" in batch:
        return f"{name}, plane {int(batch['plane'][0])}"
    start, stop = batch["exposure"][0].tolist()
    middle = start + (stop - start) // 2
    planes = batch["planes"][0].tolist() or [middle]
    return f"{name}, plane {min(planes, key=lambda plane: abs(plane - middle))}"


def shown_pictures(outputs: Outputs, batch: ReconstructionBatch) -> dict[str, Tensor]:
    """Return what is shown of the first sample: captions and pictures.

    Args:
        outputs: What the module's step returned: such captions and pictures, or reconstructions
            ``(B, 1, H, W)``.
        batch: What it was given.
    """
    if isinstance(outputs, dict):
        return outputs
    pictures = {
        f"playback, {PREVIEW_PLANES} planes": _playback(batch),
        RECONSTRUCTION: outputs[0].float(),
    }
    return {**pictures, TRUTH: batch["image"][0]} if "image" in batch else pictures


def _playback(batch: ReconstructionBatch) -> Tensor:
    """Return the mean of the middle planes at the recording's scale, ``(H, W)``."""
    spikes = batch["spikes"][0]
    start = max(0, (len(spikes) - PREVIEW_PLANES) // 2)
    rate = spikes[start : start + PREVIEW_PLANES].mean(dim=0)
    return (rate / batch["rate_scale"][0]).clamp(0, 1)
