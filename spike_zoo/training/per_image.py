"""Table of the metrics of each test image, from which tables of fast and slow scenes are made."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spike_zoo.training.csv_logger import write_rows
from spike_zoo.training.evaluation import EvaluationCallback
from spike_zoo.training.result import PER_IMAGE_FILENAME

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lightning import LightningModule, Trainer

    from spike_zoo.tasks.evaluation import Evaluation


class PerImageMetrics(EvaluationCallback):
    """Write ``per_image.csv``: recording, plane, rate scale and every metric of each test image.

    The values are those of the module's evaluations, so nothing is measured twice.

    Args:
        folder: Folder of the file.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / PER_IMAGE_FILENAME
        self.reset()

    def reset(self) -> None:
        """Clear the data of an earlier test."""
        self._rows: list[dict[str, Any]] = []
        self._images: list[tuple[str, int | str]] = []

    @property
    def images(self) -> int | None:
        """Number of measured images; None before a test."""
        return len(self._images) or None

    @property
    def images_sha256(self) -> str | None:
        """Digest of the set of measured images; None before a test."""
        return image_set_digest(self._images) if self._images else None

    def on_evaluation(self, trainer: Trainer, evaluation: Evaluation, batch_idx: int) -> None:
        """Add the measured values of this batch."""
        columns = {name: values.tolist() for name, values in evaluation.values.items()}
        for index, (origin, offset, rate_scale) in enumerate(evaluation.measured):
            self._images.append((origin.name, "" if offset is None else offset))
            row = {"name": origin.name, "plane": origin.plane, "rate_scale": round(rate_scale, 6)}
            self._rows.append(row | {name: column[index] for name, column in columns.items()})

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the file atomically."""
        if not self._rows or not trainer.is_global_zero:
            return
        write_rows(self.path, self._rows, list(self._rows[0]), end="\n")


def image_set_digest(images: Iterable[tuple[str, int | str]]) -> str:
    """Return the SHA-256 of images (name of the recording, plane or offset) in any order."""
    lines = sorted(f"{name}\t{plane}" for name, plane in images)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
