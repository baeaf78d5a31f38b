"""Tests of dependent sweeps: stored records suffice, failures stop only dependent runs."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from spike_zoo.cli import sweep as sweep_module
from spike_zoo.cli.main import main
from spike_zoo.tables.sweeps.records import PlannedRun
from spike_zoo.tables.sweeps.spec import SweepSpec
from spike_zoo.training.result import RunResult
from tests.conftest import ROOT
from tests.helpers.planned import change_stored_record, planned_run, start_count

Stages = dict[str, list[PlannedRun]]


@pytest.fixture
def stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stages:
    """Sweeps of two teachers, two table rows and two students, with simulated runs."""
    stages = {
        name: [planned_run(tmp_path, f"{name}-{seed}") for seed in (0, 1)]
        for name in ("teacher", "row", "student")
    }
    for seed, run in enumerate(stages["student"]):
        teacher = f"{tmp_path}/runs/teacher-{seed}*/checkpoints/best.ckpt"
        initial_weights = {
            "model.init_args.teacher": teacher,
            "model.init_args.other": "a/file.pth",
        }
        stages["student"][seed] = replace(run, initial_weights=initial_weights)
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


def started_runs(stages: Stages) -> list[str]:
    return [run.name for runs in stages.values() for run in runs if start_count(run)]


def remove_runs(folder: Path) -> None:
    """Remove the run folders; the committed records remain, as in a fresh checkout."""
    shutil.rmtree(folder / "runs")


def test_stored_records_suffice_if_no_run_needs_the_checkpoints(
    stages: Stages, tmp_path: Path
) -> None:
    assert call(tmp_path) == 0
    assert len(started_runs(stages)) == 6
    remove_runs(tmp_path)
    assert call(tmp_path) == 0
    assert started_runs(stages) == []


def test_only_the_teacher_of_an_unfinished_student_is_trained_again(
    stages: Stages, tmp_path: Path
) -> None:
    assert call(tmp_path) == 0
    remove_runs(tmp_path)
    unfinished = stages["student"][1]
    change_stored_record(unfinished)
    assert call(tmp_path) == 0
    assert started_runs(stages) == ["teacher-1", "student-1"]


def test_a_student_is_not_finished_if_its_teacher_changed(stages: Stages, tmp_path: Path) -> None:
    assert call(tmp_path) == 0
    teacher = stages["teacher"][0]
    shutil.rmtree(teacher.run_dir)
    change_stored_record(teacher)
    stages["teacher"][0] = planned_run(tmp_path, "teacher-0", weights="others")
    assert call(tmp_path) == 0
    counts = {run.name: start_count(run) for runs in stages.values() for run in runs}
    assert counts["teacher-0"] == 1, "its folder was removed"
    assert (counts["student-0"], counts["student-1"]) == (2, 1)


def test_a_student_is_not_finished_if_it_started_from_another_file(
    stages: Stages, tmp_path: Path
) -> None:
    assert call(tmp_path) == 0
    remove_runs(tmp_path)

    def change(record: dict[str, Any]) -> None:
        record["begins_with"]["model.init_args.teacher"]["sha256"] = "0" * 64

    change_stored_record(stages["student"][0], change)
    assert call(tmp_path) == 0
    assert started_runs(stages) == ["teacher-0", "student-0"]


def test_a_student_starts_from_the_planned_teacher_and_not_from_an_older_one(
    stages: Stages, tmp_path: Path
) -> None:
    older = tmp_path / "runs" / "teacher-0-older" / "checkpoints"
    older.mkdir(parents=True)
    (older / "best.ckpt").write_text("older weights")
    assert call(tmp_path) == 0
    record = RunResult.read(stages["student"][0].run_dir)
    origin = record.begins_with["model.init_args.teacher"]
    assert origin["path"] == str(tmp_path / "runs/teacher-0/checkpoints/best.ckpt")


def test_a_failure_stops_only_dependent_runs(
    stages: Stages, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stages["teacher"][1] = planned_run(tmp_path, "teacher-1", fails=True)
    stages["row"][0] = planned_run(tmp_path, "row-0", fails=True)
    assert call(tmp_path) == 1
    assert started_runs(stages) == ["teacher-0", "teacher-1", "row-0", "row-1", "student-0"]
    error = capsys.readouterr().err
    assert "student-1: cannot start, it needs teacher-1" in error
    assert "2 runs failed" in error
    stages["teacher"][1] = planned_run(tmp_path, "teacher-1")
    assert call(tmp_path, "--retry", "--jobs", "2") == 1
    assert "student-1" in started_runs(stages)
