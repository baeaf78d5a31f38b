"""FMVR begins as identity and learns."""

from __future__ import annotations

import torch

from spike_zoo.methods.sci import FMVR


def test_refinement_changes_nothing_before_it_has_learned() -> None:
    torch.manual_seed(0)
    refine, motion, feature = FMVR(), torch.randn(2, 2, 9, 11), torch.rand(2, 3, 9, 11)
    assert torch.equal(refine(motion, feature), motion)
    optimiser = torch.optim.SGD(refine.parameters(), 0.5)
    for _ in range(3):
        optimiser.zero_grad()
        (refine(motion, feature) - feature[:, :2]).square().mean().backward()
        optimiser.step()
    assert not torch.equal(refine(motion, feature), motion)
    assert all(one.grad is not None and one.grad.any() for one in refine.parameters())
