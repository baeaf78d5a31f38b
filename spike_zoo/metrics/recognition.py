"""How well classes are recognised: over all samples, over classes, and of each class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from torchmetrics import MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassF1Score,
    MulticlassPrecision,
    MulticlassRecall,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor
    from torchmetrics import Metric

_OF_EACH: Final = "_of_each"  # ends the name of a metric with a value for every class


def recognition_metrics(classes: int) -> MetricCollection:
    """Return the metrics of recognition, which take labels or probabilities and the truth.

    Args:
        classes: How many there are, at least 2.

    Returns:
        ``accuracy``, the share of samples whose class was found (torchmetrics' own default is the
        mean over classes); ``precision``, ``recall`` and ``f1``, means over the classes that were
        seen or named; and the same three of each class as vectors, which
        :func:`class_by_class` gives names. Where nothing can be divided by they are 0.
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
    """Return single values, those of each class named after its index: ``test/f1_0``.

    Args:
        values: What :func:`recognition_metrics` computed, under any prefix.
        with_classes: Whether values of single classes are wanted.
    """
    found = {}
    for name, value in values.items():
        if not name.endswith(_OF_EACH):
            found[name] = value
        elif with_classes:
            stem = name.removesuffix(_OF_EACH)
            found |= {f"{stem}_{index}": one for index, one in enumerate(value)}
    return found
