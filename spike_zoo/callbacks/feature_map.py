"""What a method knows of its test samples before it decides, as a map: near is alike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from lightning.pytorch.utilities import rank_zero_warn

from spike_zoo.callbacks.evaluation import EvaluationCallback
from spike_zoo.callbacks.images import log_picture
from spike_zoo.media import map_chart, save_picture
from spike_zoo.records.result import FEATURE_MAP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lightning import LightningModule, Trainer
    from numpy.typing import NDArray

    from spike_zoo.tasks.evaluation import Evaluation

MOST = 2000  # samples; more take minutes and are no map any longer
FEWEST = 5
NEIGHBOURS = 30  # t-SNE's perplexity, scikit-learn's own


class FeatureMap(EvaluationCallback):
    """Save ``images/tsne.png``: t-SNE of test samples' features in the colours of their classes.

    It takes features and classes from what the module's steps return; a method without
    features leaves nothing. Of many samples some are drawn, spread evenly over the test. W&B and
    TensorBoard get the picture.

    Source: van der Maaten and Hinton, *Visualizing Data using t-SNE*, JMLR 2008.

    Args:
        folder: The run's.
        most: Samples of it, at most.
    """

    def __init__(self, folder: Path, most: int = MOST) -> None:
        self.folder = folder
        self.most = most
        self.reset()

    def reset(self) -> None:
        """Forget an earlier test."""
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
        """Draw the map, write it whole or not at all, and log it."""
        samples = sum(map(len, self._features))
        if samples < FEWEST:
            return
        kept = np.unique(np.linspace(0, samples - 1, min(samples, self.most)).round().astype(int))
        features, classes, are_wrong = (
            np.concatenate(parts)[kept]
            for parts in (self._features, self._classes, self._are_wrong)
        )
        if not np.isfinite(features).all():  # a run that diverged keeps its record
            rank_zero_warn(f"{FEATURE_MAP} is left out: some of the features are not finite")
            return
        title = f"t-SNE of the features of {len(kept)} samples"
        if len(kept) < samples:
            title += f" of {samples}"
        chart = map_chart(embedded(features), classes, self._names, are_wrong, title)
        path = self.folder / FEATURE_MAP
        save_picture(chart, path, overwrite=True)
        log_picture(trainer, "test/tsne", path, np.moveaxis(chart, -1, 0), title)


def embedded(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return features as points of a plane, those near each other that are alike.

    Args:
        features: ``(N, F)``, N at least 2. Each is brought to mean 0 and, where its values
            differ, deviation 1.

    Returns:
        ``(N, 2)``, the same for the same features.
    """
    from sklearn.manifold import TSNE

    deviation = features.std(axis=0)
    scaled = (features - features.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    begin = "pca" if min(scaled.shape) >= 2 and deviation.any() else "random"
    nearest = min(NEIGHBOURS, (len(features) - 1) / 3)
    made = TSNE(perplexity=nearest, init=begin, random_state=0).fit_transform(scaled)
    return np.asarray(made, np.float32)
