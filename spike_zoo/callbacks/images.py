"""Pictures beside the numbers: the same samples at every validation and test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

from spike_zoo.callbacks.evaluation import EvaluationCallback
from spike_zoo.media import save_picture, side_by_side
from spike_zoo.records.result import RECONSTRUCTIONS, TRUTHS
from spike_zoo.tasks.evaluation import RECONSTRUCTION, TRUTH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lightning import Trainer
    from numpy.typing import NDArray

    from spike_zoo.tasks.evaluation import Evaluation


class SampleImages(EvaluationCallback):
    """Save reconstructions of the same samples at every evaluation, as strips that loggers show.

    Strips go to W&B, their captions naming recording and plane, and to TensorBoard. The samples
    are spread evenly over the split. A test also leaves each reconstruction and its ground truth as
    files of their own, named after recording and plane, so that runs can be put side by side.

    Args:
        folder: Where the PNG files go.
        count: Samples of each evaluation.
    """

    has_validation = True

    def __init__(self, folder: Path, count: int = 4) -> None:
        self.folder = folder
        self.count = count

    def on_evaluation(self, trainer: Trainer, evaluation: Evaluation, batch_idx: int) -> None:
        """Keep a chosen sample: a strip, and of a test reconstruction and ground truth."""
        batches = trainer.num_test_batches if trainer.testing else trainer.num_val_batches
        number = self._number(batches, batch_idx)
        if number is None or not evaluation.shown or trainer.sanity_checking:
            return
        if not trainer.is_global_zero:
            return
        shown, split = evaluation.shown[0], "test" if trainer.testing else "val"
        step = "" if trainer.testing else f"-step{trainer.global_step:07d}"
        path = self.folder / f"{split}-{number}{step}.png"
        strip = side_by_side(list(shown.pictures.values()), list(shown.pictures))
        save_picture(strip, path, overwrite=True)
        log_picture(trainer, f"{split}/sample_{number}", path, strip, shown.caption)
        if not trainer.testing or TRUTH not in shown.pictures:
            return  # nothing to put side by side over runs
        for kind, caption in {RECONSTRUCTIONS: RECONSTRUCTION, TRUTHS: TRUTH}.items():
            path = self.folder / kind / f"{shown.stem}.png"
            save_picture(shown.pictures[caption].float(), path, overwrite=True)

    def _number(self, batches: Sequence[int | float], batch_idx: int) -> int | None:
        """Return which of the chosen samples a batch begins with, None where it is not one."""
        last = int(batches[0]) - 1
        steps = max(self.count - 1, 1)
        chosen = list(dict.fromkeys(round(number * last / steps) for number in range(self.count)))
        return chosen.index(batch_idx) if batch_idx in chosen else None


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
