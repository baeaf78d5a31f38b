"""Pictures of a recognition test: confusion matrix and t-SNE map of features."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from lightning.pytorch.utilities import rank_zero_warn

from spike_zoo.media import confusion_chart, map_chart, save_picture
from spike_zoo.training.evaluation import EvaluationCallback
from spike_zoo.training.images import log_picture
from spike_zoo.training.result import CONFUSION_FILENAME, CONFUSION_PICTURE, FEATURE_MAP
from spike_zoo.utils.files import new_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lightning import LightningModule, Trainer
    from numpy.typing import NDArray

    from spike_zoo.tasks.evaluation import Evaluation

MAX_SAMPLES = 2000  # samples of a map; more take minutes and make it unreadable
MIN_SAMPLES = 5
PERPLEXITY = 30  # t-SNE's perplexity, scikit-learn's default


class ConfusionPicture(EvaluationCallback):
    """Write ``confusion.csv`` and ``images/confusion.png``: a row of counts for each true class.

    The classes are those of the module's evaluations; a task without classes writes nothing. The
    picture is logged to W&B and TensorBoard.

    Args:
        folder: Folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reset()

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
        """Write each file atomically and log the picture."""
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
        chart, path = confusion_chart(self._counts, self._names), self.folder / CONFUSION_PICTURE
        save_picture(chart, path, overwrite=True)
        caption = f"{np.trace(self._counts)} of {self._counts.sum()} correct"
        log_picture(trainer, "test/confusion", path, np.moveaxis(chart, -1, 0), caption)


class FeatureMap(EvaluationCallback):
    """Save ``images/tsne.png``: t-SNE of test samples' features in the colours of their classes.

    Features and classes are those of the module's evaluations; a method without features writes
    nothing. If there are more than ``most`` samples, the map shows samples spread evenly over the
    test. The picture is logged to W&B and TensorBoard.

    Source: van der Maaten and Hinton, *Visualizing Data using t-SNE*, JMLR 2008.

    Args:
        folder: Folder of the run.
        most: Largest number of samples in the map.
    """

    def __init__(self, folder: Path, most: int = MAX_SAMPLES) -> None:
        self.folder = folder
        self.most = most
        self.reset()

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
        kept = np.unique(np.linspace(0, samples - 1, min(samples, self.most)).round().astype(int))
        features, classes, are_wrong = (
            np.concatenate(parts)[kept]
            for parts in (self._features, self._classes, self._are_wrong)
        )
        if not np.isfinite(features).all():  # no error: a diverged run must keep its record
            rank_zero_warn(f"{FEATURE_MAP} is left out: some of the features are not finite")
            return
        title = f"t-SNE of the features of {len(kept)} samples"
        if len(kept) < samples:
            title += f" of {samples}"
        chart = map_chart(tsne_embedding(features), classes, self._names, are_wrong, title)
        path = self.folder / FEATURE_MAP
        save_picture(chart, path, overwrite=True)
        log_picture(trainer, "test/tsne", path, np.moveaxis(chart, -1, 0), title)


def tsne_embedding(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Embed features in two dimensions by t-SNE.

    Args:
        features: ``(N, F)``, N at least 2. Each feature is normalised to mean 0 and, if not
            constant, standard deviation 1.

    Returns:
        ``(N, 2)``, deterministic.
    """
    from sklearn.manifold import TSNE

    deviation = features.std(axis=0)
    scaled = (features - features.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    initialisation = "pca" if min(scaled.shape) >= 2 and deviation.any() else "random"
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, init=initialisation, random_state=0)
    return np.asarray(tsne.fit_transform(scaled), np.float32)
