"""Sample pictures: choice of samples, file names and content."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from spike_zoo.media import load_picture
from spike_zoo.tasks import Evaluation, Origin, SamplePictures
from spike_zoo.training.images import SampleImages


def _trainer(batches: int, **changes: Any) -> SimpleNamespace:
    counts = {"num_val_batches": [batches], "num_test_batches": [batches], "global_step": 40}
    state = {"is_global_zero": True, "sanity_checking": False, "testing": True, "loggers": []}
    return SimpleNamespace(**{**counts, **state, **changes})


def _evaluation(batch: int, *, has_truth: bool = True) -> Evaluation:
    """Return an evaluation of grey pictures; the ground truth is half as bright."""
    pictures = {"reconstruction": torch.full((1, 12, 16), batch / 20)}
    if has_truth:
        pictures["ground truth"] = torch.full((1, 12, 16), batch / 40)
    return Evaluation([SamplePictures(Origin("street", batch), pictures, f"street-{batch}")])


def _run_test(folder: Path, batches: int, count: int, **changes: Any) -> None:
    callback: Any = SampleImages(folder, count)
    for batch in range(batches):
        callback.on_test_batch_end(
            _trainer(batches, **changes), None, _evaluation(batch), None, batch
        )


@pytest.mark.parametrize(
    ("batches", "count", "expected"),
    [(10, 4, [0, 3, 6, 9]), (2, 4, [0, 1]), (1, 4, [0]), (5, 1, [0]), (3, 2, [0, 2])],
)
def test_samples_are_spread_evenly_over_a_split(
    batches: int, count: int, expected: list[int], tmp_path: Path
) -> None:
    _run_test(tmp_path, batches, count)
    names = sorted(path.stem for path in (tmp_path / "reconstructions").iterdir())
    assert names == [f"street-{batch}" for batch in expected]
    strips = sorted(path.name for path in tmp_path.glob("test-*.png"))
    assert strips == [f"test-{number}.png" for number in range(len(expected))]


def test_a_test_sample_and_its_ground_truth_have_the_same_file_name(tmp_path: Path) -> None:
    _run_test(tmp_path, 10, 4)
    for kind, grey in (("reconstructions", 6 / 20), ("truths", 6 / 40)):
        picture = load_picture(tmp_path / kind / "street-6.png")
        assert picture.shape == (1, 12, 16)
        assert picture.mean() == pytest.approx(grey, abs=0.51 / 255)


def test_validation_writes_a_strip_per_step_and_the_sanity_check_writes_none(
    tmp_path: Path,
) -> None:
    callback: Any = SampleImages(tmp_path)
    first = _trainer(1, testing=False, sanity_checking=True)
    callback.on_validation_batch_end(first, None, _evaluation(0), None, 0)
    assert not list(tmp_path.iterdir())
    for step in (40, 80):
        trainer = _trainer(1, testing=False, global_step=step)
        callback.on_validation_batch_end(trainer, None, _evaluation(0), None, 0)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["val-0-step0000040.png", "val-0-step0000080.png"]


def test_other_processes_and_other_tasks_write_nothing(tmp_path: Path) -> None:
    _run_test(tmp_path, 2, 2, is_global_zero=False)
    callback: Any = SampleImages(tmp_path)
    # an output that is not an evaluation
    callback.on_test_batch_end(_trainer(1), None, torch.zeros(1), None, 0)
    callback.on_test_batch_end(_trainer(1), None, Evaluation([]), None, 0)
    assert not list(tmp_path.iterdir())


def test_a_sample_without_ground_truth_is_written_as_a_strip_only(tmp_path: Path) -> None:
    callback: Any = SampleImages(tmp_path)
    callback.on_test_batch_end(_trainer(1), None, _evaluation(0, has_truth=False), None, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["test-0.png"]
