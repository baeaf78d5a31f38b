"""Metrics of recognition against scikit-learn."""

import pytest
import torch
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from spike_zoo.metrics.recognition import class_by_class, recognition_metrics

TRUTH = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 2, 2])
PREDICTED = torch.tensor([0, 0, 0, 0, 0, 1, 1, 2, 0, 2])
NAMES = ("precision", "recall", "f1")


def test_values_equal_scikit_learn_for_several_batches() -> None:
    metrics = recognition_metrics(4)  # class 3 is neither a label nor a prediction
    for batch in (slice(0, 3), slice(3, 10)):
        metrics.update(torch.nn.functional.one_hot(PREDICTED[batch], 4).float(), TRUTH[batch])
    results = class_by_class(metrics.compute())
    assert results["accuracy"].item() == pytest.approx(accuracy_score(TRUTH, PREDICTED))
    means = precision_recall_fscore_support(TRUTH, PREDICTED, average="macro", zero_division=0)
    per_class = precision_recall_fscore_support(TRUTH, PREDICTED, labels=range(4), zero_division=0)
    for name, mean, values in zip(NAMES, means, per_class, strict=False):
        assert results[name].item() == pytest.approx(mean)
        assert [results[f"{name}_{n}"].item() for n in range(4)] == pytest.approx(list(values))
    assert len(results) == 4 + 3 * 4


def test_values_per_class_keep_the_prefix_and_can_be_omitted() -> None:
    metrics = recognition_metrics(2).clone(prefix="test/")
    metrics.update(torch.tensor([0, 1]), torch.tensor([0, 1]))
    names = ["test/accuracy", *(f"test/{name}" for name in NAMES)]
    assert set(class_by_class(metrics.compute(), with_classes=False)) == set(names)
    assert "test/f1_1" in class_by_class(metrics.compute())
