"""Warnings and notes of tables."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from spike_zoo.cli.main import main
from spike_zoo.tables import collect_runs, fill_table, read_table_file, render_markdown
from spike_zoo.tables.runs import table_of_runs
from spike_zoo.tables.spec import TableSpec
from spike_zoo.testing import tiny_archive
from spike_zoo.training.result import RunResult
from tests.conftest import ROOT
from tests.helpers.tables import SPEC, filled, make_run, write_spec


def test_rows_on_different_data_are_flagged_with_their_names(spec: TableSpec) -> None:
    runs = [make_run("full", 30.0), make_run("full", 30.0, seed=1)]
    table = fill_table(spec, [*runs, make_run("half", 29.0, data_sha256="cd" * 32)])
    assert any("different data" in warning and "half" in warning for warning in table.warnings)
    assert table.different == {"half"}
    allowed = dataclasses.replace(spec, one_data=False)
    assert not fill_table(allowed, [*runs, make_run("half", 29.0, data_sha256="cd" * 32)]).warnings


def test_mixed_profiles_are_flagged_until_one_is_chosen(spec: TableSpec) -> None:
    runs = [make_run("full", 30.0), make_run("half", 29.0, profile="gpu")]
    assert any("different profiles" in warning for warning in fill_table(spec, runs).warnings)
    table = fill_table(spec, runs, "gpu")
    assert not table.warnings
    assert [len(runs) for runs in table.runs.values()] == [0, 1, 0]


def test_a_mix_of_commits_is_a_note_and_no_warning(spec: TableSpec) -> None:
    table = fill_table(spec, [make_run("full", 30.0), make_run("half", 29.0, commit="def")])
    assert not table.warnings
    assert "Code: abc, def (the rows were made with different commits)." in table.notes


@pytest.mark.parametrize("commit", ["abc-dirty", "abc-missing", None])
def test_runs_of_an_unknown_state_of_the_code_are_marked(
    spec: TableSpec, commit: str | None
) -> None:
    table = fill_table(spec, [make_run("full", 30.0, commit=commit), make_run("half", 29.0)])
    assert f"**Code state unknown**: full ({commit or 'no commit'})." in table.notes
    assert "Code state unknown: a commit with '-dirty'" in render_markdown([table])


def test_the_command_to_reproduce_a_table_names_the_profile(tmp_path: Path) -> None:
    text = SPEC + "command: make ablation-table PROFILE={profile}\n"
    notes = filled(tmp_path, [make_run("full", 30.0, profile="gpu")], text).notes
    assert notes[-1] == "To reproduce: make ablation-table PROFILE=gpu"


@pytest.mark.parametrize(
    ("changes", "arguments"),
    [
        ({}, "fit --config {} --run_dir NEW"),
        ({"parameters": 0}, "test --config {} --run_dir NEW"),
        (
            {"config": {"verbose": True}, "checkpoint": "runs/a b/best.ckpt"},
            "test --config {} --ckpt_path 'runs/a b/best.ckpt' --run_dir NEW",
        ),
    ],
)
def test_the_command_to_reproduce_a_run_uses_its_saved_configuration(
    changes: dict[str, Any], arguments: str, spec: TableSpec, tmp_path: Path
) -> None:
    """Only the saved configuration contains the options of the command line."""
    run = dataclasses.replace(make_run("full", 30.0, seed=3, **changes), folder=tmp_path)
    files = "--config configs/stir.yaml --config variants/full.yaml --seed_everything 3"
    verb = arguments.split()[0]
    assert fill_table(spec, [run]).notes[-1].endswith(f"python -m spike_zoo {verb} {files}")
    saved = tmp_path / "config.yaml"
    saved.write_text("model: {}\n")
    note = fill_table(spec, [run]).notes[-1]
    assert note == f"To reproduce the first run: python -m spike_zoo {arguments.format(saved)}"


def test_a_row_tested_on_its_training_scenes_is_flagged(spec: TableSpec) -> None:
    data = {"init_args": {"archive": "data/own.h5", "train_split": "test", "test_split": "test"}}
    measured = {"test/psnr": 30.0, "train/total": 0.1}
    run = make_run("full", 30.0, metrics=measured, config={"data": data})
    (warning,) = fill_table(spec, [run]).warnings
    assert warning == "Tested on the scenes of their training: full."
    data["init_args"]["train_split"] = "train"
    assert not fill_table(spec, [run]).warnings


def test_a_table_without_runs_states_the_source_of_its_values(tmp_path: Path) -> None:
    notes = filled(tmp_path, []).notes
    assert notes == ("[ ] published: Fan et al., NeurIPS 2024.", "No runs yet.")


def test_a_note_counts_runs_without_values_for_columns_of_selected_scenes(tmp_path: Path) -> None:
    chosen = '{metric: test/psnr, name: slow, scenes: "*-slow-*"}'
    text = SPEC.replace("parameters]", f"{chosen}]")
    table = fill_table(
        read_table_file(write_spec(tmp_path, text)).tables[0], [make_run("full", 30)]
    )
    assert "1 runs have no per_image.csv: n/a in columns of selected scenes." in table.notes


QUIET = ["--trainer.enable_progress_bar", "false", "--trainer.logger", "false"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tests on one archive with different numbers of images that have a complete clip."""
    folder = tmp_path_factory.mktemp("runs")
    archive = tiny_archive(folder / "tiny.h5", planes=201, height=32, width=48, stride=20)
    for name, length in (("tfi", "61"), ("tfp", "151")):
        call = ["--config", str(ROOT / "configs" / "classical" / f"{name}.yaml"), *QUIET]
        call += ["--data.init_args.archive", str(archive)]
        call += ["--data.init_args.clip_length", length, "--run_dir", str(folder / name)]
        assert main(["test", *call]) == 0
    return folder


