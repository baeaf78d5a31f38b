"""Checkpoints like those of runs, and exact comparison of nested values."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from spike_zoo.checkpoints.loading import save_weights
from spike_zoo.methods.stir import STIRModule
from spike_zoo.utils.files import EXPORT_NAME


def write_checkpoint(path: Path, seed: int = 0, **changes: Any) -> Path:
    """Write the checkpoint of a small STIR; changes replace entries of the checkpoint."""
    torch.manual_seed(seed)
    module = STIRModule(width=0.25)
    content: dict[str, Any] = {
        "state_dict": module.state_dict(),
        "pytorch-lightning_version": "2.6.6",
        "hyper_parameters": dict(module.hparams),
    }
    module.on_save_checkpoint(content)
    torch.save({**content, **changes}, path)
    return path


def export(module: nn.Module, folder: str | Path) -> Path:
    """Write a module as a folder that ``load`` reads; return the path of its weights."""
    target = Path(folder) / EXPORT_NAME
    target.parent.mkdir(parents=True, exist_ok=True)
    save_weights(module, target)
    return target


def trained_state(file: Path) -> dict[str, Any]:
    """Return the weights, optimizer states and schedules of a checkpoint."""
    content = torch.load(file, weights_only=True)
    return {key: content[key] for key in ("state_dict", "optimizer_states", "lr_schedulers")}


def assert_equal(actual: Any, expected: Any, where: str) -> None:
    """Compare nested values exactly; a failure states the path of keys, starting with ``where``."""
    if isinstance(expected, torch.Tensor):
        assert torch.equal(actual, expected), where
    elif isinstance(expected, dict):
        assert actual.keys() == expected.keys(), where
        for key, value in expected.items():
            assert_equal(actual[key], value, f"{where}.{key}")
    elif isinstance(expected, list | tuple):
        assert len(actual) == len(expected), where
        for index, value in enumerate(expected):
            assert_equal(actual[index], value, f"{where}[{index}]")
    else:
        assert actual == expected, where
