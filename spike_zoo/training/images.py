"""Sample images of evaluations; video, confusion matrix and t-SNE map of a test."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_warn
from numpy.typing import NDArray

from spike_zoo.media.charts import confusion_chart, map_chart
from spike_zoo.media.images import save_image, side_by_side, to_bytes
from spike_zoo.media.video import save_video
from spike_zoo.tasks.evaluation import RECONSTRUCTION, TRUTH, CaptionedImages, Evaluation
from spike_zoo.training.evaluation import EvaluationCallback
from spike_zoo.training.result import (
    CONFUSION_FILENAME,
    CONFUSION_IMAGE,
    FEATURE_MAP,
    RECONSTRUCTIONS,
    TRUTHS,
)
from spike_zoo.utils.files import new_file, plain_name

FPS = 10.0
MAX_IMAGES, MIN_IMAGES = 40, 2  # of a video
MAX_SAMPLES = 2000  # samples of a map; more take minutes and make it unreadable
MIN_SAMPLES = 5
PERPLEXITY = 30  # t-SNE's perplexity, scikit-learn's default


class SampleImages(EvaluationCallback):
    """Save reconstructions of the same samples at every evaluation as strips of images.

    Strips are logged to W&B, with recording and plane in the caption, and to TensorBoard. The
    samples are spread evenly over the split. A test also writes each reconstruction and its ground
    truth to separate files, named after recording and plane, so that runs can be compared.

    Args:
        folder: Folder of the PNG files.
        count: Number of samples per evaluation.
    """

    has_validation = True

    def __init__(self, folder: Path, count: int = 4) -> None:
        super().__init__()
        self.folder = folder
        self.count = count

    def on_evaluation(self, trainer: Trainer, evaluation: Evaluation, batch_idx: int) -> None:
        """Write the strip of a chosen sample; in a test, also reconstruction and ground truth."""
        batches = trainer.num_test_batches if trainer.testing else trainer.num_val_batches
        number = self._number(batches, batch_idx)
        is_saved = trainer.is_global_zero and not trainer.sanity_checking
        if number is None or not evaluation.samples or not is_saved:
            return
        sample, split = evaluation.samples[0], "test" if trainer.testing else "val"
        step = "" if trainer.testing else f"-step{trainer.global_step:07d}"
        path = self.folder / f"{split}-{number}{step}.png"
        strip = side_by_side(list(sample.images.values()), list(sample.images))
        save_image(strip, path, overwrite=True)
        log_image(trainer, f"{split}/sample_{number}", path, strip, sample.caption)
        if not trainer.testing or TRUTH not in sample.images:
            return  # nothing to compare between runs
        for kind, caption in {RECONSTRUCTIONS: RECONSTRUCTION, TRUTHS: TRUTH}.items():
            path = self.folder / kind / f"{plain_name(sample.stem)}.png"
            save_image(sample.images[caption].float(), path, overwrite=True)

    def _number(self, batches: Sequence[int | float], batch_idx: int) -> int | None:
        """Return the number of the chosen sample that a batch starts with, or None."""
        if batches[0] == float("inf"):  # the number of batches is not known
            return None
        last = int(batches[0]) - 1
        steps = max(self.count - 1, 1)
        chosen = list(dict.fromkeys(round(number * last / steps) for number in range(self.count)))
        return chosen.index(batch_idx) if batch_idx in chosen else None


class SampleVideo(EvaluationCallback):
    """Save the first recording of a test as a video, and log it to W&B.

    If an evaluation has a sequence (for example of one exposure with its blurry image), the video
    shows the sequence. Otherwise it shows the recording's consecutive test images with their ground
    truth.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder / "test.mp4"

    def reset(self) -> None:
        """Clear the data of an earlier test."""
        self._images: list[NDArray[Any]] = []
        self._samples: list[CaptionedImages] = []
        self._is_complete = False

    def on_evaluation(self, trainer: Trainer, evaluation: Evaluation, batch_idx: int) -> None:
        """Add the images of the batch that belong to the first recording."""
        if self._is_complete or not trainer.is_global_zero:
            return
        if evaluation.sequence is not None:
            self._is_complete = True
            for sample in evaluation.sequence():
                self._add(sample, list(sample.images))
            return
        for sample in evaluation.samples:
            name = self._samples[0].origin.name if self._samples else sample.origin.name
            if sample.origin.name != name or len(self._samples) >= MAX_IMAGES:
                self._is_complete = True
                return
            if RECONSTRUCTION in sample.images:  # not in classification
                captions = [c for c in (RECONSTRUCTION, TRUTH) if c in sample.images]
                self._add(sample, captions)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the video atomically and log it."""
        if len(self._images) < MIN_IMAGES:
            return
        save_video(self._images, self.path, FPS, overwrite=True)
        first, last = self._samples[0].origin, self._samples[-1].origin
        caption = f"{first.name}, planes {first.plane} to {last.plane}"
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_video(
                    "test/video",
                    [str(self.path)],
                    step=trainer.global_step,
                    caption=[caption],
                    format=["mp4"],
                )

    def _add(self, sample: CaptionedImages, captions: list[str]) -> None:
        images = [sample.images[caption] for caption in captions]
        self._images.append(to_bytes(side_by_side(images, captions)))
        self._samples.append(sample)


def log_image(trainer: Trainer, key: str, path: Path, image: NDArray[Any], caption: str) -> None:
    """Log an image ``(C, H, W)`` and its file to W&B and TensorBoard.

    TensorBoard has no captions, so the caption is part of its key.
    """
    step = trainer.global_step
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(key, [str(path)], step=step, caption=[caption])
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(f"{key}/{caption}", image, step)


class ConfusionImage(EvaluationCallback):
    """Write ``confusion.csv`` and ``images/confusion.png``: a row of counts for each true class.

    The classes are those of the module's evaluations; a task without classes writes nothing. The
    image is logged to W&B and TensorBoard.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def reset(self) -> None:
        """Clear the data of an earlier test."""
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
        """Write each file atomically and log the image."""
        if self._counts is None or not trainer.is_global_zero:
            return
        with (
            new_file(self.folder / CONFUSION_FILENAME, overwrite=True) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            # Not csv.DictWriter: names of classes are the user's and may repeat.
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["truth", *self._names])
            for name, row in zip(self._names, self._counts.tolist(), strict=True):
                writer.writerow([name, *row])
        chart, path = confusion_chart(self._counts, self._names), self.folder / CONFUSION_IMAGE
        save_image(chart, path, overwrite=True)
        caption = f"{np.trace(self._counts)} of {self._counts.sum()} correct"
        log_image(trainer, "test/confusion", path, np.moveaxis(chart, -1, 0), caption)


