"""Predictions as files: images as PNG, values as a table."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import BasePredictionWriter

from spike_zoo.files import new_file
from spike_zoo.media import save_picture
from spike_zoo.tasks.base import TaskModule

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lightning import LightningModule, Trainer

FILENAME = "predictions.csv"


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
            return  # whose batches nobody here knows
        found = pl_module.predicted(batch, prediction)
        numbers = batch_indices or [batch_idx * len(found) + n for n in range(len(found))]
        for number, (origin, image, values) in zip(numbers, found, strict=True):
            if values:
                self._rows.append({"name": origin.name, "plane": origin.plane, **values})
            if image is not None:
                plane = number if origin.plane is None else origin.plane
                path = self.folder / f"{origin.name}-{plane:06d}.png"
                save_picture(image.float(), path, overwrite=True)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the values, whole or not at all."""
        if not self._rows or not trainer.is_global_zero:
            return
        with (
            new_file(self.folder / FILENAME, overwrite=True) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, list(self._rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self._rows)
