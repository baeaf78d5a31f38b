"""Tests of checks of trainer arguments: limits, devices, strategies, precision."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lightning import Trainer
from lightning.pytorch.strategies import DDPStrategy

from spike_zoo.cli.main import main
from spike_zoo.errors import ConfigError
from spike_zoo.training import trainer_arguments
from spike_zoo.training.trainer_arguments import check_limits, check_precision, configure_devices
from tests.conftest import ROOT

#: Defaults of Lightning's command line.
DEFAULTS: dict[str, Any] = {
    "accumulate_grad_batches": 1,
    "check_val_every_n_epoch": 1,
    "num_nodes": 1,
    "gradient_clip_val": None,
    "log_every_n_steps": None,
    "min_epochs": None,
    "min_steps": None,
    "num_sanity_val_steps": None,
    "max_epochs": None,
    "max_steps": -1,
    "barebones": False,
    "callbacks": None,
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accumulate_grad_batches": 0}, r"trainer\.accumulate_grad_batches: at least 1, got 0$"),
        ({"check_val_every_n_epoch": 0}, r"trainer\.check_val_every_n_epoch: at least 1, got 0$"),
        ({"num_nodes": 0}, r"trainer\.num_nodes: at least 1, got 0$"),
        ({"gradient_clip_val": -1}, r"trainer\.gradient_clip_val: at least 0, got -1$"),
        ({"gradient_clip_val": -0.5}, r"trainer\.gradient_clip_val: at least 0, got -0\.5$"),
        ({"log_every_n_steps": -1}, r"trainer\.log_every_n_steps: at least 0, got -1$"),
        ({"max_epochs": 0}, r"trainer\.max_epochs: 0 trains nothing; .*test --ckpt_path FILE"),
        ({"min_epochs": -1}, r"trainer\.min_epochs: at least 0, got -1$"),
        ({"num_sanity_val_steps": -2}, r"trainer\.num_sanity_val_steps: at least -1, got -2$"),
        ({"max_steps": 0}, r"trainer\.max_steps: 0 trains nothing"),
    ],
)
def test_an_invalid_limit_is_rejected_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_limits("fit", {**DEFAULTS, **changes})


@pytest.mark.parametrize(
    ("callback", "option"),
    [
        ("LearningRateFinder", "--model.learning_rate"),
        ("BatchSizeFinder", "--data.init_args.batch_size"),
    ],
)
def test_a_callback_that_replaces_a_recorded_setting_is_rejected(
    callback: str, option: str
) -> None:
    config = SimpleNamespace(class_path=f"lightning.pytorch.callbacks.{callback}")
    with pytest.raises(ConfigError, match=rf"trainer\.callbacks: {callback} .*{option}$"):
        check_limits("fit", {**DEFAULTS, "callbacks": [config]})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"check_val_every_n_epoch": None, "val_check_interval": 5},
        {"max_epochs": -1},
        {"gradient_clip_val": 0, "log_every_n_steps": 0},
    ],
)
def test_limits_that_lightning_accepts_pass_the_check(changes: dict[str, Any]) -> None:
    check_limits("fit", {**DEFAULTS, **changes})


@pytest.mark.parametrize("verb", ["validate", "test", "predict"])
def test_training_limits_are_not_checked_for_verbs_that_do_not_train(verb: str) -> None:
    check_limits(verb, {**DEFAULTS, "max_epochs": 0, "max_steps": 0})


FIT = ["--config", "configs/stir_demo.yaml", "--config", "configs/profiles/smoke.yaml"]
SPAWNING = "ddp_spawn_find_unused_parameters_true"


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("WORLD_SIZE", raising=False)


def _trainer(**changes: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"devices": "auto", "num_nodes": 1, "strategy": "auto", **changes})


@pytest.mark.parametrize("strategy", ["ddp_spawn", "ddp_fork", "ddp_notebook", SPAWNING])
@pytest.mark.parametrize("verb", ["fit", "test"])
def test_processes_that_are_forked_or_spawned_are_rejected(verb: str, strategy: str) -> None:
    with pytest.raises(ConfigError, match=rf"strategy: {strategy} forks or spawns .*use ddp"):
        configure_devices(verb, _trainer(strategy=strategy))


def test_a_forking_strategy_is_rejected_by_the_command(
    clips_archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = [*FIT, "--data.init_args.archive", str(clips_archive), "--run_dir", str(tmp_path)]
    call += ["--trainer.accelerator", "cpu", "--trainer.devices", "2"]
    assert main(["fit", *call, "--trainer.strategy", "ddp_fork"]) == 2
    assert "error: trainer.strategy: ddp_fork forks or spawns" in capsys.readouterr().err


def test_evaluation_in_several_started_processes_is_rejected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    configure_devices("fit", _trainer())
    with pytest.raises(ConfigError, match=r"test: 2 processes .* start it without torchrun"):
        configure_devices("test", _trainer())


@pytest.mark.parametrize("verb", ["fit", "test"])
def test_a_slurm_job_of_several_tasks_needs_srun(
    verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning waited for the other tasks until its timeout."""
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.setenv("SLURM_JOB_NAME", "train")
    with pytest.raises(ConfigError, match=r"4 tasks, but srun did not start .*put srun before"):
        configure_devices(verb, _trainer())
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    configure_devices("fit", _trainer())
    with pytest.raises(ConfigError, match=r"test: 4 processes .* srun --ntasks 1"):
        configure_devices("test", _trainer())
    monkeypatch.delenv("SLURM_STEP_NUM_TASKS")
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")
    configure_devices(verb, _trainer())


