"""Weights and multiply-accumulates of every block at 1 x 256 x 256, beside the paper's."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from spike_zoo.methods.sci import FAM, FEM, FMVR, ClassFAM, MotionEstimation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PLANES = [(1, 13, 256, 256)]
FEATURES = [(1, 5, 3, 256, 256), (1, 4, 2, 256, 256)]
REFINED = [(1, 2, 256, 256), (1, 3, 256, 256)]
PAIR = [(1, 3, 256, 256)] * 2


class Budget(NamedTuple):
    """What a block may cost: the specification's counts, and the paper's where it has them."""

    block: Callable[[], nn.Module]
    inputs: Sequence[tuple[int, ...]]
    gmac: float
    millions: float
    paper_gmac: float | None = None
    paper_millions: float | None = None


BUDGETS = {
    "FEM, ventral": Budget(lambda: FEM(pathway="ventral"), PLANES, 72.97, 1.116, 73.09, 1.11),
    "FEM, dual": Budget(FEM, PLANES, 74.49, 1.244, 74.79, 1.24),
    "FMVR": Budget(FMVR, REFINED, 0.300, 0.0046, 0.30),
    "FAM, DCN": Budget(lambda: FAM("dcn"), FEATURES, 292.78, 2.653, 288.30, 2.65),
    "FAM, AFR": Budget(FAM, FEATURES, 457.36, 3.282, 464.77, 3.32),
    "FAM of classes": Budget(ClassFAM, FEATURES, 69.0, 4.72),
}


def measured(budget: Budget) -> tuple[float, float]:
    """Return G multiply-accumulates and M weights, counted without computing anything."""
    with torch.device("meta"):
        block = budget.block()
        inputs = [torch.zeros(shape) for shape in budget.inputs]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        block(*inputs)
    weights = sum(parameter.numel() for parameter in block.parameters())
    return counter.get_total_flops() / 2e9, weights / 1e6


@pytest.mark.parametrize("name", BUDGETS)
def test_a_block_costs_what_was_budgeted(name: str) -> None:
    budget = BUDGETS[name]
    gmac, millions = measured(budget)
    assert gmac == pytest.approx(budget.gmac, rel=0.01)
    assert millions == pytest.approx(budget.millions, rel=0.01)
    if budget.paper_gmac is not None:
        assert gmac == pytest.approx(budget.paper_gmac, rel=0.1)
    if budget.paper_millions is not None:
        assert millions == pytest.approx(budget.paper_millions, rel=0.1)


def test_a_quarter_of_the_width_has_the_weights_of_the_tiny_model() -> None:
    tiny = {"FEM": FEM(0.25), "FAM": FAM(width=0.25), "classes": ClassFAM(width=0.25)}
    counted = {name: sum(p.numel() for p in block.parameters()) for name, block in tiny.items()}
    wanted = {"FEM": 0.028e6, "FAM": 0.147e6, "classes": 0.242e6}
    assert counted == pytest.approx(wanted, rel=0.02)


def test_motion_estimation_leaves_room_for_the_rest_of_the_analysis() -> None:
    gmac, millions = measured(Budget(MotionEstimation, PAIR, 0, 0))
    # its layers by hand: five levels of 5x5 convolutions 8-32-64-32-16-2
    by_level = 25 * (8 * 32 + 32 * 64 + 64 * 32 + 32 * 16 + 16 * 2)
    assert millions == pytest.approx((5 * by_level + 5 * (32 + 64 + 32 + 16 + 2)) / 1e6)
    positions = sum((256 // factor) ** 2 for factor in (16, 8, 4, 2, 1))
    assert gmac == pytest.approx(by_level * positions / 1e9)
