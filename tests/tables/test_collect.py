"""Runs are found wherever they are, and belong to the row whose variant made them."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from spike_zoo.errors import FormatError, MissingFileError, UsageError
from spike_zoo.records.stored import store_record
from spike_zoo.tables import (
    RecordedRun,
    Row,
    collect_runs,
    fill_table,
    runs_of_sweep,
    table_of_runs,
)
from spike_zoo.tables.columns import Column
from tests.helpers.results import make_result
from tests.helpers.tables import make_run


def test_runs_in_linked_folders_are_collected(tmp_path: Path) -> None:
    make_result(variant="tfi").write(tmp_path / "disk" / "tfi" / "result.json")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "stir").symlink_to("../disk")
    [run] = collect_runs([tmp_path / "runs"])
    assert run.folder == tmp_path / "runs" / "stir" / "tfi"


def test_a_folder_of_runs_gives_a_row_per_variant(tmp_path: Path) -> None:
    for name in ("tfp", "tfi"):
        make_result(variant=name).write(tmp_path / name / "test" / "result.json")
    table = table_of_runs(collect_runs([tmp_path, tmp_path / "tfp"]))
    assert sorted(row.name for row in table.rows) == ["tfi", "tfp"]
    assert "test/lpips" not in [column.metric for column in table.columns]


def test_runs_of_recognition_show_how_many_they_found_before_what_it_costs() -> None:
    found = {"test/accuracy": 0.97, "test/f1": 0.96, "test/f1_0": 0.9, "val/accuracy": 0.98}
    table = table_of_runs([make_run("stripes", 0.0, metrics=found)])
    keys = [column.metric for column in table.columns]
    assert keys[:3] == ["test/accuracy", "test/f1", "parameters"]


def test_the_copy_that_a_sweep_keeps_of_a_run_is_no_other_run(tmp_path: Path) -> None:
    made = tmp_path / "runs" / "tfp-0" / "result.json"
    make_result(variant="tfp").write(made)
    kept = tmp_path / "results" / "tfp-0" / "result.json"
    kept.parent.mkdir(parents=True)
    shutil.copyfile(made, kept)
    assert len(collect_runs([tmp_path / "results", tmp_path / "runs"])) == 1
    make_result(variant="tfp", wall_seconds=7.5).write(tmp_path / "runs" / "again" / "result.json")
    assert len(collect_runs([tmp_path / "results", tmp_path / "runs"])) == 2


def test_equal_variants_of_two_methods_are_two_rows() -> None:
    paths = [f"experiments/{method}/variants/full.yaml" for method in ("stir", "ssdm")]
    runs = [make_run("full", 30.0, configs=[path]) for path in paths]
    table = table_of_runs(runs)
    assert [row.name for row in table.rows] == [path.removesuffix(".yaml") for path in paths]
    assert [[run.is_of(row, None) for run in runs] for row in table.rows] == [
        [True, False],
        [False, True],
    ]


@pytest.mark.parametrize(
    ("configs", "belongs"),
    [
        (["configs/stir.yaml", "experiments/stir/variants/full.yaml"], True),
        (["experiments/stir/variants/full.yaml", "configs/profiles/cpu.yaml"], True),
        (["experiments/stir/variants/full.yaml", "experiments/stir/profiles/cpu/full.yaml"], True),
        (["/elsewhere/experiments/stir/variants/full.yaml"], True),
        (["experiments/ssdm/variants/full.yaml"], False),
        (["variants/full.yaml"], True),
    ],
)
def test_a_run_belongs_to_the_row_whose_file_it_was_made_with(
    configs: list[str], belongs: bool
) -> None:
    run = make_run("full", 30.0, configs=configs)
    row = Row("full", Path("experiments/stir/variants/full.yaml"))
    assert run.is_of(row, None) is belongs


def test_runs_on_another_archive_are_left_to_other_rows() -> None:
    data = {"class_path": "x", "init_args": {"archive": "/big/disk/samples.h5"}}
    run = make_run("full", 30.0, config={"data": data})
    row = Row("full", Path("variants/full.yaml"))
    assert run.is_of(row, "data/samples.h5")
    assert not run.is_of(row, "data/default.h5")


def test_a_column_of_chosen_scenes_is_the_mean_over_their_images() -> None:
    measured = [("a-slow-00", 0.6, 40), ("a-slow-01", 0.3, 30), ("a-fast-02", 0.6, 20)]
    images = tuple({"name": n, "rate_scale": s, "psnr": v} for n, s, v in measured)
    run = RecordedRun(make_result(), images=images)

    def value(**chosen: Any) -> float | None:
        return run.value(Column("test/psnr", "x", "higher", **chosen))

    assert value(scenes="*-slow-*") == 35
    assert value(rate_scale=(0.5, 1.0)) == 30
    assert value(scenes="*-slow-*", rate_scale=(0.3, 0.6)) == 30
    assert value(scenes="*-still-*") is None
    assert RecordedRun(make_result()).value(Column("test/psnr", "x", "higher", scenes="*")) is None


def test_a_damaged_file_of_single_images_is_named(tmp_path: Path) -> None:
    make_result().write(tmp_path / "result.json")
    (tmp_path / "per_image.csv").write_text("name,plane,psnr\na,1,loud\n")
    with pytest.raises(FormatError, match=r"per_image\.csv: not written by a test"):
        collect_runs([tmp_path])


@pytest.mark.parametrize("is_there", [True, False])
def test_a_folder_without_results_is_rejected(tmp_path: Path, is_there: bool) -> None:
    place = tmp_path if is_there else tmp_path / "nowhere"
    with pytest.raises(MissingFileError, match=str(place)):
        collect_runs([place])


class SweepApi:
    """Answers as W&B's public interface does."""

    def __init__(self, runs: list[SimpleNamespace]) -> None:
        self.runs = runs
        self.asked: list[str] = []

    def sweep(self, path: str) -> SimpleNamespace:
        self.asked.append(path)
        return SimpleNamespace(runs=self.runs)


