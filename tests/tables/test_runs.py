"""Reading of records from folders and W&B, and assignment of runs to rows."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from spike_zoo.errors import ConfigError, FormatError, MissingFileError, UsageError
from spike_zoo.tables import collect_runs, fill_table, read_table_file
from spike_zoo.tables.claims import Result
from spike_zoo.tables.columns import Column
from spike_zoo.tables.fill import FilledTable, fill_tables
from spike_zoo.tables.runs import RecordedRun, describe_test_splits, runs_of_sweep, table_of_runs
from spike_zoo.tables.spec import Row, TableSpec
from spike_zoo.training.stored import store_record
from tests.helpers.results import make_result
from tests.helpers.tables import cell, make_run, write_spec


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


def test_runs_of_recognition_show_accuracy_and_f1_before_costs() -> None:
    metrics = {"test/accuracy": 0.97, "test/f1": 0.96, "test/f1_0": 0.9, "val/accuracy": 0.98}
    table = table_of_runs([make_run("stripes", 0.0, metrics=metrics)])
    keys = [column.metric for column in table.columns]
    assert keys[:3] == ["test/accuracy", "test/f1", "parameters"]


def test_a_copied_record_of_a_run_is_not_another_run(tmp_path: Path) -> None:
    original = tmp_path / "runs" / "tfp-0" / "result.json"
    make_result(variant="tfp").write(original)
    copy = tmp_path / "results" / "tfp-0" / "result.json"
    copy.parent.mkdir(parents=True)
    shutil.copyfile(original, copy)
    assert len(collect_runs([tmp_path / "results", tmp_path / "runs"])) == 1
    make_result(variant="tfp", wall_seconds=7.5).write(tmp_path / "runs" / "again" / "result.json")
    assert len(collect_runs([tmp_path / "results", tmp_path / "runs"])) == 2


def test_equal_variants_of_two_methods_are_two_rows() -> None:
    paths = [f"experiments/{method}/variants/full.yaml" for method in ("stir", "ssdm")]
    runs = [make_run("full", 30.0, configs=[path]) for path in paths]
    table = table_of_runs(runs)
    assert [row.name for row in table.rows] == [path.removesuffix(".yaml") for path in paths]
    is_of = [[run.is_of(row, None) for run in runs] for row in table.rows]
    assert is_of == [[True, False], [False, True]]


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
def test_a_run_is_assigned_to_the_row_of_its_configuration_file(
    configs: list[str], belongs: bool
) -> None:
    run = make_run("full", 30.0, configs=configs)
    row = Row("full", Path("experiments/stir/variants/full.yaml"))
    assert run.is_of(row, None) is belongs


def test_runs_on_another_archive_are_not_assigned_to_a_row() -> None:
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
    with pytest.raises(FormatError, match=r"per_image\.csv: not a per_image.csv of a test"):
        collect_runs([tmp_path])


@pytest.mark.parametrize("is_there", [True, False])
def test_a_folder_without_results_is_rejected(tmp_path: Path, is_there: bool) -> None:
    place = tmp_path if is_there else tmp_path / "nowhere"
    with pytest.raises(MissingFileError, match=str(place)):
        collect_runs([place])


class SweepApi:
    """Fake of W&B's public API."""

    def __init__(self, runs: list[SimpleNamespace]) -> None:
        self.runs = runs
        self.paths: list[str] = []

    def sweep(self, path: str) -> SimpleNamespace:
        self.paths.append(path)
        return SimpleNamespace(runs=self.runs)


def _online(state: str, **changes: Any) -> SimpleNamespace:
    result = make_result(**changes)
    summary = {**result.summary(), **result.metrics, "_timestamp": 1.0}
    return SimpleNamespace(name="calm-sun-1", state=state, summary=summary)


def test_finished_runs_of_a_sweep_are_read_as_records() -> None:
    api = SweepApi([_online("finished", seed=3)])
    runs = runs_of_sweep("lab/zoo/abc123", api)
    assert [run.result for run in runs] == [make_result(seed=3)]
    assert api.paths == ["lab/zoo/abc123"]


@pytest.mark.parametrize("lost", ["diverged", "crashed", "killed", "running"])
def test_lost_runs_of_a_sweep_are_not_left_out_of_the_mean(spec: TableSpec, lost: str) -> None:
    runs = [make_run("full", 30 + n / 9, n).result for n in range(3)]
    runs += [make_run("half", 29 + n / 9, n).result for n in range(2)]
    online = [_online("finished", **vars(run)) for run in runs]
    if lost == "diverged":
        online[2].summary["test/psnr"] = "NaN"  # as W&B returns it
    else:
        online[2].state, online[2].group = lost, "full"
        online[2].summary = {"train/total": 0.1}
        online[2].config = {"config": runs[2].config | {"seed_everything": 2}}
    table = fill_table(spec, runs_of_sweep("lab/zoo/abc123", SweepApi(online)))
    assert cell(table)["diverged"] == 1
    assert table.claims[0].result is Result.NOT_APPLICABLE
    assert lost in table.claims[0].detail
    assert lost == "diverged" or lost in table.warnings[0]


