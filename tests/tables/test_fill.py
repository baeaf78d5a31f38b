"""From records to numbers: means, published values, gaps and what must be said about them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from spike_zoo.errors import ConfigError
from spike_zoo.metrics import PROTOCOLS, reconstruction_metrics
from spike_zoo.tables import (
    FilledTable,
    Outcome,
    Run,
    TableSpec,
    fill_table,
    read_table_file,
    render_markdown,
)
from spike_zoo.tables.columns import METRICS
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


def test_runs_of_one_row_with_different_settings_are_flagged(spec: TableSpec) -> None:
    def run(seed: int, steps: int) -> Run:
        folder = f"runs/small/full-{seed}-0123456{seed}"
        config = {
            "seed_everything": seed,
            "run_dir": folder,
            "trainer": {"max_steps": steps, "default_root_dir": folder},
            "model": {"teacher": f"runs/teacher/t-{seed}-89abcde{seed}/checkpoints/best.ckpt"},
        }
        return make_run("full", 30.0 + seed, seed=seed, config=config)

    assert not fill_table(spec, [run(0, 2), run(1, 2)]).warnings
    (warning,) = fill_table(spec, [run(0, 2), run(1, 9)]).warnings
    assert "runs of full differ in more than their seed" in warning


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
    run = make_run("full", 30.0, macs=442_665 * 96 * 96, image_size=(96, 96))
    table = fill_table(read_table_file(path).tables[0], [run])
    assert table.rows[0].cells[1].mean == 442_665


def test_the_command_that_makes_it_again_names_the_profile(tmp_path: Path) -> None:
    text = SPEC + "command: make ablation-table PROFILE={profile}\n"
    spec = read_table_file(write_spec(tmp_path, text)).tables[0]
    notes = fill_table(spec, [make_run("full", 30.0, profile="gpu")]).notes
    assert notes[-1] == "Again: make ablation-table PROFILE=gpu"


def test_every_metric_we_measure_has_a_direction() -> None:
    measured = reconstruction_metrics(lpips="off", protocols=PROTOCOLS)
    assert {str(name) for name in measured} <= METRICS.keys()


@pytest.mark.parametrize(("baseline", "outcome"), [(28.0, Outcome.HELD), (29.5, "without meaning")])
def test_a_claim_above_a_baseline_is_judged_only_there(
    tmp_path: Path, baseline: float, outcome: Outcome | str
) -> None:
    claim = "  - {row: full, within: 2.0, of: half, by: test/psnr, above: never run}\n"
    spec = read_table_file(write_spec(tmp_path, SPEC + claim)).tables[0]
    runs = [make_run("full", 30.0), make_run("half", 29.0), make_run("never", baseline)]
    table = fill_table(spec, runs)
    assert table.verdicts[1].outcome is Outcome(outcome)
    assert f"**{Outcome(outcome).value}**: full within 2.00 of half" in render_markdown([table])


def test_methods_that_train_nothing_have_no_noise(spec: TableSpec) -> None:
    runs: list[Run] = [make_run("full", 30.0, parameters=0), make_run("half", 29.0, parameters=0)]
    assert fill_table(spec, runs).verdicts[0].noise == 0.0
    trained = [make_run("full", 30.0), make_run("half", 29.0)]
    assert fill_table(spec, trained).verdicts[0].noise is None
