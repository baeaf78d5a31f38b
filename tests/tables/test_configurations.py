"""A row shows the runs of one configuration, whatever else lies beside them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from spike_zoo.tables import RecordedRun, TableSpec, fill_table, read_table_file
from tests.helpers.tables import make_run, write_spec


@pytest.fixture
def spec(tmp_path: Path) -> TableSpec:
    return read_table_file(write_spec(tmp_path)).tables[0]


def _student(
    seed: int, psnr: float, *, steps: int = 2, recipe: str = "made so", finished: str | None = None
) -> RecordedRun:
    """Return a run whose folder and teacher are those of its seed, as sweeps name them."""
    folder = f"runs/small/full-{seed}-0123456{seed}"
    teacher = f"runs/teacher/t-{seed}-89abcde{seed}/checkpoints/best.ckpt"
    model = {"class_path": "spike_zoo.methods.stir.STIRModule", "init_args": {"teacher": teacher}}
    config = {
        "seed_everything": seed,
        "run_dir": folder,
        "trainer": {"max_steps": steps, "default_root_dir": folder},
        "model": model,
    }
    origin = {"path": teacher, "sha256": f"{seed}" * 64, "recipe": recipe}
    begins_with = {"model.init_args.teacher": origin}
    options: dict[str, Any] = {
        "seed": seed,
        "config": config,
        "finished": finished,
        "begins_with": begins_with,
    }
    return make_run("full", psnr, **options)


def test_runs_of_older_configurations_are_no_seeds_of_a_row(spec: TableSpec) -> None:
    old = _student(0, 20.0, steps=9, finished="2026-01-01T00:00:00+00:00")
    new = [_student(seed, 30.0, finished="2026-02-01T00:00:00+00:00") for seed in (0, 1)]
    table = fill_table(spec, [old, *new])
    cell = table.rows[0].cells[0]
    assert (cell.mean, cell.deviation, cell.count) == (30.0, 0.0, 2)
    assert any("1 runs of full with another configuration" in note for note in table.notes)
    assert fill_table(spec, new).rows[0].cells[0] == cell


def test_committed_runs_come_before_later_trials_elsewhere(spec: TableSpec) -> None:
    kept = _student(0, 30.0, finished="2026-01-01T00:00:00+00:00")
    trial = _student(0, 35.0, steps=9, finished="2026-02-01T00:00:00+00:00")
    table = fill_table(spec, [kept, dataclasses.replace(trial, place=1)])
    assert table.rows[0].cells[0].mean == 30.0


def test_students_of_differently_trained_teachers_do_not_repeat_each_other(
    spec: TableSpec,
) -> None:
    assert fill_table(spec, [_student(0, 30.0), _student(1, 31.0)]).rows[0].cells[0].count == 2
    students = [_student(0, 30.0), _student(1, 31.0, recipe="made otherwise")]
    assert fill_table(spec, students).rows[0].cells[0].count == 1


def test_what_changes_no_number_splits_no_row(spec: TableSpec) -> None:
    older, newer = _student(0, 30.0), _student(1, 31.0)
    newer.result.config["data"] = {"init_args": {"workers": 2}}
    newer.result.config["model"]["init_args"]["cache_dir"] = "runs/labels"
    assert fill_table(spec, [older, newer]).rows[0].cells[0].count == 2


def test_a_parameter_that_came_in_between_at_its_default_splits_no_row(spec: TableSpec) -> None:
    older, newer, other = _student(0, 30.0), _student(1, 31.0), _student(2, 32.0)
    newer.result.config["model"]["init_args"]["motion_fields"] = 3
    other.result.config["model"]["init_args"]["motion_fields"] = 4
    assert fill_table(spec, [older, newer]).rows[0].cells[0].count == 2
    assert fill_table(spec, [older, newer, other]).rows[0].cells[0].count == 2