def test_a_lost_run_of_a_sweep_whose_seed_was_run_again_is_left_out(spec: TableSpec) -> None:
    online = [_online(state, seed=2) for state in ("crashed", "finished")]
    table = fill_table(spec, runs_of_sweep("lab/zoo/abc123", SweepApi(online)))
    assert (cell(table)["count"], cell(table)["diverged"]) == (1, 0)


def test_runs_of_a_sweep_are_assigned_to_the_rows_of_their_archive() -> None:
    data = {"class_path": "x", "init_args": {"archive": "data/default.h5"}}
    online = _online("finished", config={"data": data})
    online.config = {"config": {"data": data}, "versions": {}}  # as a run sends it to W&B
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
    names = [f"full ({tmp_path / name / 'test'})" for name in ("first", "second")]
    assert [row.name for row in table.rows] == names
    assert [len(own) for own in fill_table(table, runs).runs.values()] == [1, 1]


def test_a_sweep_that_cannot_be_used_is_rejected_with_the_reason() -> None:
    with pytest.raises(UsageError, match="entity/project/sweep"):
        runs_of_sweep("abc123", SweepApi([]))
    with pytest.raises(MissingFileError, match="no run of this sweep has finished"):
        runs_of_sweep("lab/zoo/abc123", SweepApi([_online("running")]))
    foreign = SimpleNamespace(name="calm-sun-1", state="finished", summary={"loss": 1.0})
    with pytest.raises(FormatError, match=r"run calm-sun-1: .*lacks the field 'method'"):
        runs_of_sweep("lab/zoo/abc123", SweepApi([foreign]))


def test_a_test_of_the_weights_of_a_listed_fit_is_no_second_row(tmp_path: Path) -> None:
    fit = make_result(metrics={"train/total": 0.1, "test/psnr": 30.0}, checkpoint_sha256="1")
    fit.write(tmp_path / "result.json")
    test = replace(fit, metrics={"test/psnr": 30.0}, config={**fit.config, "verbose": True})
    test.write(tmp_path / "test" / "result.json")
    assert [run.folder for run in collect_runs([tmp_path])] == [tmp_path]
    replace(test, data_sha256="2" * 64).write(tmp_path / "test" / "result.json")
    assert len(collect_runs([tmp_path])) == 2


