"""Fused Adam against PyTorch's default, and with gradient clipping and scaling of trainers."""

from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from spike_zoo.nn.optimizers import adam
from spike_zoo.testing import QUIET


class Line(LightningModule):
    """Module with one slope and steep gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Linear(1, 1)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return 1e3 * self.slope(batch).square().mean()

    def configure_optimizers(self) -> torch.optim.Adam:
        return adam(self.parameters(), 0.1)


@pytest.mark.parametrize("weight_decay", [0.0, 1e-2])
def test_steps_equal_pytorchs_default_adam(weight_decay: float) -> None:
    torch.manual_seed(0)
    ours = nn.Conv2d(3, 4, 3)
    theirs = nn.Conv2d(3, 4, 3)
    theirs.load_state_dict(ours.state_dict())
    plain = torch.optim.Adam(
        theirs.parameters(), 1e-2, betas=(0.9, 0.999), weight_decay=weight_decay, foreach=False
    )
    fast = adam(ours.parameters(), 1e-2, weight_decay)
    x = torch.randn(2, 3, 5, 5)
    for _ in range(5):
        for network, optimizer in ((ours, fast), (theirs, plain)):
            optimizer.zero_grad()
            network(x).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_trainer_clips_gradients_in_every_precision(precision: str) -> None:
    module = Line()
    options: Any = {"precision": precision, "logger": False, "enable_checkpointing": False}
    trainer = Trainer(gradient_clip_val=1e-3, max_steps=1, **options, **QUIET)
    trainer.fit(module, DataLoader(torch.ones(4, 1), batch_size=4))  # type: ignore[arg-type]
    clipped = torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])
    assert float(clipped.norm()) <= 1.001e-3