def _online(state: str, **changes: Any) -> SimpleNamespace:
    result = make_result(**changes)
    summary = {**result.summary(), **result.metrics, "_timestamp": 1.0}
    return SimpleNamespace(name="calm-sun-1", state=state, summary=summary)


def test_finished_runs_of_a_sweep_are_records_like_those_on_disk() -> None:
    api = SweepApi([_online("finished", seed=3), _online("crashed", seed=4)])
    runs = runs_of_sweep("lab/zoo/abc123", api)
    assert [run.result for run in runs] == [make_result(seed=3)]
    assert api.asked == ["lab/zoo/abc123"]


def test_runs_of_a_sweep_belong_to_the_rows_of_their_archive() -> None:
    data = {"class_path": "x", "init_args": {"archive": "data/default.h5"}}
    online = _online("finished", config={"data": data})
    online.config = {"config": {"data": data}, "versions": {}}  # what a run sends to W&B
    (run,) = runs_of_sweep("lab/zoo/abc123", SweepApi([online]))
    row = Row("full", Path("experiments/stir/variants/full.yaml"))
    assert run.is_of(row, "data/default.h5")
    assert not run.is_of(row, "data/other.h5")


def test_tests_of_two_checkpoints_are_two_rows(tmp_path: Path) -> None:
    for name in ("first", "second"):
        origin = {"path": f"{name}.ckpt", "sha256": name, "recipe": None}
        result = make_result(begins_with={"ckpt_path": origin}, config_hash=name)
        result.write(tmp_path / name / "test" / "result.json")
    runs = collect_runs([tmp_path])
    table = table_of_runs(runs)
    assert [row.name for row in table.rows] == [
        f"full ({tmp_path / name / 'test'})" for name in ("first", "second")
    ]
    assert [len(row.runs) for row in fill_table(table, runs).rows] == [1, 1]


def test_a_sweep_that_cannot_be_used_is_rejected_with_the_reason() -> None:
    with pytest.raises(UsageError, match="entity/project/sweep"):
        runs_of_sweep("abc123", SweepApi([]))
    with pytest.raises(MissingFileError, match="no run of this sweep has finished"):
        runs_of_sweep("lab/zoo/abc123", SweepApi([_online("running")]))
    foreign = SimpleNamespace(name="calm-sun-1", state="finished", summary={"loss": 1.0})
    with pytest.raises(FormatError, match=r"run calm-sun-1: .*lacks the field 'method'"):
        runs_of_sweep("lab/zoo/abc123", SweepApi([foreign]))


def test_a_stored_run_has_the_folder_of_its_pictures(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "full-0"
    run.mkdir(parents=True)
    make_run("full", 30.0).result.write(run / "result.json")
    store_record(tmp_path / "results" / "records.jsonl", "full-0", run)
    (collected,) = collect_runs([tmp_path / "results", tmp_path / "runs"])
    assert (collected.folder, collected.place) == (run, 0)
