"""Writer of predictions: images as PNG files, values as a CSV table."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import BasePredictionWriter

from spike_zoo.media import save_picture
from spike_zoo.tasks.base import TaskModule, all_gather_objects
from spike_zoo.training.csv_logger import write_rows
from spike_zoo.training.result import PREDICTIONS_FILENAME

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lightning import LightningModule, Trainer


class PredictionFiles(BasePredictionWriter):
    """Write the predictions of every sample, see :meth:`TaskModule.sample_predictions`.

    Images are written as PNG files named after recording and plane, or sample number if the sample
    has no plane. Values are written as a line of ``predictions.csv``.

    Args:
        folder: Folder of the files.
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
            return
        samples = pl_module.sample_predictions(batch, prediction)
        numbers: Sequence[int] = range(self._done, self._done + len(samples))
        if batch_indices and len(batch_indices) == len(samples):  # a scene has several images
            numbers = batch_indices
        self._done += len(samples)
        for number, (origin, image, values) in zip(numbers, samples, strict=True):
            if values:
                self._rows.append({"name": origin.name, "plane": origin.plane, **values})
            if image is not None:
                plane = number if origin.plane is None else origin.plane
                path = self.folder / f"{origin.name}-{plane:06d}.png"
                save_picture(image.float(), path, overwrite=True)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the values of all processes atomically."""
        rows = _of_all_processes(self._rows)
        if not rows or not trainer.is_global_zero:
            return
        write_rows(self.folder / PREDICTIONS_FILENAME, rows, list(rows[0]), end="\n")


def _of_all_processes(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of every process, each sample once.

    The distributed sampler repeats the first samples so that all processes have equally many.
    """
    shares = all_gather_objects(rows)
    if len(shares) == 1:
        return rows
    interleaved = (row for turn in zip_longest(*shares) for row in turn if row is not None)
    return list({(row["name"], row["plane"]): row for row in interleaved}.values())
