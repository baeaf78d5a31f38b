"""Confusion matrix and t-SNE map of a recognition test."""

from __future__ import annotations

import csv
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix
from torch import Tensor

from spike_zoo.media import load_picture
from spike_zoo.tasks import Evaluation, Labels
from spike_zoo.training.recognition import ConfusionPicture, FeatureMap, tsne_embedding

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("no", "one", "two", "many")
TRUTH = torch.tensor([0, 0, 1, 1, 1, 2, 0])
PREDICTED = torch.tensor([0, 1, 1, 1, 2, 2, 3])


def _test(callback: Any, *evaluations: Any, **changes: Any) -> None:
    trainer = SimpleNamespace(
        **{"is_global_zero": True, "loggers": [], "global_step": 0, **changes}
    )
    callback.on_test_start(trainer, None)
    for number, evaluation in enumerate(evaluations):
        callback.on_test_batch_end(trainer, None, evaluation, None, number)
    callback.on_test_end(trainer, None)


def _evaluations(names: tuple[str, ...] = NAMES) -> list[Evaluation]:
    parts = [slice(0, 3), slice(3, 7)]
    return [Evaluation([], labels=Labels(TRUTH[part], PREDICTED[part], names)) for part in parts]


def _counts(folder: Path) -> list[list[str]]:
    with (folder / "confusion.csv").open(newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("names", [NAMES, ("no", "truth", "two", "two")])
def test_counts_equal_scikit_learn_with_the_truth_in_rows(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    _test(ConfusionPicture(tmp_path), *_evaluations(names))
    head, *rows = _counts(tmp_path)
    assert head == ["truth", *names]
    assert [row[0] for row in rows] == list(names)
    expected = confusion_matrix(TRUTH, PREDICTED, labels=range(4)).tolist()
    assert [[int(count) for count in row[1:]] for row in rows] == expected
    assert load_picture(tmp_path / "images" / "confusion.png").shape[0] == 3


def test_a_second_test_resets_the_counts(tmp_path: Path) -> None:
    callback = ConfusionPicture(tmp_path)
    _test(callback, *_evaluations())
    _test(callback, _evaluations()[0])
    assert sum(int(count) for row in _counts(tmp_path)[1:] for count in row[1:]) == 3


def test_other_tasks_and_other_processes_write_nothing(tmp_path: Path) -> None:
    _test(ConfusionPicture(tmp_path), Evaluation([]), torch.zeros(1), None)
    _test(ConfusionPicture(tmp_path), *_evaluations(), is_global_zero=False)
    assert list(tmp_path.iterdir()) == []


def _features(samples: int) -> Tensor:
    """Return features of three distant clusters, in order."""
    noise = torch.randn(samples, 6, generator=torch.Generator().manual_seed(0))
    return noise + 20 * torch.nn.functional.one_hot(torch.arange(samples) % 3, 6)


def _map(folder: Path, features: Tensor | None, most: int = 2000, **changes: Any) -> list[str]:
    samples = 12 if features is None else len(features)
    parts = [slice(start, start + 5) for start in range(0, samples, 5)]
    truth = torch.arange(samples) % 3
    labels = [
        Labels(
            truth[part], truth[part], ("a", "b", "c"), None if features is None else features[part]
        )
        for part in parts
    ]
    _test(FeatureMap(folder, most), *(Evaluation([], labels=part) for part in labels), **changes)
    return sorted(path.name for path in folder.rglob("*.png"))


def test_similar_samples_are_close_and_the_map_is_deterministic() -> None:
    features = _features(60).numpy()
    points, classes = tsne_embedding(features), np.arange(60) % 3
    middles = np.stack([points[classes == label].mean(axis=0) for label in range(3)])
    nearest = np.linalg.norm(points[:, None] - middles, axis=2).argmin(axis=1)
    assert nearest.tolist() == classes.tolist()
    np.testing.assert_array_equal(tsne_embedding(features), points)


@pytest.mark.parametrize("shape", [(5, 1), (6, 3)])
def test_few_samples_and_single_or_equal_features_have_finite_positions(
    shape: tuple[int, int],
) -> None:
    assert np.isfinite(tsne_embedding(np.ones(shape, np.float32))).all()
    line = np.arange(shape[0], dtype=np.float32)[:, None].repeat(shape[1], axis=1)
    assert np.isfinite(tsne_embedding(line)).all()


def test_a_map_is_saved_for_more_samples_than_its_limit(tmp_path: Path) -> None:
    assert _map(tmp_path, _features(30), most=20) == ["tsne.png"]
    assert load_picture(tmp_path / "images" / "tsne.png").shape[0] == 3


def test_no_features_too_few_samples_and_other_processes_give_no_map(tmp_path: Path) -> None:
    assert _map(tmp_path, None) == []
    assert _map(tmp_path, _features(4)) == []
    assert _map(tmp_path, _features(30), is_global_zero=False) == []


def test_features_that_are_not_finite_give_a_warning_and_no_map(tmp_path: Path) -> None:
    features = _features(30)
    features[7] = torch.nan
    with pytest.warns(UserWarning, match="tsne.png is left out: .* not finite"):
        assert _map(tmp_path, features) == []
