"""Which classes a test took for which others, as a picture and as a table."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spike_zoo.callbacks.evaluation import EvaluationCallback
from spike_zoo.callbacks.images import log_picture
from spike_zoo.files import new_file
from spike_zoo.media import confusion_chart, save_picture
from spike_zoo.records.result import CONFUSION_FILENAME, CONFUSION_PICTURE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lightning import LightningModule, Trainer
    from numpy.typing import NDArray

    from spike_zoo.tasks.evaluation import Evaluation


class ConfusionPicture(EvaluationCallback):
    """Leave ``confusion.csv`` and ``images/confusion.png``: a row of counts for each true class.

    It takes the classes from what the module's steps return; a task without classes leaves
    nothing. W&B and TensorBoard get the picture.

    Args:
        folder: The run's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reset()

    def reset(self) -> None:
        """Forget an earlier test."""
        self._counts: NDArray[np.int64] | None = None
        self._names: Sequence[str] = ()

    def on_evaluation(self, trainer: Trainer, evaluation: Evaluation, batch_idx: int) -> None:
        """Count the classes of this batch."""
        labels = evaluation.labels
        if labels is None:
            return
        if self._counts is None:
            self._names = labels.names
            self._counts = np.zeros((len(labels.names),) * 2, np.int64)
        np.add.at(self._counts, (labels.truth.cpu().numpy(), labels.predicted.cpu().numpy()), 1)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write both files, whole or not at all, and log the picture."""
        if self._counts is None or not trainer.is_global_zero:
            return
        with (
            new_file(self.folder / CONFUSION_FILENAME, overwrite=True) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.writer(file, lineterminator="\n")  # by place: names are the user's
            writer.writerow(["truth", *self._names])
            for name, row in zip(self._names, self._counts.tolist(), strict=True):
                writer.writerow([name, *row])
        chart, path = confusion_chart(self._counts, self._names), self.folder / CONFUSION_PICTURE
        save_picture(chart, path, overwrite=True)
        caption = f"{np.trace(self._counts)} of {self._counts.sum()} found"
        log_picture(trainer, "test/confusion", path, np.moveaxis(chart, -1, 0), caption)
