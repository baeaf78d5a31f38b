"""Weights and multiply-accumulates of every block at 1 x 256 x 256, beside the paper's."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from spike_zoo.methods.sci import FAM, FEM, FMVR, ClassFAM, MotionEstimation
from spike_zoo.methods.sci.codec.entropy import Gains
from spike_zoo.methods.sci.codec.inter import CODED, Inter
from spike_zoo.methods.sci.codec.inter_layers import Contexts
from spike_zoo.methods.sci.codec.intra import Intra
from spike_zoo.methods.sci.features.blocks import FEATURES as CHANNELS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from spike_zoo.methods.sci.codec.hyperprior import HyperPrior
    from spike_zoo.methods.sci.codec.scale_net import ScaleNet

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


class Nothing:
    """Stands in for a stream that is read: shapes alone."""

    def hyper(self, latent: Tensor | None, prior: HyperPrior, size: Sequence[int]) -> Tensor:
        return torch.zeros(1, *size)

    def residual(
        self, latent: Tensor | None, mean: Tensor, level: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(mean), torch.zeros_like(mean)

    def scale_indexes(
        self, net: ScaleNet, hyper: Tensor, context: Sequence[Tensor], quality: int
    ) -> Tensor:
        side = context[0].shape[-2:]
        wide = torch.zeros(1, net.hyper, *side, dtype=torch.float64)
        return net._exact(torch.cat([wide, *(one.double() for one in context)], 1), 0)

    def number(self, value: int | None, stop: int) -> int:
        return stop - 1


class Cost(NamedTuple):
    """G multiply-accumulates and M weights."""

    gmac: float
    millions: float


def weights_of(*parts: nn.Module) -> float:
    return sum(one.numel() for part in parts for one in part.parameters()) / 1e6


def gmac_of(work: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        work()
    return counter.get_total_flops() / 2e9


@pytest.fixture(scope="module")
def codec() -> dict[str, Cost]:
    """Return what both sides of the codec cost at 1 x 256 x 256."""
    with torch.device("meta"):
        intra, inter, estimation = Intra(1.0), Inter(1.0), MotionEstimation(1.0)
        gains, size = Gains({"intra": 320, "motion": 64, "content": 128}), (256, 256)
        feature = torch.zeros(1, CHANNELS, *size)
        contexts = Contexts(*(torch.zeros(1, 64, 256 // f, 256 // f) for f in (1, 2, 4)))

        def camera_of_intra() -> None:
            intra.analysis.hyper(intra.analysis(feature))

        def camera_of_inter() -> None:
            motion = inter.analysis.motion(estimation(feature, feature))
            inter.analysis.motion.hyper(motion)
            inter.analysis.content.hyper(inter.analysis.content(feature, contexts))

        work: dict[str, Callable[[], object]] = {
            "I analysis": camera_of_intra,
            "I synthesis": lambda: intra.decode(Nothing(), size, gains, 0),
            "P analysis": camera_of_inter,
            "P synthesis": lambda: inter.decode(Nothing(), CODED, inter.start(feature), gains, 0),
        }
        gmac = {name: gmac_of(one) for name, one in work.items()}
    weights = {
        "I analysis": weights_of(intra.analysis),
        "I synthesis": weights_of(intra.entropy, intra.synthesis),
        "P analysis": weights_of(inter.analysis, estimation),
        "P synthesis": weights_of(inter) - weights_of(inter.analysis),
    }
    return {name: Cost(gmac[name], weights[name]) for name in work}


@pytest.mark.parametrize(
    ("name", "budget", "paper"),
    [
        ("I analysis", (4.95, 4.790), (4.97, 4.79)),
        ("I synthesis", (27.45, 24.356), (None, 24.58)),
        ("P analysis", (20.32, 2.651), (21.34, 2.66)),
        ("P synthesis", (24.10, 14.950), (24.65, 14.74)),
    ],
)
def test_a_side_of_the_codec_costs_what_was_budgeted(
    codec: dict[str, Cost],
    name: str,
    budget: tuple[float, float],
    paper: tuple[float | None, float],
) -> None:
    assert codec[name] == pytest.approx(budget, rel=0.01)
    for found, published in zip(codec[name], paper, strict=True):
        assert published is None or found == pytest.approx(published, rel=0.1)


@pytest.mark.parametrize(
    ("module", "part", "paper"),
    [
        ("FEM, dual", "I analysis", (79.76, 6.03)),
        ("FEM, dual", "P analysis", (96.13, 3.90)),
        ("FAM, AFR", "I synthesis", (457.96, 27.90)),
        ("FAM, AFR", "P synthesis", (489.42, 18.06)),
    ],
)
def test_encoders_and_decoders_cost_what_the_paper_says(
    codec: dict[str, Cost], module: str, part: str, paper: tuple[float, float]
) -> None:
    both = zip(codec[part], measured(BUDGETS[module]), strict=True)
    assert [sum(pair) for pair in both] == pytest.approx(paper, rel=0.1)


def test_the_tiny_codec_has_the_weights_of_the_specification() -> None:
    intra, inter, estimation = Intra(0.25), Inter(0.25), MotionEstimation(0.25)
    counted = {
        "I analysis": weights_of(intra.analysis),
        "I synthesis": weights_of(intra.entropy, intra.synthesis),
        "P analysis": weights_of(inter.analysis, estimation),
        "P synthesis": weights_of(inter) - weights_of(inter.analysis),
    }
    wanted = {"I analysis": 0.192, "I synthesis": 1.46, "P analysis": 0.167, "P synthesis": 0.934}
    assert counted == pytest.approx(wanted, rel=0.02)
