"""Metrics of recognition against scikit-learn."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from spike_zoo.metrics import class_by_class, recognition_metrics

TRUTH = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 2, 2])
FOUND = torch.tensor([0, 0, 0, 0, 0, 1, 1, 2, 0, 2])
NAMES = ("precision", "recall", "f1")


def test_all_values_are_those_of_scikit_learn_whatever_the_batches_were() -> None:
    metrics = recognition_metrics(4)  # class 3 is never seen and never named
    for batch in (slice(0, 3), slice(3, 10)):
        metrics.update(torch.nn.functional.one_hot(FOUND[batch], 4).float(), TRUTH[batch])
    found = class_by_class(metrics.compute())
    assert found["accuracy"].item() == pytest.approx(accuracy_score(TRUTH, FOUND))
    over = precision_recall_fscore_support(TRUTH, FOUND, average="macro", zero_division=0)
    each = precision_recall_fscore_support(TRUTH, FOUND, labels=range(4), zero_division=0)
    for name, mean, values in zip(NAMES, over, each, strict=False):
        assert found[name].item() == pytest.approx(mean)
        assert [found[f"{name}_{n}"].item() for n in range(4)] == pytest.approx(list(values))
    assert len(found) == 4 + 3 * 4


def test_accuracy_is_over_samples_and_not_over_classes() -> None:
    metrics = recognition_metrics(2)
    metrics.update(torch.tensor([0, 0, 0, 0]), torch.tensor([0, 0, 0, 1]))
    assert metrics.compute()["accuracy"] == 0.75, "the mean over classes is a half"


def test_values_of_single_classes_keep_the_prefix_and_can_be_left_out() -> None:
    metrics = recognition_metrics(2).clone(prefix="test/")
    metrics.update(torch.tensor([0, 1]), torch.tensor([0, 1]))
    names = ["test/accuracy", *(f"test/{name}" for name in NAMES)]
    assert set(class_by_class(metrics.compute(), with_classes=False)) == set(names)
    assert "test/f1_1" in class_by_class(metrics.compute())
