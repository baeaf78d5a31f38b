"""Finished runs: validity of records by configuration, profile, data and initial weights."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import subprocess
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spike_zoo.errors import FormatError, UsageError
from spike_zoo.tables.sweeps import records
from spike_zoo.tables.sweeps.records import PlannedRun, keep_record, record_of
from spike_zoo.tables.sweeps.runner import run_all
from spike_zoo.training import provenance
from spike_zoo.training.provenance import differences
from spike_zoo.training.stored import read_records
from tests.helpers.planned import change_stored_record, planned_run
from tests.helpers.results import make_result

CONFIG: dict[str, Any] = {
    "model": {"class_path": "m.M", "init_args": {"width": 1.0}},
    "trainer": {"max_epochs": 3, "logger": None},
    "run_dir": "here",
}


@pytest.fixture
def finished(tmp_path: Path) -> PlannedRun:
    run = planned_run(tmp_path)
    assert run_all([run], os.environ)[0].is_finished
    return run


def test_a_stored_record_is_found_without_the_folder_of_the_run(finished: Any) -> None:
    shutil.rmtree(finished.run_dir)
    record: Any = record_of(finished)
    assert record.metrics == {"test/psnr": 30.0, "test/ssim": 0.9}
    assert list(read_records(finished.records)) == [finished.name]


@pytest.mark.parametrize(
    "changes",
    [
        {"config_hash": "1" * 16, "config": {"model": {"init_args": {"width": 2}}}},
        {"profile": "gpu"},
        {"data_sha256": "cd" * 32},
    ],
)
def test_a_record_of_another_configuration_profile_or_archive_is_not_accepted(
    finished: PlannedRun, changes: dict[str, Any]
) -> None:
    assert record_of(finished) is not None
    assert record_of(replace(finished, **changes)) is None


@pytest.mark.parametrize("damage", ["", "{", '{"schema": 1}', '{"schema": 99}'])
def test_a_damaged_record_is_not_accepted(finished: PlannedRun, damage: str) -> None:
    change_stored_record(finished)
    finished.result.write_text(damage)
    assert record_of(finished) is None


def test_a_run_that_others_start_from_is_finished_only_with_its_checkpoint(
    finished: PlannedRun,
) -> None:
    needed = replace(finished, needs_checkpoint=True)
    assert record_of(needed) is not None
    (needed.run_dir / "checkpoints" / "best.ckpt").unlink()
    assert record_of(needed) is None


def test_the_metrics_of_each_image_are_stored(tmp_path: Path) -> None:
    run: Any = planned_run(tmp_path)
    run.run_dir.mkdir(parents=True)
    text = "name,plane,rate_scale,psnr\na,75,0.6,36.5\nb,85,0.6,\n"
    (run.run_dir / "per_image.csv").write_text(text)
    assert run_all([run], os.environ)[0].is_finished
    assert read_records(run.records)[run.name].images == (
        {"name": "a", "plane": 75, "rate_scale": 0.6, "psnr": 36.5},
        {"name": "b", "plane": 85, "rate_scale": 0.6, "psnr": None},
    )


def test_storing_again_replaces_the_stored_record(finished: Any) -> None:
    content = json.loads(finished.result.read_text())
    content["metrics"] = {"test/psnr": 31.0}
    finished.result.write_text(json.dumps(content))
    keep_record(finished)
    stored = read_records(finished.records)
    assert [record.result.metrics for record in stored.values()] == [{"test/psnr": 31.0}]


def test_a_record_of_another_sweep_with_the_same_name_is_replaced_with_a_warning(
    finished: Any, tmp_path: Path
) -> None:
    other = planned_run(tmp_path, "full-1")
    assert run_all([other], os.environ)[0].is_finished
    with pytest.warns(UserWarning, match=r"full-0: .* another configuration and is replaced"):
        keep_record(replace(other, name=finished.name))


def test_processes_that_store_concurrently_lose_no_record(tmp_path: Path) -> None:
    runs = [planned_run(tmp_path, f"full-{seed}") for seed in range(6)]
    assert all(outcome.is_finished for outcome in run_all(runs, os.environ, jobs=6))
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert runs[0].records is not None
        runs[0].records.unlink()
        list(pool.map(keep_record, runs))
    assert read_records(runs[0].records).keys() == {run.name for run in runs}


def test_a_damaged_line_is_named(finished: Any) -> None:
    finished.records.write_text(finished.records.read_text() + "{")
    with pytest.raises(FormatError, match=r"records\.jsonl, line 2: not a record"):
        read_records(finished.records)


@pytest.mark.parametrize(
    ("recorded", "requested", "defaults", "expected"),
    [
        ({}, {}, {}, True),
        ({"run_dir": "elsewhere"}, {}, {}, True),
        ({}, {"added": 5}, {"model.init_args.added": 5}, True),
        ({}, {"added": 6}, {}, False),
        ({"removed": 5}, {}, {}, False),
        ({"width": 2.0}, {}, {}, False),
    ],
)
def test_a_parameter_added_at_its_default_computes_the_same(
    recorded: dict[str, Any], requested: dict[str, Any], defaults: dict[str, Any], expected: bool
) -> None:
    def config(changes: dict[str, Any]) -> dict[str, Any]:
        outside = {key: value for key, value in changes.items() if key == "run_dir"}
        inside = {key: value for key, value in changes.items() if key != "run_dir"}
        arguments = {**CONFIG["model"]["init_args"], **inside}
        return {**CONFIG, **outside, "model": {"class_path": "m.M", "init_args": arguments}}

    changes = differences(config(recorded), config(requested), defaults)
    assert (changes == []) is expected


def test_training_options_are_ignored_for_runs_without_training(tmp_path: Path) -> None:
    fit = planned_run(tmp_path)
    config = {**fit.config, "trainer": {"max_epochs": 9}}
    fit.run_dir.mkdir(parents=True)
    make_result(config=config, config_hash="other").write(fit.result)
    longer = replace(fit, config={**config, "trainer": {"max_epochs": 3}})
    assert record_of(longer) is None
    test = replace(longer, result=fit.run_dir / "test" / "result.json")
    make_result(config=config, config_hash="other").write(test.result)
    assert record_of(test) is not None


def test_a_file_name_with_placeholders_equals_the_resolved_one() -> None:
    def config(teacher: str) -> dict[str, Any]:
        return {**CONFIG, "model": {"class_path": "m.M", "init_args": {"teacher": teacher}}}

    requested = config("runs/teacher/{profile}/*-{seed}-*/best.ckpt")
    assert not differences(config("runs/teacher/cpu/t-0-12ab/best.ckpt"), requested, {})
    assert differences(config("runs/other/cpu/t-0-12ab/best.ckpt"), requested, {})


def test_a_key_removed_by_lightning_computes_the_same() -> None:
    older = {**CONFIG, "trainer": {**CONFIG["trainer"], "gone": 1}}
    assert not differences(older, CONFIG, {})


def test_runs_of_changed_code_are_not_recorded_for_a_table(
    finished: PlannedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records, rendered tables and documents may change between the runs of a sweep."""
    for module in (provenance, records):
        monkeypatch.setattr(module, "CHECKOUT", tmp_path)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "code.py").write_text("1")
    for command in ("init -q", "add .", "commit -q -m first"):
        subprocess.run([*git, *command.split()], check=True)
    table = tmp_path / "experiments" / "stir" / "results" / "cpu" / "records.jsonl"
    run = replace(finished, records=table, profile="cpu")
    table.parent.mkdir(parents=True)
    for name in (table, tmp_path / "README.md"):
        name.write_text("{}")
    records.check_code([run])
    assert re.fullmatch("[0-9a-f]{12}", str(provenance.commit()))
    (tmp_path / "code.py").write_text("2")
    message = r"records\.jsonl: the code has changes .*\(code\.py\).* commit them first"
    with pytest.raises(UsageError, match=message):
        records.check_code([run])
    assert str(provenance.commit()).endswith("-dirty")
    records.check_code([replace(run, profile="smoke")])
    records.check_code([replace(run, records=Path("/elsewhere/records.jsonl"))])
