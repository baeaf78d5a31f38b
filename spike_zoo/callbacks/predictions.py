"""Predictions as files: images as PNG, values as a table."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import BasePredictionWriter

from spike_zoo.loggers.csv import write_rows
from spike_zoo.media import save_picture
from spike_zoo.records.result import PREDICTIONS_FILENAME
from spike_zoo.tasks.base import TaskModule, gathered

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lightning import LightningModule, Trainer


class PredictionFiles(BasePredictionWriter):
    """Write what is predicted of every sample, as its task says: see :meth:`TaskModule.predicted`.

    An image becomes a PNG named after its recording and plane or sample; values become a line of
    ``predictions.csv``.

    Args:
        folder: Where the files go.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(write_interval="batch")
        self.folder = folder
        self._rows: list[dict[str, Any]] = []
        self._done = 0

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Any,  # noqa: ANN401  (the task's)
        batch_indices: Sequence[int] | None,
        batch: Any,  # noqa: ANN401  (the task's batch)
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write the images of one batch, and keep its values."""
        if not isinstance(pl_module, TaskModule):
            return  # whose batches have another form
        found = pl_module.predicted(batch, prediction)
        numbers: Sequence[int] = range(self._done, self._done + len(found))
        if batch_indices and len(batch_indices) == len(found):  # a sample may be several images
            numbers = batch_indices
        self._done += len(found)
        for number, (origin, image, values) in zip(numbers, found, strict=True):
            if values:
                self._rows.append({"name": origin.name, "plane": origin.plane, **values})
            if image is not None:
                plane = number if origin.plane is None else origin.plane
                path = self.folder / f"{origin.name}-{plane:06d}.png"
                save_picture(image.float(), path, overwrite=True)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the values of all processes, whole or not at all."""
        rows = _of_all_processes(self._rows)
        if not rows or not trainer.is_global_zero:
            return
        write_rows(self.folder / PREDICTIONS_FILENAME, rows, list(rows[0]), end="\n")


def _of_all_processes(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of every process, each sample once: shares are filled up with the first."""
    shares = gathered(rows)
    if len(shares) == 1:
        return rows
    taken_in_turn = (row for turn in zip_longest(*shares) for row in turn if row is not None)
    return list({(row["name"], row["plane"]): row for row in taken_in_turn}.values())