def _warnings(folder: Path) -> tuple[str, ...]:
    runs = collect_runs([folder])
    return fill_table(table_of_runs(runs), runs).warnings


def test_a_table_warns_of_rows_on_different_images_of_the_same_data(runs: Path) -> None:
    counts = {name: RunResult.read(runs / name / "test").images for name in ("tfi", "tfp")}
    assert counts["tfi"] is not None
    assert counts["tfp"] is not None
    assert counts["tfi"] > counts["tfp"] > 0
    (warning,) = _warnings(runs)
    assert "measured on different images" in warning
    for name, count in counts.items():
        assert f"{count} ({name})" in warning
    assert not _warnings(runs / "tfi")


def test_images_of_an_exposure_are_equal_for_different_margins(
    exposures_archive: Path, tmp_path: Path
) -> None:
    images_of_runs = set()
    for margin in ("0", "20"):
        call = ["--model", "spike_zoo.methods.ssdm.teacher_module.BlurryInputModule", *QUIET]
        call += ["--data", "spike_zoo.data.DeblurDataModule"]
        call += ["--data.init_args.archive", str(exposures_archive)]
        call += ["--data.init_args.margin", margin]
        assert main(["test", *call, "--run_dir", str(tmp_path / margin)]) == 0
        (run,) = collect_runs([tmp_path / margin])
        images_of_runs.add((run.result.images, run.result.images_sha256))
    assert [images for images, _ in images_of_runs] == [3]


def test_different_images_of_equal_number_are_flagged() -> None:
    rows = [
        make_run("full", 30.0, images=36, images_sha256="ab" * 32),
        make_run("half", 29.0, images=36, images_sha256="cd" * 32),
        make_run("other", 28.0, data_sha256="0" * 64, images=9, images_sha256="ef" * 32),
    ]
    warnings = fill_table(table_of_runs(rows), rows).warnings
    (warning,) = [text for text in warnings if "different images" in text]
    assert "36, ababab (full); 36, cdcdcd (half)" in warning
    assert "other" not in warning