class FeatureMap(EvaluationCallback):
    """Save ``images/tsne.png``: t-SNE of test samples' features in the colours of their classes.

    Features and classes are those of the module's evaluations; a method without features writes
    nothing. If there are more than ``most`` samples, the map shows samples spread evenly over the
    test. The image is logged to W&B and TensorBoard.

    Source: van der Maaten and Hinton, *Visualizing Data using t-SNE*, JMLR 2008.
    """

    def __init__(self, folder: Path, most: int = MAX_SAMPLES) -> None:
        super().__init__()
        self.folder = folder
        self.most = most

    def reset(self) -> None:
        """Clear the data of an earlier test."""
        self._features: list[NDArray[np.float32]] = []
        self._classes: list[NDArray[np.int64]] = []
        self._are_wrong: list[NDArray[np.bool_]] = []
        self._names: Sequence[str] = ()

    def on_evaluation(self, trainer: Trainer, evaluation: Evaluation, batch_idx: int) -> None:
        """Keep the features of this batch."""
        labels = evaluation.labels
        if labels is None or labels.features is None or not trainer.is_global_zero:
            return
        self._names = labels.names
        self._features.append(labels.features.detach().flatten(1).float().cpu().numpy())
        self._classes.append(labels.truth.cpu().numpy())
        self._are_wrong.append((labels.truth != labels.predicted).cpu().numpy())

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the map, write it atomically, and log it."""
        samples = sum(map(len, self._features))
        if samples < MIN_SAMPLES:
            return
        selection = np.unique(
            np.linspace(0, samples - 1, min(samples, self.most)).round().astype(int)
        )
        features, classes, are_wrong = (
            np.concatenate(parts)[selection]
            for parts in (self._features, self._classes, self._are_wrong)
        )
        if not np.isfinite(features).all():  # no error: a diverged run must keep its record
            rank_zero_warn(f"{FEATURE_MAP} is left out: some of the features are not finite")
            return
        title = f"t-SNE of the features of {len(selection)} samples"
        if len(selection) < samples:
            title += f" of {samples}"
        chart = map_chart(tsne_embedding(features), classes, self._names, are_wrong, title)
        path = self.folder / FEATURE_MAP
        save_image(chart, path, overwrite=True)
        log_image(trainer, "test/tsne", path, np.moveaxis(chart, -1, 0), title)


def tsne_embedding(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Embed features ``(N, F)``, N at least 2, by t-SNE as ``(N, 2)``; deterministic.

    Each feature is normalised to mean 0 and, if not constant, standard deviation 1.
    """
    from sklearn.manifold import TSNE

    deviation = features.std(axis=0)
    scaled = (features - features.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    initialisation = "pca" if min(scaled.shape) >= 2 and deviation.any() else "random"
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, init=initialisation, random_state=0)
    return np.asarray(tsne.fit_transform(scaled), np.float32)
