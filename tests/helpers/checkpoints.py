"""Checkpoints as runs leave them, without a run."""

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
