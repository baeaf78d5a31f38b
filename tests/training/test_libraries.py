"""Tests of warnings and parsing of libraries, and of checks of trainer arguments."""

import re
import warnings
from types import SimpleNamespace
from typing import Any, Union

import pytest
from jsonargparse import ArgumentParser
from lightning import Trainer
from lightning.fabric.utilities import warnings as lightning_warnings
from lightning.pytorch.strategies import DDPStrategy

from spike_zoo.errors import ConfigError
from spike_zoo.nn import precision as precisions
from spike_zoo.tables.sweeps.line_reader import LineReader
from spike_zoo.training.libraries import (
    check_limits,
    check_precision,
    configure_devices,
    quiet_libraries,
    whole_numbers_first,
)
from spike_zoo.training.planning import VERBS

# rich uses this order; typing caches it, so Lightning's annotation gets the same order
FLOAT_FIRST: Any = Union[float, int, None]  # noqa: UP007
#: Defaults of Lightning's command line.
DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(("accumulate_grad_batches", "check_val_every_n_epoch", "num_nodes"), 1),
    **dict.fromkeys(("gradient_clip_val", "log_every_n_steps", "min_epochs", "min_steps")),
    **dict.fromkeys(("num_sanity_val_steps", "max_epochs", "callbacks")),
    "max_steps": -1,
    "barebones": False,
}


@pytest.mark.parametrize("text", ["1", "1.0", "0.5", "null", "3"])
def test_integers_are_parsed_as_integers_by_a_type_with_float_first(text: str) -> None:
    parser = ArgumentParser()
    parser.add_argument("--limit", type=FLOAT_FIRST)
    parser.add_argument("--name", type=str)
    whole_numbers_first(parser)
    parsed = parser.parse_args(["--limit", text, "--name", "a"])
    assert repr(parsed.limit) == text.replace("null", "None")
    assert parsed.name == "a"


def test_every_verb_parses_limits_with_integers_first(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[str] = []
    monkeypatch.setattr(
        "spike_zoo.training.configs.whole_numbers_first",
        lambda parser: limits.extend(a.dest for a in parser._actions if "limit_val" in a.dest),
    )
    LineReader()
    assert limits == ["trainer.limit_val_batches"] * len(VERBS)


def test_warnings_of_lightning_are_printed_without_file_and_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Importing Lightning replaces the format of warnings."""
    monkeypatch.setattr(warnings, "formatwarning", lightning_warnings._custom_format_warning)
    quiet_libraries()
    message = warnings.formatwarning("LPIPS is off", UserWarning, "/lib/lightning/cli.py", 555)
    assert message == "warning: LPIPS is off\n"


def _callback(name: str) -> dict[str, Any]:
    return {"callbacks": [SimpleNamespace(class_path=f"lightning.pytorch.callbacks.{name}")]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accumulate_grad_batches": 0}, r"trainer\.accumulate_grad_batches: at least 1, got 0$"),
        ({"check_val_every_n_epoch": 0}, r"trainer\.check_val_every_n_epoch: at least 1, got 0$"),
        ({"num_nodes": 0}, r"trainer\.num_nodes: at least 1, got 0$"),
        ({"gradient_clip_val": -0.5}, r"trainer\.gradient_clip_val: at least 0, got -0\.5$"),
        ({"log_every_n_steps": -1}, r"trainer\.log_every_n_steps: at least 0, got -1$"),
        ({"max_epochs": 0}, r"trainer\.max_epochs: 0 trains nothing; .*test --ckpt_path FILE"),
        ({"min_epochs": -1}, r"trainer\.min_epochs: at least 0, got -1$"),
        ({"num_sanity_val_steps": -2}, r"trainer\.num_sanity_val_steps: at least -1, got -2$"),
        ({"max_steps": 0}, r"trainer\.max_steps: 0 trains nothing"),
        (_callback("LearningRateFinder"), r"callbacks: LearningRateF.* --model\.learning_rate$"),
        (_callback("StochasticWeightAveraging"), r"callbacks: Stoch.* use EMAWeightAveraging$"),
        (_callback("BatchSizeFinder"), r"callbacks: BatchSizeF.* --data\.init_args\.batch_size$"),
    ],
)
def test_an_invalid_limit_or_callback_is_rejected_by_name(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_limits("fit", {**DEFAULTS, **changes})


@pytest.mark.parametrize(
    ("verb", "changes"),
    [
        ("fit", {}),
        ("fit", {"check_val_every_n_epoch": None, "val_check_interval": 5}),
        ("fit", {"max_epochs": -1, "gradient_clip_val": 0, "log_every_n_steps": 0}),
        ("test", {"max_epochs": 0, "max_steps": 0}),
    ],
)
def test_limits_that_lightning_accepts_pass_the_check(verb: str, changes: dict[str, Any]) -> None:
    check_limits(verb, {**DEFAULTS, **changes})


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)


def _trainer(**changes: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"devices": "auto", "num_nodes": 1, "strategy": "auto", **changes})


@pytest.mark.parametrize(
    ("strategy", "name"),
    [
        *((name, name) for name in ("ddp_spawn", "ddp_fork", "ddp_notebook")),
        ("ddp_spawn_find_unused_parameters_true", "ddp_spawn_find_unused_parameters_true"),
        (DDPStrategy(start_method="spawn"), "spawn"),
    ],
)
def test_processes_that_are_forked_or_spawned_are_rejected(strategy: Any, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"strategy: {name} forks or spawns .*use ddp"):
        configure_devices("fit", _trainer(strategy=strategy))
    configure_devices("fit", _trainer(strategy=DDPStrategy()))


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


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        *(("auto", 1), (1, 1), (2, 1), ("2", 1), (-1, 1)),
        *(([3], [3]), ([3, 1], [3]), ("3,1", [3]), ("3,", [3])),
    ],
)
def test_evaluation_uses_the_first_named_device(devices: Any, expected: Any) -> None:
    trainer = _trainer(devices=devices, num_nodes=2, strategy="ddp")
    configure_devices("test", trainer)
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
    ],
)
def test_a_slow_half_precision_is_reported(
    precision: Any, is_fast: bool, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages: list[str] = []
    monkeypatch.setattr(precisions, "has_fast_bf16", lambda **_: is_fast)
    monkeypatch.setattr("lightning.pytorch.utilities.rank_zero_info", messages.append)
    check_precision(Trainer(accelerator="cpu", precision=precision, logger=False))
    assert re.search(message, "".join(messages))


@pytest.mark.parametrize("precision", ["bf16-true", "16-true", "64-true"])
def test_a_precision_that_changes_the_type_of_weights_is_rejected(precision: Any) -> None:
    trainer = Trainer(accelerator="cpu", precision=precision, logger=False)
    message = rf"trainer\.precision: {precision} .*use 32-true, bf16-m"
    with pytest.raises(ConfigError, match=message):
        check_precision(trainer)
