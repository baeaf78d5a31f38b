"""Writing, reading and comparison of the record of a run's start."""

from __future__ import annotations

from pathlib import Path

import pytest

from spike_zoo.errors import FormatError
from spike_zoo.training.run_start import RunStart

KEY = "model.init_args.teacher"
TEACHER = {"path": "runs/t/checkpoints/best.ckpt", "sha256": "12" * 32, "recipe": None}
START = RunStart("ab" * 32, {KEY: TEACHER})
CHANGED_WEIGHTS = f"{KEY}: the weights in runs/t/checkpoints/best.ckpt have changed"


def test_a_start_record_is_the_same_after_writing_and_reading(tmp_path: Path) -> None:
    RunStart("cd" * 32).write(tmp_path)
    START.write(tmp_path)  # the run is started again
    assert RunStart.read(tmp_path) == START
    assert [path.name for path in tmp_path.iterdir()] == ["start.json"]


def test_a_run_of_an_older_version_has_no_start_record(tmp_path: Path) -> None:
    assert RunStart.read(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"unknown": 1}', "\x00"])
def test_a_damaged_start_record_is_rejected_with_advice(tmp_path: Path, content: str) -> None:
    (tmp_path / "start.json").write_text(content)
    with pytest.raises(FormatError, match=r"start\.json: not a record .* start the run again"):
        RunStart.read(tmp_path)


@pytest.mark.parametrize(
    ("start", "changes"),
    [
        (START, []),
        (RunStart(None, {KEY: TEACHER}), []),  # data without a digest are not compared
        (RunStart("cd" * 32, {KEY: TEACHER}), ["the data are cdcdcdcdcdcd, were abababababab"]),
        (RunStart("ab" * 32, {KEY: {**TEACHER, "sha256": "34" * 32}}), [CHANGED_WEIGHTS]),
        (RunStart("ab" * 32, {KEY: {**TEACHER, "path": "moved.ckpt"}}), []),
        (RunStart("ab" * 32), [CHANGED_WEIGHTS]),
        (
            RunStart("ab" * 32, {KEY: TEACHER, "ckpt_path": {"path": "a", "sha256": "1"}}),
            ["ckpt_path: the weights in a have changed"],
        ),
    ],
)
def test_changes_since_the_start_are_listed(start: RunStart, changes: list[str]) -> None:
    assert list(START.changes(start)) == changes
