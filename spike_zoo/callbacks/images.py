"""Pictures beside the numbers: the same samples at every validation and test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

from spike_zoo.callbacks.evaluation import EvaluationCallback
from spike_zoo.media import save_picture, side_by_side
from spike_zoo.records.result import RECONSTRUCTIONS, TRUTHS
from spike_zoo.tasks.evaluation import RECONSTRUCTION, TRUTH, Evaluation, SamplePictures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lightning import LightningModule, Trainer
    from numpy.typing import NDArray


class SampleImages(EvaluationCallback):
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
        outputs: Any,  # noqa: ANN401  (an Evaluation of modules whose task is known)
        batch: Any,  # noqa: ANN401  (Lightning's signature)
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep a strip of a chosen validation sample."""
        number, shown = self._number(trainer.num_val_batches, batch_idx), first_shown(outputs)
        if number is None or shown is None or trainer.sanity_checking:
            return
        if trainer.is_global_zero:
            path = self.folder / f"val-{number}-step{trainer.global_step:07d}.png"
            self._save_strip(trainer, f"val/sample_{number}", path, shown)

    def on_evaluation(self, trainer: Trainer, evaluation: Evaluation, batch_idx: int) -> None:
        """Keep a chosen test sample: strip, reconstruction, ground truth."""
        number, shown = self._number(trainer.num_test_batches, batch_idx), first_shown(evaluation)
        if number is None or shown is None or not trainer.is_global_zero:
            return
        path = self.folder / f"test-{number}.png"
        self._save_strip(trainer, f"test/sample_{number}", path, shown)
        if TRUTH not in shown.pictures:
            return  # nothing to put side by side over runs
        for kind, caption in {RECONSTRUCTIONS: RECONSTRUCTION, TRUTHS: TRUTH}.items():
            image, path = shown.pictures[caption], self.folder / kind / f"{shown.stem}.png"
            save_picture(image.float(), path, overwrite=True)

    def _number(self, batches: Sequence[int | float], batch_idx: int) -> int | None:
        """Return which of the chosen samples a batch begins with, None where it is not one."""
        last = int(batches[0]) - 1
        steps = max(self.count - 1, 1)
        chosen = list(dict.fromkeys(round(number * last / steps) for number in range(self.count)))
        return chosen.index(batch_idx) if batch_idx in chosen else None

    def _save_strip(self, trainer: Trainer, key: str, path: Path, shown: SamplePictures) -> None:
        strip = side_by_side(list(shown.pictures.values()), list(shown.pictures))
        save_picture(strip, path, overwrite=True)
        log_picture(trainer, key, path, strip, shown.caption)


def log_picture(
    trainer: Trainer, key: str, path: Path, picture: NDArray[Any], caption: str
) -> None:
    """Show a picture where W&B or TensorBoard listens.

    Args:
        trainer: Whose loggers they are, and at which step.
        key: Log key.
        path: Its file.
        picture: The same, ``(C, H, W)``.
        caption: What it shows; TensorBoard has none, so it is part of the key there.
    """
    step = trainer.global_step
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(key, [str(path)], step=step, caption=[caption])
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(f"{key}/{caption}", picture, step)


def first_shown(outputs: object) -> SamplePictures | None:
    """Return the first sample that a step shows; None where it shows none, or is not of a task."""
    return next(iter(outputs.shown), None) if isinstance(outputs, Evaluation) else None
