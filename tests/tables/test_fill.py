"""From records to numbers: means, published values, gaps and what must be said about them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from spike_zoo.errors import ConfigError
from spike_zoo.tables import (
    FilledTable,
    Judgement,
    RecordedRun,
    TableSpec,
    fill_table,
    read_table_file,
    render_markdown,
)
from spike_zoo.tracking.result import Cost
from tests.helpers.tables import SPEC, make_run, write_spec


@pytest.fixture
def spec(tmp_path: Path) -> TableSpec:
    return read_table_file(write_spec(tmp_path)).tables[0]


def _flagged(table: FilledTable) -> list[str]:
    return [row.name for row in table.rows if row.stands_out]


def test_cells_are_mean_deviation_and_count_over_seeds(spec: TableSpec) -> None:
    table = fill_table(spec, [make_run("full", 30.0), make_run("full", 32.0, seed=1)])
    cell = table.rows[0].cells[0]
    assert (cell.mean, cell.count, cell.published) == (31.0, 2, 38.8)
    assert cell.deviation == pytest.approx(2**0.5)
    assert [cell.mean for cell in table.rows[2].cells] == [None, None]
    assert "Mean ± standard deviation over seeds, n = 2. Seeds: 0, 1." in table.notes


def test_rows_on_different_data_are_flagged_with_their_names(spec: TableSpec) -> None:
    runs = [make_run("full", 30.0), make_run("full", 30.0, seed=1)]
    table = fill_table(spec, [*runs, make_run("half", 29.0, data_sha256="cd" * 32)])
    assert any("different data" in warning and "half" in warning for warning in table.warnings)
    assert _flagged(table) == ["half"]
    allowed = dataclasses.replace(spec, one_data=False)
    assert not fill_table(allowed, [*runs, make_run("half", 29.0, data_sha256="cd" * 32)]).warnings


def test_mixed_profiles_are_flagged_until_one_is_chosen(spec: TableSpec) -> None:
    runs = [make_run("full", 30.0), make_run("half", 29.0, profile="gpu")]
    assert any("mix profiles" in warning for warning in fill_table(spec, runs).warnings)
    table = fill_table(spec, runs, "gpu")
    assert not table.warnings
    assert [row.cells[0].mean for row in table.rows] == [None, 29.0, None]


def test_a_mix_of_commits_is_a_note_and_no_warning(spec: TableSpec) -> None:
    table = fill_table(spec, [make_run("full", 30.0), make_run("half", 29.0, commit="def")])
    assert not table.warnings
    assert "Code: abc, def (the rows were made with different commits)." in table.notes


def test_a_repeated_seed_counts_once(spec: TableSpec) -> None:
    table = fill_table(spec, [make_run("full", 30.0), make_run("full", 99.0)])
    assert table.rows[0].cells[0].mean == 30.0
    assert any("Left out: 1 run" in note for note in table.notes)


def _student(seed: int, psnr: float, *, steps: int = 2, finished: str | None = None) -> RecordedRun:
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
    return make_run("full", psnr, seed=seed, config=config, finished=finished)


def _teacher(seed: int, width: float) -> RecordedRun:
    folder = f"runs/teacher/t-{seed}-89abcde{seed}"
    model = {"init_args": {"width": width}}
    config = {"seed_everything": seed, "run_dir": folder, "model": model}
    return make_run("teacher", 40.0, seed=seed, config=config)


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
    students = [_student(0, 30.0), _student(1, 31.0)]
    alike = [_teacher(0, 1.0), _teacher(1, 1.0)]
    assert fill_table(spec, [*students, *alike]).rows[0].cells[0].count == 2
    others = [_teacher(0, 1.0), _teacher(1, 0.5)]
    assert fill_table(spec, [*students, *others]).rows[0].cells[0].count == 1


def test_a_parameter_that_came_in_between_at_its_default_splits_no_row(spec: TableSpec) -> None:
    older, newer, other = _student(0, 30.0), _student(1, 31.0), _student(2, 32.0)
    newer.result.config["model"]["init_args"]["motion_fields"] = 3
    other.result.config["model"]["init_args"]["motion_fields"] = 4
    assert fill_table(spec, [older, newer]).rows[0].cells[0].count == 2
    assert fill_table(spec, [older, newer, other]).rows[0].cells[0].count == 2


def test_a_metric_that_no_result_has_is_refused_with_near_ones(tmp_path: Path) -> None:
    path = write_spec(tmp_path, SPEC.replace("[test/psnr,", "[test/psnr, test/psnr_stir,"))
    spec = read_table_file(path).tables[0]
    with pytest.raises(
        ConfigError, match=r"table\.yaml: .*'test/psnr_stir': none .* mean 'test/psnr'"
    ):
        fill_table(spec, [make_run("full", 30.0)])
    assert fill_table(spec, []).rows[0].cells[1].mean is None, "nothing ran: nothing is missing"


def test_lpips_without_its_backbone_is_a_gap_and_no_error(tmp_path: Path) -> None:
    path = write_spec(tmp_path, SPEC.replace("[test/psnr,", "[test/psnr, test/lpips,"))
    table = fill_table(read_table_file(path).tables[0], [make_run("full", 30.0)])
    assert table.rows[0].cells[1].mean is None


def test_macs_per_pixel_compare_runs_on_images_of_any_size(tmp_path: Path) -> None:
    path = write_spec(tmp_path, SPEC.replace("parameters]", "macs_per_pixel]"))
    run = make_run("full", 30.0, costs={"forward": Cost(442_665 * 96 * 96, size=(96, 96))})
    table = fill_table(read_table_file(path).tables[0], [run])
    assert table.rows[0].cells[1].mean == 442_665


def test_the_command_that_makes_it_again_names_the_profile(tmp_path: Path) -> None:
    text = SPEC + "command: make ablation-table PROFILE={profile}\n"
    spec = read_table_file(write_spec(tmp_path, text)).tables[0]
    notes = fill_table(spec, [make_run("full", 30.0, profile="gpu")]).notes
    assert notes[-1] == "Again: make ablation-table PROFILE=gpu"


@pytest.mark.parametrize(
    ("baseline", "judgement"), [(28.0, Judgement.HELD), (29.5, "without meaning")]
)
def test_a_claim_above_a_baseline_is_judged_only_there(
    tmp_path: Path, baseline: float, judgement: Judgement | str
) -> None:
    claim = "  - {row: full, within: 2.0, of: half, by: test/psnr, above: never run}\n"
    spec = read_table_file(write_spec(tmp_path, SPEC + claim)).tables[0]
    runs = [make_run("full", 30.0), make_run("half", 29.0), make_run("never", baseline)]
    table = fill_table(spec, runs)
    assert table.verdicts[1].judgement is Judgement(judgement)
    assert f"**{Judgement(judgement).value}**: full within 2.00 of half" in render_markdown([table])


def test_methods_that_train_nothing_have_no_noise(spec: TableSpec) -> None:
    runs: list[RecordedRun] = [
        make_run("full", 30.0, parameters=0),
        make_run("half", 29.0, parameters=0),
    ]
    assert fill_table(spec, runs).verdicts[0].noise == 0.0
    trained = [make_run("full", 30.0), make_run("half", 29.0)]
    assert fill_table(spec, trained).verdicts[0].noise is None
