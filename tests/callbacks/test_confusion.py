"""Which classes are taken for which: counts that do not depend on batches, in two files."""

from __future__ import annotations

import csv
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from sklearn.metrics import confusion_matrix

from spike_zoo.callbacks.confusion import ConfusionPicture
from spike_zoo.media import load_picture
from spike_zoo.tasks import Evaluation, Labels

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("no", "one", "two", "many")
TRUTH = torch.tensor([0, 0, 1, 1, 1, 2, 0])
FOUND = torch.tensor([0, 1, 1, 1, 2, 2, 3])


def _test(folder: Path, *evaluations: Any, **changes: Any) -> ConfusionPicture:
    callback: Any = ConfusionPicture(folder)
    trainer = SimpleNamespace(
        **{"is_global_zero": True, "loggers": [], "global_step": 0, **changes}
    )
    callback.on_test_start(trainer, None)
    for number, evaluation in enumerate(evaluations):
        callback.on_test_batch_end(trainer, None, evaluation, None, number)
    callback.on_test_end(trainer, None)
    return callback


def _evaluations(names: tuple[str, ...] = NAMES) -> list[Evaluation]:
    parts = [slice(0, 3), slice(3, 7)]
    return [Evaluation([], labels=Labels(TRUTH[one], FOUND[one], names)) for one in parts]


@pytest.mark.parametrize("names", [NAMES, ("no", "truth", "two", "two")])
def test_counts_are_those_of_scikit_learn_and_rows_are_the_truth(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    _test(tmp_path, *_evaluations(names))
    with (tmp_path / "confusion.csv").open(newline="") as file:
        head, *rows = list(csv.reader(file))
    assert head == ["truth", *names]
    assert [row[0] for row in rows] == list(names)
    wanted = confusion_matrix(TRUTH, FOUND, labels=range(4)).tolist()
    assert [[int(count) for count in row[1:]] for row in rows] == wanted
    assert load_picture(tmp_path / "images" / "confusion.png").shape[0] == 3


def test_a_second_test_begins_anew(tmp_path: Path) -> None:
    callback: Any = _test(tmp_path, *_evaluations())
    trainer = SimpleNamespace(is_global_zero=True, loggers=[], global_step=0)
    callback.on_test_start(trainer, None)
    callback.on_test_batch_end(trainer, None, _evaluations()[0], None, 0)
    callback.on_test_end(trainer, None)
    with (tmp_path / "confusion.csv").open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    assert sum(int(count) for row in rows for count in row[1:]) == 3


def test_nothing_is_left_of_other_tasks_or_by_other_processes(tmp_path: Path) -> None:
    _test(tmp_path, Evaluation([]), torch.zeros(1), None)
    _test(tmp_path, *_evaluations(), is_global_zero=False)
    assert list(tmp_path.iterdir()) == []
