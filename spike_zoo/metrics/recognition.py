"""Metrics of recognition: accuracy, precision, recall and F1, over all classes and per class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassF1Score,
    MulticlassPrecision,
    MulticlassRecall,
)

if TYPE_CHECKING:
    from torch import Tensor

_OF_EACH: Final = "_of_each"  # suffix of metrics with one value per class


def recognition_metrics(classes: int) -> MetricCollection:
    """Return the metrics of recognition; they take labels or probabilities, and the true classes.

    Args:
        classes: Number of classes, at least 2.

    Returns:
        ``accuracy``, the fraction of correctly classified samples (torchmetrics' default is the
        mean over classes); ``precision``, ``recall`` and ``f1``, means over the classes that occur
        in the truth or the predictions; and the same three per class as vectors, which
        :func:`class_by_class` splits. A division by zero gives 0.
    """
    kinds = {"precision": MulticlassPrecision, "recall": MulticlassRecall, "f1": MulticlassF1Score}
    metrics: dict[str, Metric | MetricCollection] = {
        "accuracy": MulticlassAccuracy(classes, average="micro")
    }
    for name, kind in kinds.items():
        metrics[name] = kind(classes, average="macro", zero_division=0)
        metrics[f"{name}{_OF_EACH}"] = kind(classes, average="none", zero_division=0)
    return MetricCollection(metrics)


def class_by_class(values: Mapping[str, Tensor], *, with_classes: bool = True) -> dict[str, Tensor]:
    """Split vectors of values per class into scalars named by class index, as ``test/f1_0``.

    Args:
        values: Values of :func:`recognition_metrics`, with any prefix.
        with_classes: Whether to include the values per class.
    """
    scalars = {}
    for name, value in values.items():
        if not name.endswith(_OF_EACH):
            scalars[name] = value
        elif with_classes:
            stem = name.removesuffix(_OF_EACH)
            scalars |= {f"{stem}_{index}": scalar for index, scalar in enumerate(value)}
    return scalars
