"""Base class of callbacks that process evaluations, and tables and files of each sample."""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter

from spike_zoo.media.images import save_image
from spike_zoo.nn.distributed import all_gather_objects
from spike_zoo.tasks.base import MethodModule
from spike_zoo.tasks.evaluation import Evaluation
from spike_zoo.training.csv_logger import write_rows
from spike_zoo.training.result import PER_IMAGE_FILENAME, PREDICTIONS_FILENAME
from spike_zoo.utils.files import plain_name


class EvaluationCallback(Callback):
    """Pass each test batch's :class:`Evaluation` to :meth:`on_evaluation`.

    Other outputs of steps (of modules without an evaluator) are ignored. Subclasses
    initialise their collected data in :meth:`reset`, which runs at construction and at the start
    of each test.

    Attributes:
        has_validation: Whether validation batches are passed on, too.
    """

    has_validation = False

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Clear the data of an earlier test."""

    def on_evaluation(self, trainer: Trainer, evaluation: Evaluation, batch_idx: int) -> None:
        """Process the evaluation of one batch."""
        raise NotImplementedError

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Clear the data of an earlier test."""
        self.reset()

    def on_validation_batch_end(self, *arguments: Any) -> None:
        """Pass on the batch's evaluation if :attr:`has_validation`."""
        if self.has_validation:
            self.on_test_batch_end(*arguments)

    def on_test_batch_end(self, trainer: Trainer, *arguments: Any) -> None:
        """Pass on the batch's evaluation; the output of a :class:`MethodModule` is one."""
        _, outputs, _, batch_idx, *_ = arguments
        if isinstance(outputs, Evaluation):
            self.on_evaluation(trainer, outputs, batch_idx)


class PerImageMetrics(EvaluationCallback):
    """Write ``per_image.csv``: recording, plane, rate scale and every metric of each test image.

    The values are those of the module's evaluations, so nothing is measured twice.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder / PER_IMAGE_FILENAME

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
            row |= {name: column[index] for name, column in columns.items()}
            partial = evaluation.partial_values.items()
            self._rows.append(row | {name: own[index] for name, own in partial if index in own})

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the file atomically."""
        if self._rows and trainer.is_global_zero:
            names = list(dict.fromkeys(chain.from_iterable(self._rows)))
            write_rows(self.path, self._rows, names, end="\n")


def image_set_digest(images: Iterable[tuple[str, int | str]]) -> str:
    """Return the SHA-256 of images (name of the recording, plane or offset) in any order."""
    lines = sorted(f"{name}\t{plane}" for name, plane in images)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class PredictionFiles(BasePredictionWriter):
    """Write the predictions of every sample, see :meth:`Evaluator.sample_predictions`.

    Images are written as PNG files named after recording and plane, or sample number if the sample
    has no plane. Values are written as a line of ``predictions.csv``.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(write_interval="batch")
        self.folder = folder
        self._rows: list[dict[str, Any]] = []
        self._done = 0

    def write_on_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *arguments: Any
    ) -> None:
        """Write the images of one batch, and keep its values."""
        prediction, batch_indices, batch, *_ = arguments
        if not isinstance(pl_module, MethodModule):
            return
        samples = pl_module.evaluator.sample_predictions(batch, prediction)
        numbers: Sequence[int] = range(self._done, self._done + len(samples))
        if batch_indices and len(batch_indices) == len(samples):  # a scene has several images
            numbers = batch_indices
        self._done += len(samples)
        for number, (origin, image, values) in zip(numbers, samples, strict=True):
            if values:
                self._rows.append({"name": origin.name, "plane": origin.plane, **values})
            if image is not None:
                plane = number if origin.plane is None else origin.plane
                path = self.folder / f"{plain_name(origin.name)}-{plane:06d}.png"
                save_image(image.float(), path, overwrite=True, is_result=True)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the values of all processes atomically, each sample once.

        The distributed sampler repeats the first samples so that all processes have equally many.
        """
        shares = all_gather_objects(self._rows)
        rows = shares[0]
        if len(shares) > 1:
            turns = (row for turn in zip_longest(*shares) for row in turn if row is not None)
            rows = list({(row["name"], row["plane"]): row for row in turns}.values())
        if rows and trainer.is_global_zero:
            write_rows(self.folder / PREDICTIONS_FILENAME, rows, list(rows[0]), end="\n")
