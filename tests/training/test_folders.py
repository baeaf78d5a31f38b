"""Tests of run folders: names, removal if a run fails early, records of the start."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import pytest

from spike_zoo.cli.main import main
from spike_zoo.errors import ExistingFileError, FormatError, UsageError
from spike_zoo.training import folders
from spike_zoo.training.folders import (
    PARENT_RUN_DIR,
    RunStart,
    check_no_earlier_fit,
    check_no_predictions,
    check_same_test,
    folder_of,
    remove_failed_run,
)
from spike_zoo.utils.files import lock
from tests.helpers.results import make_result

KEY = "model.init_args.teacher"
TEACHER = {"path": "runs/t/checkpoints/best.ckpt", "sha256": "12" * 32, "recipe": None}
START = RunStart("ab" * 32, {KEY: TEACHER})
CHANGED_WEIGHTS = f"{KEY}: the weights in runs/t/checkpoints/best.ckpt have changed"
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


@pytest.mark.parametrize(
    "mistake", ["--data.archive=nowhere.h5", "--ckpt_path=nowhere.ckpt --run_dir=runs/mine"]
)
def test_a_run_that_cannot_start_leaves_no_folder(mistake: str, tmp_path: Path) -> None:
    assert main(["fit", "--config=stir_demo", *mistake.split()]) == 2
    assert not list(tmp_path.rglob("runs/*"))


def test_a_lock_file_that_is_removed_before_it_is_locked_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lock_after_removal(file: IO[bytes], *, wait: bool) -> bool:
        (tmp_path / ".lock").unlink()
        monkeypatch.undo()
        return lock(file, wait=wait)

    monkeypatch.setattr("spike_zoo.utils.files.lock", lock_after_removal)
    held = folders.lock_of(tmp_path)
    assert held is not None
    with held:
        assert folders.lock_of(tmp_path) is None


def test_other_files_in_the_folder_of_a_failed_run_are_kept(tmp_path: Path) -> None:
    out = tmp_path / "runs" / "test"
    (out / "images").mkdir(parents=True)
    (out / "config.yaml").touch()
    (out.parent / "notes.txt").write_text("mine")
    remove_failed_run([out, out.parent])
    assert [path.name for path in out.parent.iterdir()] == ["notes.txt"]


def test_a_record_without_checkpoints_is_not_overwritten(tmp_path: Path) -> None:
    check_no_earlier_fit(tmp_path)
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(ExistingFileError, match="contains the record of a run, but not"):
        check_no_earlier_fit(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    with pytest.raises(ExistingFileError, match="Resume it with --ckpt_path last"):
        check_no_earlier_fit(tmp_path)


@pytest.mark.parametrize("name", ["street-000040.png", "predictions.csv"])
def test_a_folder_with_a_prediction_rejects_another_one(name: str, tmp_path: Path) -> None:
    out = tmp_path / "predict"
    check_no_predictions(out)  # does not exist yet
    out.mkdir()
    (out / "config.yaml").touch()
    check_no_predictions(out)  # a prediction that ended before its first image
    (out / name).touch()
    with pytest.raises(ExistingFileError, match=r"predict: .*another --run_dir, or remove"):
        check_no_predictions(out)


@pytest.mark.parametrize(
    ("config", "start", "change"),
    [
        ({}, {}, ""),
        ({"data": {"init_args": {"archive": "moved.h5", "stride": 1, "workers": 4}}}, {}, ""),
        ({"trainer": {"max_epochs": 9, "logger": False}}, {}, ""),
        ({}, {"begins_with": {"ckpt_path": {"path": "best.ckpt", "sha256": "newer"}}}, ""),
        ({"model": {"class_path": "B"}}, {}, "model.class_path: 'B', was 'A'"),
        ({"data": {"init_args": {"stride": 2}}}, {}, "data.init_args.stride: 2, was 1"),
        ({"trainer": {"limit_test_batches": 1}}, {}, "trainer.limit_test_batches: 1"),
        ({}, {"data_sha256": "cd" * 32}, "the data are cdcdcdcdcdcd, were abababababab"),
        ({}, {"begins_with": {"ckpt_path": {"path": "last.ckpt", "sha256": "1"}}}, "last.ckpt"),
    ],
)
def test_a_folder_keeps_the_record_of_another_test(
    tmp_path: Path, config: dict[str, Any], start: dict[str, Any], change: str
) -> None:
    data = {"init_args": {"archive": "a.h5", "stride": 1, "workers": 0}}
    before = {"model": {"class_path": "A"}, "data": data, "trainer": {"max_epochs": 3}}
    begun = {"ckpt_path": {"path": "best.ckpt", "sha256": "0"}}
    known = {"data_sha256": "ab" * 32, "begins_with": begun}
    now: Any = (RunStart(**{**known, **start}), {**before, **config}, {})
    check_same_test(tmp_path, *now)  # no record
    make_result(config=before, **known).write(tmp_path / "result.json")
    if not change:
        check_same_test(tmp_path, *now)
        return
    with pytest.raises(ExistingFileError, match="contains the result of another test") as error:
        check_same_test(tmp_path, *now)
    assert change in str(error.value)


def test_a_start_record_is_the_same_after_writing_and_reading(tmp_path: Path) -> None:
    assert RunStart.read(tmp_path) is None, "a run of an older version"
    RunStart("cd" * 32).write(tmp_path)
    START.write(tmp_path)  # the run is started again
    assert RunStart.read(tmp_path) == START
    assert [path.name for path in tmp_path.iterdir()] == ["start.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"unknown": 1}', "\x00"])
def test_a_damaged_start_record_is_rejected_with_advice(tmp_path: Path, content: str) -> None:
    (tmp_path / "start.json").write_text(content)
    with pytest.raises(FormatError, match=r"start\.json: not a record .* start the run again"):
        RunStart.read(tmp_path)


@pytest.mark.parametrize(
    ("start", "changes"),
    [
        (START, []),
        (RunStart(None, {KEY: TEACHER}), []),  # data without a digest are not compared
        (RunStart("cd" * 32, {KEY: TEACHER}), ["the data are cdcdcdcdcdcd, were abababababab"]),
        (RunStart("ab" * 32, {KEY: {**TEACHER, "sha256": "34" * 32}}), [CHANGED_WEIGHTS]),
        (RunStart("ab" * 32, {KEY: {**TEACHER, "path": "moved.ckpt"}}), []),
        (RunStart("ab" * 32), [CHANGED_WEIGHTS]),
        (
            RunStart("ab" * 32, {KEY: TEACHER, "ckpt_path": {"path": "a", "sha256": "1"}}),
            ["ckpt_path: the weights in a have changed"],
        ),
    ],
)
def test_changes_since_the_start_are_listed(start: RunStart, changes: list[str]) -> None:
    assert list(START.changes(start)) == changes
