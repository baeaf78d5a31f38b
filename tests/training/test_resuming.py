"""Tests of resuming: same weights, optimiser state and log as without interruption."""

from __future__ import annotations

import contextlib
import csv
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import pytest
import torch
from jsonargparse import Namespace
from lightning.pytorch.callbacks import EarlyStopping

from spike_zoo.checkpoints.loading import save_weights
from spike_zoo.cli.main import main
from spike_zoo.errors import ConfigError, FormatError, MissingFileError, WeightsError
from spike_zoo.methods.stir import STIRModule, STIROptions
from spike_zoo.training.checkpoints import WallClock
from spike_zoo.training.initial_weights import weights_sha256
from spike_zoo.training.provenance import argument_defaults
from spike_zoo.training.result import RunResult
from spike_zoo.training.resuming import (
    SettingsOfThisRun,
    check_unchanged,
    copy_model_arguments,
    explicit_arguments,
    find_checkpoint,
    truncate_log,
)
from tests.conftest import ROOT
from tests.helpers.checkpoints import assert_equal, trained_state, write_checkpoint

SIZES = [
    *("--config", "configs/profiles/smoke.yaml", "--trainer.enable_progress_bar", "false"),
    *("--data.init_args.samples_per_epoch", "8", "--trainer.limit_val_batches", "2"),
]
SMALL = [*SIZES, "--data.init_args.crop", "16"]
STIR = [
    *("--config", "configs/stir_demo.yaml", *SMALL, "--model.init_args.width", "0.25"),
    *("--model.init_args.pyramid_levels", "3", "--model.init_args.network.flow_fields", "1"),
    *("--data.init_args.val_split", "train"),  # two batches: a signal ends it after the first
]
STUDENT = [
    *("--config", "configs/ssdm_student.yaml", *SMALL),
    *("--model.loss.labels", "none", "--model.window_length", "9"),
]
DENOISER = ["--config", "configs/ssdm_denoise.yaml", *SMALL, "--model.times", "2"]
UPSAMPLER = ["--config", "configs/ssdm_upsample.yaml", *SMALL, "--model.bsn", "null"]
CONFIGS: dict[str, list[str]] = {
    "cosine": STIR,
    "milestones": [*STIR, "--model.schedule", "milestones"],
    "warmup": [*STIR, "--model.schedule", "constant", "--model.warmup", "0.5"],
    "other module": [*STIR, "--model", "tests.helpers.modules.OneCycleSTIR"],
    "plateau": [*STIR, "--model", "tests.helpers.modules.PlateauSTIR"],
    "workers": [*STIR, "--data.init_args.workers", "2"],
    "accumulated": [*STIR, "--trainer.accumulate_grad_batches", "2"],
    "frequent validation": [*STIR, "--trainer.val_check_interval", "2"],
    "student": STUDENT,
    "student, official": [*STUDENT, "--model.schedule", "per_step_official"],
    "denoiser": DENOISER,
    "upsampler": UPSAMPLER,
}
Command = Callable[[str, Path], list[str]]
Runs = Callable[[str], Path]


pytestmark = pytest.mark.usefixtures("checkout")


@pytest.fixture(scope="module")
def command(request: pytest.FixtureRequest) -> Command:
    def of(name: str, run_dir: Path) -> list[str]:
        options = CONFIGS[name]
        kind = "exposures" if "ssdm" in options[1] else "clips"
        archive = str(request.getfixturevalue(f"{kind}_archive"))  # made if a test needs it
        data = ["--data.init_args.archive", archive, "--run_dir", str(run_dir)]
        return ["fit", *options, *data]

    return of


