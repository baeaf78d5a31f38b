"""Checkpoints as runs leave them, without a run, and their comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from spike_zoo.methods.stir import STIRModule


def write_checkpoint(path: Path, seed: int = 0, **changes: Any) -> Path:
    """Write what a run of a small STIR leaves; changes replace what it says of itself."""
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


def trained_state(file: Path) -> dict[str, Any]:
    """Return the weights, optimizer states and schedules of a checkpoint."""
    content = torch.load(file, weights_only=True)
    return {key: content[key] for key in ("state_dict", "optimizer_states", "lr_schedulers")}


def assert_equal(ours: Any, theirs: Any, where: str) -> None:
    """Compare nested values exactly; a failure names the place, which starts with ``where``."""
    if isinstance(theirs, torch.Tensor):
        assert torch.equal(ours, theirs), where
    elif isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), where
        for key, value in theirs.items():
            assert_equal(ours[key], value, f"{where}.{key}")
    elif isinstance(theirs, list | tuple):
        assert len(ours) == len(theirs), where
        for index, value in enumerate(theirs):
            assert_equal(ours[index], value, f"{where}[{index}]")
    else:
        assert ours == theirs, where
