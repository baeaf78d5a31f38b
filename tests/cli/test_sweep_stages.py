"""Tests of sweeps that need others: stored records count, failures stop only dependent runs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from spike_zoo.cli import sweep as sweep_module
from spike_zoo.cli.main import main
from spike_zoo.records.result import RunResult
from spike_zoo.sweeps import (
    PlannedRun,
    SweepSpec,
)
from tests.conftest import ROOT
from tests.helpers.planned import change_stored, planned_run, times_begun

Stages = dict[str, list[PlannedRun]]


@pytest.fixture
def stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stages:
    """Sweeps of two teachers, two table rows and two students, with runs that are simulated."""
    stages = {
        name: [planned_run(tmp_path, f"{name}-{seed}") for seed in (0, 1)]
        for name in ("teacher", "row", "student")
    }
    for seed, run in enumerate(stages["student"]):
        teacher = f"{tmp_path}/runs/teacher-{seed}*/checkpoints/best.ckpt"
        reads = {"model.init_args.teacher": teacher, "model.init_args.other": "a/file.pth"}
        stages["student"][seed] = replace(run, reads=reads)
    for name in stages:
        content = {"name": name, "method": "grid", "parameters": {"seed_everything": {"value": 0}}}
        content |= {"command": ["-m", "spike_zoo", "fit", "${args}"]}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    (tmp_path / "needs.yaml").write_text("student.yaml: [teacher.yaml, row.yaml]\n")

    def planned(spec: SweepSpec, *_: object, **__: object) -> list[PlannedRun]:
        return stages[spec.name]

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sweep_module, "planned_runs", planned)
    return stages


def call(folder: Path, *arguments: str) -> int:
    return main(["sweep", str(folder / "student.yaml"), "--profile", "smoke", *arguments])


def begun(stages: Stages) -> list[str]:
    return [run.name for runs in stages.values() for run in runs if times_begun(run)]


def fresh_checkout(folder: Path) -> None:
    """Remove all files but the committed records."""
    shutil.rmtree(folder / "runs")


def test_kept_records_count_where_nobody_needs_the_checkpoints(
    stages: Stages, tmp_path: Path
) -> None:
    assert call(tmp_path) == 0
    assert len(begun(stages)) == 6
    fresh_checkout(tmp_path)
    assert call(tmp_path) == 0
    assert begun(stages) == []


def test_only_the_teacher_of_a_student_that_is_left_is_trained_again(
    stages: Stages, tmp_path: Path
) -> None:
    assert call(tmp_path) == 0
    fresh_checkout(tmp_path)
    left = stages["student"][1]
    change_stored(left)
    assert call(tmp_path) == 0
    assert begun(stages) == ["teacher-1", "student-1"]


def test_a_student_whose_teacher_was_trained_otherwise_is_not_finished(
    stages: Stages, tmp_path: Path
) -> None:
    assert call(tmp_path) == 0
    teacher = stages["teacher"][0]
    shutil.rmtree(teacher.run_dir)
    change_stored(teacher)
    stages["teacher"][0] = planned_run(tmp_path, "teacher-0", weights="others")
    assert call(tmp_path) == 0
    counts = {run.name: times_begun(run) for runs in stages.values() for run in runs}
    assert counts["teacher-0"] == 1, "its folder was removed"
    assert (counts["student-0"], counts["student-1"]) == (2, 1)


def test_a_student_that_began_with_the_file_of_another_run_is_not_finished(
    stages: Stages, tmp_path: Path
) -> None:
    assert call(tmp_path) == 0
    fresh_checkout(tmp_path)

    def change(record: dict[str, Any]) -> None:
        record["begins_with"]["model.init_args.teacher"]["sha256"] = "0" * 64

    change_stored(stages["student"][0], change)
    assert call(tmp_path) == 0
    assert begun(stages) == ["teacher-0", "student-0"]


def test_a_run_finds_the_teacher_that_was_planned_beside_older_ones(
    stages: Stages, tmp_path: Path
) -> None:
    older = tmp_path / "runs" / "teacher-0-older" / "checkpoints"
    older.mkdir(parents=True)
    (older / "best.ckpt").write_text("older weights")
    assert call(tmp_path) == 0
    record = RunResult.read(stages["student"][0].run_dir)
    origin = record.begins_with["model.init_args.teacher"]
    assert origin["path"] == str(tmp_path / "runs/teacher-0/checkpoints/best.ckpt")


def test_a_failure_stops_only_what_would_begin_with_it(
    stages: Stages, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stages["teacher"][1] = planned_run(tmp_path, "teacher-1", fails=True)
    stages["row"][0] = planned_run(tmp_path, "row-0", fails=True)
    assert call(tmp_path) == 1
    assert begun(stages) == ["teacher-0", "teacher-1", "row-0", "row-1", "student-0"]
    shown = capsys.readouterr().err
    assert "student-1: cannot start, it needs teacher-1" in shown
    assert "2 runs failed" in shown
    stages["teacher"][1] = planned_run(tmp_path, "teacher-1")
    assert call(tmp_path, "--retry", "--jobs", "2") == 1
    assert "student-1" in begun(stages)