@pytest.fixture(scope="module")
def uninterrupted(command: Command, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Return the folder of an uninterrupted run, created once per configuration."""
    folders: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in folders:
            run_dir = tmp_path_factory.mktemp("uninterrupted") / "run"
            with contextlib.chdir(ROOT):
                assert main(command(name, run_dir)) == 0
            folders[name] = run_dir
        return folders[name]

    return of


def _stopping(step: int, number: int, moment: str = "before") -> list[str]:
    return [
        "--trainer.callbacks+=tests.helpers.stopping.StopAfter",
        *(f"--trainer.callbacks.steps={step}", f"--trainer.callbacks.number={int(number)}"),
        f"--trainer.callbacks.moment={moment}",
    ]


def _assert_equal_results(actual: Path, expected: Path) -> None:
    _assert_equal_training(actual, expected)
    records = [RunResult.read(run_dir) for run_dir in (actual, expected)]
    assert records[0].metrics == records[1].metrics
    assert records[0].config_hash == records[1].config_hash


def _assert_equal_training(actual: Path, expected: Path) -> None:
    states = [
        trained_state(run_dir / "checkpoints" / "last.ckpt") for run_dir in (actual, expected)
    ]
    assert_equal(states[0], states[1], "checkpoint")
    logs = [(run_dir / "metrics.csv").read_text() for run_dir in (actual, expected)]
    assert logs[0] == logs[1]


@pytest.fixture(scope="module")
def stopped_once(command: Command, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the command of a run that was stopped after five of its eight updates."""
    call = command("cosine", tmp_path_factory.mktemp("stopped") / "run")
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with contextlib.chdir(ROOT):
        assert main([*call, *_stopping(5, signal.SIGINT)]) == 130
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    shutil.copytree(call[-1], f"{call[-1]}-stopped")
    return call


@pytest.fixture
def stopped(stopped_once: list[str]) -> list[str]:
    """Return the command of a stopped run, and restore its folder to the time of the stop."""
    shutil.rmtree(stopped_once[-1])
    shutil.copytree(f"{stopped_once[-1]}-stopped", stopped_once[-1])
    return stopped_once


def test_resuming_with_other_settings_or_a_damaged_configuration_is_rejected(
    stopped: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(stopped[-1])
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    changes = ["--model.learning_rate=2e-3", "--trainer.max_epochs=1", "--seed_everything=1"]
    call = [*stopped, "--ckpt_path", "last"]
    assert main([*call, *changes, "--data.init_args.batch_size=1"]) == 2
    error = capsys.readouterr().err
    for change in ("model.init_args.learning_rate: 0.002, was 0.001", "seed_everything: 1, was 0"):
        assert change in error
    for change in ("trainer.max_epochs: 1, was 2", "data.init_args.batch_size: 1, was 2"):
        assert change in error
    assert "Add --trainer.max_epochs 2. Or: Choose another --run_dir" in error
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    for content in ("", "[1, 2", "words", "seed_everything: 0\ntrainer:\n"):
        (folder / "config.yaml").write_text(content)
        with pytest.raises(FormatError, match=r"config\.yaml: not the configuration that a run"):
            check_unchanged(folder, {}, {})
    (folder / "config.yaml").unlink()
    assert not check_unchanged(folder, {}, {})


def test_a_run_stopped_in_mid_epoch_continues_with_another_number_of_workers(
    stopped: list[str], uninterrupted: Runs
) -> None:
    assert main([*stopped, "--data.init_args.workers", "2", "--ckpt_path", "last"]) == 0
    _assert_equal_training(Path(stopped[-1]), uninterrupted("cosine"))


def test_resuming_with_other_data_is_rejected(
    stopped: list[str], clips_archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved, changed = (Path(stopped[-1]).with_name(f"{name}.h5") for name in ("moved", "changed"))
    for copy in (moved, changed):
        shutil.copyfile(clips_archive, copy)
    with h5py.File(changed, "r+") as file:
        file["recordings/train-0/images"][...] = 7
    call = [*stopped, "--ckpt_path", "last", "--data.init_args.archive"]
    assert main([*call, str(changed)]) == 2
    assert "the data are" in capsys.readouterr().err
    assert main([*call, str(moved)]) == 0, "the same data in another file"


def test_a_checkpoint_continues_in_another_folder_with_other_settings(stopped: list[str]) -> None:
    last = Path(stopped[-1]) / "checkpoints" / "last.ckpt"
    run_dir = Path(stopped[-1]).with_name("longer")
    call = [*stopped, "--run_dir", str(run_dir), "--ckpt_path", str(last)]
    call += ["--trainer.max_epochs", "3", "--model.learning_rate", "2e-3"]
    assert main([*call, "--model.weight_decay", "1e-4"]) == 0
    record = RunResult.read(run_dir)
    assert record.config["model"]["init_args"]["learning_rate"] == 2e-3
    assert record.config["trainer"]["max_epochs"] == 3
    assert record.begins_with["ckpt_path"]["sha256"] == weights_sha256(last)
    assert str(record.checkpoint).startswith(str(run_dir)), "best.ckpt of the new run"
    with (run_dir / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["lr-Adam"]]
    progress = [(int(row["step"]) / 12 - 0.02) / 0.98 for row in rows]  # after 2 % of warm-up
    cosine = [1e-3 * (1 + math.cos(math.pi * share)) for share in progress]
    assert [float(row["lr-Adam"]) for row in rows] == pytest.approx(cosine, rel=1e-6)
    (optimizer,) = trained_state(run_dir / "checkpoints" / "last.ckpt")["optimizer_states"]
    (group,) = optimizer["param_groups"]
    assert (group["weight_decay"], group["initial_lr"]) == (1e-4, 2e-3)


def test_a_schedule_that_cannot_change_is_rejected_by_name(
    uninterrupted: Runs, command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "other module"
    last = uninterrupted(name) / "checkpoints" / "last.ckpt"
    call = [*command(name, tmp_path / "longer"), "--ckpt_path", str(last)]
    assert main([*call, "--trainer.max_epochs", "3"]) == 2
    line = f"OneCycleLR: total_steps is 12 in this run and 8 in {last}"
    assert line in capsys.readouterr().err


def test_early_stopping_uses_the_patience_of_the_continuing_run() -> None:
    settings: Any = SettingsOfThisRun()
    stopping, earlier = EarlyStopping("a", patience=7), EarlyStopping("a", patience=1)
    trainer = SimpleNamespace(
        callbacks=[stopping], optimizers=[], lr_scheduler_configs=[], ckpt_path="last.ckpt"
    )
    settings.setup(trainer, None, "fit")
    stopping.load_state_dict(earlier.state_dict())
    assert stopping.patience == 1
    settings.on_fit_start(trainer, None)
    settings.on_train_start(trainer, None)
    assert stopping.patience == 7


def test_a_new_run_with_nothing_left_to_train_is_rejected(
    uninterrupted: Runs, command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = uninterrupted("cosine") / "checkpoints" / "last.ckpt"
    call = [*command("cosine", tmp_path / "again"), "--ckpt_path", str(last)]
    assert main([*call, "--trainer.max_steps=5"]) == 2
    error = capsys.readouterr().err
    assert "nothing was trained: " in error
    assert "8 updates are done, trainer.max_epochs is 2" in error
    assert "trainer.max_steps 5" in error
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("killed", [False, True])  # in its test, before the record was written
def test_resuming_a_finished_run_trains_nothing_and_keeps_its_metrics(
    *,
    killed: bool,
    uninterrupted: Runs,
    command: Command,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(uninterrupted("cosine"), run_dir)
    if killed:
        (run_dir / "result.json").unlink()
    assert main([*command("cosine", run_dir), "--ckpt_path", "last"]) == 0
    assert "nothing was trained: 2 epochs and 8 updates are done" in capsys.readouterr().out
    result, expected = RunResult.read(run_dir), RunResult.read(uninterrupted("cosine"))
    assert result.metrics == expected.metrics


def test_a_truncated_checkpoint_is_named_and_the_previous_one_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    last, before = folder / "last.ckpt", folder / "last.before.ckpt"
    whole = write_checkpoint(last).read_bytes()
    assert find_checkpoint("last", tmp_path, allow_missing=True) == last
    last.write_bytes(whole[:1000])
    with pytest.raises(WeightsError, match=r"last\.ckpt: not a file of weights"):
        find_checkpoint("last", tmp_path, allow_missing=True)
    before.write_bytes(whole)
    assert find_checkpoint("last", tmp_path, allow_missing=True) == before
    output = capsys.readouterr().out
    assert "last.ckpt: not a file of weights" in output
    assert "using the checkpoint before it, last.before.ckpt" in output


def test_a_run_without_a_last_checkpoint_starts_anew_or_is_rejected(tmp_path: Path) -> None:
    log = tmp_path / "metrics.csv"
    log.write_text("epoch,step\n0,0\n0,1\n")
    assert find_checkpoint("last", tmp_path, allow_missing=True) is None
    truncate_log(log, None)
    assert not log.exists()
    with pytest.raises(MissingFileError, match=r"last\.ckpt: there is no such checkpoint"):
        find_checkpoint("last", tmp_path, allow_missing=False)
    with pytest.raises(MissingFileError, match="weights stir tests them"):
        find_checkpoint("stir", tmp_path, allow_missing=False)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "epoch=0.ckpt").touch()
    with pytest.raises(ConfigError, match=r"no last\.ckpt to resume, but epoch=0\.ckpt"):
        find_checkpoint("last", tmp_path, allow_missing=True)


def test_a_finished_run_continues_with_more_epochs_in_its_folder(
    command: Command, tmp_path: Path
) -> None:
    call = command("cosine", tmp_path / "run")
    assert main([*call, "--trainer.max_epochs=1"]) == 0
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    origin = weights_sha256(last)
    longer = [*call, "--trainer.max_epochs=2", "--ckpt_path=last"]
    assert main([*longer, *_stopping(2, signal.SIGINT)]) == 130
    assert main(longer) == 0
    record = RunResult.read(tmp_path / "run")
    assert record.config["trainer"]["max_epochs"] == 2
    assert record.begins_with["ckpt_path"]["sha256"] == origin
    assert torch.load(last, weights_only=True)["epoch"] == 1
    log = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    steps = [row["step"] for row in csv.DictReader(log)]
    assert steps == sorted(steps, key=int)


def test_a_run_resumed_from_a_checkpoint_of_lightning_has_the_rows_of_its_step(
    command: Command, tmp_path: Path
) -> None:
    call = command("cosine", tmp_path / "run")
    call += ["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.every_n_train_steps=3"]
    call += ["--trainer.callbacks.save_top_k=-1", "--test_after_fit=false"]
    assert main(call) == 0
    log, folder = tmp_path / "run" / "metrics.csv", tmp_path / "run" / "checkpoints"
    assert {"best.ckpt", "last.ckpt"} < {path.name for path in folder.iterdir()}
    expected = log.read_text()
    step = next(folder.glob("*step=3.ckpt"))
    assert main([*call, "--ckpt_path", str(step)]) == 0
    assert log.read_text() == expected


def test_the_wall_time_of_a_resumed_run_includes_earlier_parts() -> None:
    first, second = (WallClock(time.perf_counter() - seconds) for seconds in (1000, 20))
    second.load_state_dict(first.state_dict())
    assert 1020 <= second.state_dict()["seconds"] < 1030


@pytest.mark.parametrize(
    ("name", "step", "moment", "number"),
    [
        ("cosine", 1, "after", signal.SIGINT),
        ("cosine", 4, "before", signal.SIGTERM),  # the last update of the first epoch
        ("cosine", 4, "validation", signal.SIGINT),
        pytest.param("cosine", 7, "before", signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(
            *("frequent validation", 2, "validation", signal.SIGTERM), marks=pytest.mark.slow
        ),
        pytest.param("frequent validation", 2, "before", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("frequent validation", 3, "before", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("frequent validation", 6, "after", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("milestones", 3, "before", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("warmup", 2, "before", signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(*("other module", 3, "before", signal.SIGTERM), marks=pytest.mark.slow),
        pytest.param("plateau", 3, "before", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("workers", 3, "before", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("workers", 7, "after", signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param("accumulated", 1, "after", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("student", 3, "before", signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param("student, official", 6, "before", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("denoiser", 3, "before", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("upsampler", 3, "before", signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_a_run_resumed_in_mid_epoch_ends_like_an_uninterrupted_one(
    command: Command,
    uninterrupted: Runs,
    tmp_path: Path,
    name: str,
    step: int,
    moment: str,
    number: int,
) -> None:
    run_dir = tmp_path / "run"
    call = command(name, run_dir)
    assert main([*call, *_stopping(step, number, moment)]) == 128 + number
    assert not (run_dir / "result.json").exists()
    stopped = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    assert 0 < stopped["global_step"] < _steps(uninterrupted(name))
    assert main([*call, "--ckpt_path", "last"]) == 0
    _assert_equal_results(run_dir, uninterrupted(name))


def _steps(run_dir: Path) -> int:
    last = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    return int(last["global_step"])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "step"), [("cosine", 3), ("workers", 6), ("denoiser", 7)])
def test_a_resumed_killed_run_ends_like_an_uninterrupted_one(
    command: Command, uninterrupted: Runs, tmp_path: Path, name: str, step: int
) -> None:
    run_dir = tmp_path / "run"
    call = command(name, run_dir)
    killed = subprocess.run(
        [sys.executable, "-m", "spike_zoo", *call, *_stopping(step, signal.SIGKILL)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert main([*call, "--ckpt_path", "last"]) == 0
    _assert_equal_results(run_dir, uninterrupted(name))


def test_options_of_a_checkpoint_are_copied_except_for_explicit_ones(tmp_path: Path) -> None:
    network = STIROptions(flow_fields=2, hidden_channels=4)
    save_weights(STIRModule(width=0.25, network=network), tmp_path / "a.safetensors")
    path = "spike_zoo.methods.stir.STIRModule"
    defaults = argument_defaults(path).items()
    space: Any = Namespace
    arguments = space({k: space(v) if isinstance(v, dict) else v for k, v in defaults})
    model = space(class_path=path, init_args=arguments)
    explicit = explicit_arguments(["--model.init_args.network.hidden_channels=8"])
    assert copy_model_arguments(model, tmp_path / "a.safetensors", explicit)
    assert (arguments.width, arguments.network.flow_fields) == (0.25, 2)
    assert arguments.network.hidden_channels == 8
    assert not copy_model_arguments(model, tmp_path / "a.safetensors", explicit)