def test_the_start_method_of_a_strategy_object_is_checked() -> None:
    with pytest.raises(ConfigError, match=r"trainer\.strategy: spawn forks or spawns"):
        configure_devices("fit", _trainer(strategy=DDPStrategy(start_method="spawn")))
    configure_devices("fit", _trainer(strategy=DDPStrategy()))


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        ("auto", 1),
        (1, 1),
        (2, 1),
        ("2", 1),
        (-1, 1),
        ([3], [3]),
        ([3, 1], [3]),
        ("3,1", [3]),
        ("3,", [3]),
    ],
)
@pytest.mark.parametrize("verb", ["validate", "test"])
def test_evaluation_uses_the_first_named_device(verb: str, devices: Any, expected: Any) -> None:
    trainer = _trainer(devices=devices, num_nodes=2, strategy="ddp")
    configure_devices(verb, trainer)
    assert (trainer.devices, trainer.num_nodes, trainer.strategy) == (expected, 1, "auto")


@pytest.mark.parametrize("verb", ["fit", "predict"])
def test_training_and_prediction_use_all_named_devices(verb: str) -> None:
    trainer = _trainer(devices=[3, 1], num_nodes=2, strategy="ddp")
    configure_devices(verb, trainer)
    assert (trainer.devices, trainer.num_nodes, trainer.strategy) == ([3, 1], 2, "ddp")


@pytest.mark.parametrize(
    ("precision", "is_fast", "message"),
    [
        ("bf16-mixed", False, "precision bf16-mixed: slower than 32-true on this machine"),
        ("bf16-mixed", True, "^$"),
        ("32-true", False, "^$"),
        (None, False, "^$"),
    ],
)
def test_a_slow_half_precision_is_reported(
    precision: str | None, is_fast: bool, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages: list[str] = []
    monkeypatch.setattr(trainer_arguments, "has_fast_bf16", lambda **_: is_fast)
    monkeypatch.setattr(trainer_arguments, "rank_zero_info", messages.append)
    trainer_arguments.warn_about_slow_precision(_trainer(accelerator="auto", precision=precision))
    assert re.search(message, "".join(messages))


@pytest.mark.parametrize("precision", ["bf16-true", "16-true", "64-true"])
def test_a_precision_that_changes_the_type_of_weights_is_rejected(precision: Any) -> None:
    trainer = Trainer(accelerator="cpu", precision=precision, logger=False)
    with pytest.raises(
        ConfigError, match=rf"trainer\.precision: {precision} .*use 32-true, bf16-m"
    ):
        check_precision(trainer)
    check_precision(Trainer(accelerator="cpu", precision="bf16-mixed", logger=False))
