"""Numbers of the trainer that no run can have are named before Lightning stumbles over them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from spike_zoo.errors import ConfigError
from spike_zoo.runs.limits import check_limits

#: As Lightning's command line gives them where nothing is said.
USUAL: dict[str, Any] = {
    "accumulate_grad_batches": 1,
    "check_val_every_n_epoch": 1,
    "num_nodes": 1,
    "gradient_clip_val": None,
    "log_every_n_steps": None,
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
        ({"max_steps": 0}, r"trainer\.max_steps: 0 trains nothing"),
    ],
)
def test_a_number_that_no_fit_can_have_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_limits("fit", {**USUAL, **changes})


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
    named = SimpleNamespace(class_path=f"lightning.pytorch.callbacks.{callback}")
    with pytest.raises(ConfigError, match=rf"trainer\.callbacks: {callback} .*{option}$"):
        check_limits("fit", {**USUAL, "callbacks": [named]})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"check_val_every_n_epoch": None, "val_check_interval": 5},
        {"max_epochs": -1},
        {"gradient_clip_val": 0, "log_every_n_steps": 0},
    ],
)
def test_what_lightning_understands_is_left_to_it(changes: dict[str, Any]) -> None:
    check_limits("fit", {**USUAL, **changes})


@pytest.mark.parametrize("verb", ["validate", "test", "predict"])
def test_how_long_one_would_train_does_not_matter_where_nothing_is_trained(verb: str) -> None:
    check_limits(verb, {**USUAL, "max_epochs": 0, "max_steps": 0})