def test_a_stored_run_has_the_folder_of_its_images(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "full-0"
    run.mkdir(parents=True)
    make_run("full", 30.0).result.write(run / "result.json")
    store_record(tmp_path / "results" / "records.jsonl", "full-0", run)
    (collected,) = collect_runs([tmp_path / "results", tmp_path / "runs"])
    assert (collected.folder, collected.path_index) == (run, 0)


def _student(
    seed: int, psnr: float, *, steps: int = 2, recipe: str = "made so", finished: str | None = None
) -> RecordedRun:
    """Return a run with the folder and the teacher of its seed, named as in sweeps."""
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
    options: dict[str, Any] = {"begins_with": {"model.init_args.teacher": origin}}
    return make_run("full", psnr, seed, config=config, finished=finished, **options)


def test_runs_of_older_configurations_are_not_counted_as_seeds(spec: TableSpec) -> None:
    old = _student(0, 20.0, steps=9, finished="2026-01-01T00:00:00+00:00")
    new = [_student(seed, 30.0, finished="2026-02-01T00:00:00+00:00") for seed in (0, 1)]
    table = fill_table(spec, [old, *new])
    full = cell(table)
    assert (full["mean"], full["deviation"], full["count"]) == (30.0, 0.0, 2)
    assert any("1 runs of full with another configuration" in note for note in table.notes)
    assert cell(fill_table(spec, new)) == full


def test_committed_runs_have_priority_over_later_runs_in_other_folders(spec: TableSpec) -> None:
    copy = _student(0, 30.0, finished="2026-01-01T00:00:00+00:00")
    later_run = _student(0, 35.0, steps=9, finished="2026-02-01T00:00:00+00:00")
    table = fill_table(spec, [copy, replace(later_run, path_index=1)])
    assert cell(table)["mean"] == 30.0


def test_students_of_differently_trained_teachers_are_not_seeds_of_one_row(spec: TableSpec) -> None:
    assert cell(fill_table(spec, [_student(0, 30.0), _student(1, 31.0)]))["count"] == 2
    students = [_student(0, 30.0), _student(1, 31.0, recipe="made otherwise")]
    assert cell(fill_table(spec, students))["count"] == 1


def test_options_without_effect_on_numbers_do_not_split_a_row(spec: TableSpec) -> None:
    older, newer = _student(0, 30.0), _student(1, 31.0)
    newer.result.config["data"] = {"init_args": {"workers": 2}}
    newer.result.config["model"]["init_args"]["cache_dir"] = "runs/labels"
    assert cell(fill_table(spec, [older, newer]))["count"] == 2


def test_a_new_parameter_at_its_default_does_not_split_a_row(spec: TableSpec) -> None:
    older, newer, other = _student(0, 30.0), _student(1, 31.0), _student(2, 32.0)
    newer.result.config["model"]["init_args"]["network"] = {"flow_fields": 3}
    other.result.config["model"]["init_args"]["network"] = {"flow_fields": 4}
    assert cell(fill_table(spec, [older, newer]))["count"] == 2
    assert cell(fill_table(spec, [older, newer, other]))["count"] == 2


def run_on(*, trained: bool, parameters: int = 5, **arguments: Any) -> RecordedRun:
    """Return a run on an archive; a run with training has a logged loss."""
    data = {"init_args": {"archive": "data/own.h5", "test_split": "test", **arguments}}
    metrics = {"test/psnr": 30.0, **({"train/total": 0.1} if trained else {})}
    return make_run("full", 30.0, metrics=metrics, config={"data": data}, parameters=parameters)


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        (
            [run_on(trained=True)],
            "Measured on split 'test' of own.h5, which training did not use (split 'train').",
        ),
        ([run_on(trained=False, parameters=0)], "Measured on split 'test' of own.h5."),
        ([run_on(trained=False)], "Measured on split 'test' of own.h5."),
        ([run_on(trained=True, train_split="test")], "Measured on split 'test' of own.h5."),
        ([run_on(trained=True), make_run("full", 30.0)], ""),
    ],
    ids=["trained here", "no parameters", "trained elsewhere", "trained on test", "unknown"],
)
def test_scenes_are_called_new_only_if_the_records_prove_it(
    runs: list[RecordedRun], words: str
) -> None:
    assert describe_test_splits(runs) == words


TABLE = """
title: Robustness
columns: [test/psnr]
rows:
  - {name: full, variant: variants/full.yaml}
  - {name: half, variant: variants/half.yaml}
curves:
  - {name: test/psnr, condition: light, x: rate scale, y: PSNR (dB)}
  - {name: test/psnr, condition: dead, x: share of dead pixels, y: PSNR (dB)}
"""
VALUES = {"a.light-0.05": 20.0, "b.light-0.05": 22.0, "a.light-1": 30.0, "a.dead-0": 31.0}


def filled(folder: Path) -> FilledTable:
    images = tuple(
        {"name": name, "plane": 75, "rate_scale": 0.6, "psnr": value}
        for name, value in VALUES.items()
    )
    run = replace(make_run("full", 28.0), images=images)
    return fill_tables(read_table_file(write_spec(folder, TABLE)).tables, [run])[0]


def test_points_are_means_over_the_recordings_of_a_value(tmp_path: Path) -> None:
    light, dead = filled(tmp_path).curves
    assert [line.row for line in light.lines] == ["full"]
    assert light.lines[0].points == ((0.05, 21.0), (1.0, 30.0))
    assert dead.lines[0].points == ((0.0, 31.0),)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("condition: dead", "condition: light", "'test/psnr@light' is given twice"),
        ("light,", "light, anchor: half,", "has no BD-rate: leave out the anchor"),
        ("light,", "light, unit: planes,", "condition of recordings or the unit of rows"),
    ],
)
def test_a_mistake_in_a_condition_is_named(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_table_file(write_spec(tmp_path, TABLE.replace(old, new)))


ROWS = """
title: Planes
columns: [test/psnr]
rows:
  - {name: "aligned, 21 planes", variant: variants/full.yaml}
  - {name: "aligned, 9 planes", variant: variants/half.yaml}
  - {name: aligned, variant: variants/third.yaml}
curves:
  - {name: test/psnr, unit: planes, x: planes, y: PSNR (dB)}
"""


def test_rows_that_differ_in_a_value_form_one_line(tmp_path: Path) -> None:
    (tmp_path / "variants").mkdir()
    (tmp_path / "variants/third.yaml").touch()
    file = read_table_file(write_spec(tmp_path, ROWS))
    runs = [make_run("full", 30.0), make_run("half", 20.0), make_run("third", 40.0)]
    (curve,) = fill_tables(file.tables, runs)[0].curves
    (line,) = curve.lines
    assert (line.row, line.points) == ("aligned", ((9.0, 20.0), (21.0, 30.0)))
