"""Tests of run folders: names, locks, removal if a run fails before training."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from spike_zoo.cli.main import main
from spike_zoo.errors import ExistingFileError, UsageError
from spike_zoo.training.folders import PARENT_RUN_DIR, check_no_predictions, folder_of
from tests.conftest import ROOT

FIT = [
    *("fit", "--config", str(ROOT / "configs/stir_demo.yaml")),
    *("--trainer.enable_progress_bar", "false"),
]


STARTERS = (
    *("LOCAL_RANK", "WORLD_SIZE", "WANDB_RUN_ID", "TORCHELASTIC_RUN_ID"),
    *("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_STEP_NUM_TASKS"),
)


@pytest.fixture(autouse=True)
def _in_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (*STARTERS, PARENT_RUN_DIR):
        monkeypatch.delenv(name, raising=False)


def test_runs_started_in_the_same_second_have_different_folders() -> None:
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: folder_of(None, ["configs/stir.yaml"])[0], range(24)))
    assert len(set(folders)) == 24
    assert all(folder.is_dir() and folder.name.startswith("stir-") for folder in folders)


def test_processes_started_by_a_run_share_its_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = folder_of(None, ["stir.yaml"])
    assert os.environ[PARENT_RUN_DIR] == str(first)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert folder_of(None, ["stir.yaml"]) == (first, False)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"WANDB_RUN_ID": "abc"}, "stir-abc"),
        ({"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4"}, "stir-7.0"),
        ({"WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "f00"}, "stir-f00"),
    ],
)
def test_processes_started_by_another_program_share_a_folder(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert {folder_of(None, ["stir.yaml"])[0].name for _ in range(3)} == {expected}


def test_runs_of_one_job_have_different_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SLURM_JOB_ID": "7", "SLURM_STEP_NUM_TASKS": "1"}.items():
        monkeypatch.setenv(name, value)
    assert len({folder_of(None, ["stir.yaml"])[0] for _ in range(3)}) == 3


def test_processes_without_a_common_name_are_rejected_naming_run_dir(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "none"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="name a folder with --run_dir"):
        folder_of(None, ["stir.yaml"])
    assert folder_of("runs/mine", []) == (Path("runs/mine"), True)


@pytest.mark.parametrize("options", [[], ["--run_dir", "runs/mine"]])
@pytest.mark.parametrize(
    "mistake",
    [
        ["--data.init_args.archive", "nowhere.h5"],
        ["--model.loss.perceptual", "0.2", "--model.loss.backbone", "nowhere.pth"],
        ["--ckpt_path", "nowhere.ckpt"],
    ],
)
def test_a_run_that_cannot_start_leaves_no_folder(
    options: list[str], mistake: list[str], tmp_path: Path
) -> None:
    assert main([*FIT, *mistake, *options]) in (1, 2)
    assert not list(tmp_path.rglob("runs/*"))


def test_other_files_in_the_folder_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "mine"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    assert main([*FIT, "--data.init_args.archive", "nowhere.h5", "--run_dir", str(folder)]) == 2
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("name", ["street-000040.png", "predictions.csv"])
def test_a_folder_with_a_prediction_rejects_another_one(name: str, tmp_path: Path) -> None:
    out = tmp_path / "predict"
    check_no_predictions(out)  # does not exist yet
    out.mkdir()
    (out / "config.yaml").touch()
    check_no_predictions(out)  # a prediction that ended before its first picture
    (out / name).touch()
    with pytest.raises(ExistingFileError, match=r"predict: .*another --run_dir, or remove"):
        check_no_predictions(out)
