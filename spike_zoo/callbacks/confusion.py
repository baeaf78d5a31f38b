"""Which classes a test took for which others, as a picture and as a table."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning import Callback

from spike_zoo.callbacks.images import log_picture
from spike_zoo.files import new_file
from spike_zoo.media import confusion_chart, save_picture
from spike_zoo.records.result import CONFUSION_FILENAME, CONFUSION_PICTURE
from spike_zoo.tasks.evaluation import Evaluation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lightning import LightningModule, Trainer
    from numpy.typing import NDArray


class ConfusionPicture(Callback):
    """Leave ``confusion.csv`` and ``images/confusion.png``: a row of counts for each true class.

    It takes the classes from what the module's steps return; a task without classes leaves
    nothing. W&B and TensorBoard get the picture.

    Args:
        folder: The run's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._begin()

    def _begin(self) -> None:
        self._counts: NDArray[np.int64] | None = None
        self._names: Sequence[str] = ()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget an earlier test."""
        self._begin()

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  (an Evaluation of modules whose task is known)
        batch: Any,  # noqa: ANN401  (Lightning's signature)
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the classes of this batch."""
        if not isinstance(outputs, Evaluation) or outputs.labels is None:
            return
        labels = outputs.labels
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
