"""Parameters and multiply-accumulates of every block at 1 x 256 x 256, compared with the paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from spike_zoo.methods.sci import FAM, FEM, SCICodec
from spike_zoo.methods.sci.codec.entropy import FrameCoder, Gains
from spike_zoo.methods.sci.codec.inter import CODED, Inter
from spike_zoo.methods.sci.codec.inter_layers import Contexts
from spike_zoo.methods.sci.codec.intra import Intra
from spike_zoo.methods.sci.codec.profiling import ZeroSymbols, coding_calls
from spike_zoo.methods.sci.codec.scale_net import ScaleNet
from spike_zoo.methods.sci.features.blocks import FEATURES as CHANNELS
from spike_zoo.methods.sci.features.motion_estimation import FMVR, MotionEstimation
from tests.methods.sci.codecs import features_of, recording

PLANES = [(1, 13, 256, 256)]
FEATURES = [(1, 5, 3, 256, 256), (1, 4, 2, 256, 256)]
FMVR_INPUTS = [(1, 2, 256, 256), (1, 3, 256, 256)]
PAIR = [(1, 3, 256, 256)] * 2


class Budget(NamedTuple):
    """Expected cost of a block: counts of the specification, and of the paper if it has them."""

    block: Callable[[], nn.Module]
    inputs: Sequence[tuple[int, ...]]
    gmac: float
    millions: float
    paper_gmac: float | None = None
    paper_millions: float | None = None


BUDGETS = {
    "FEM, ventral": Budget(lambda: FEM(pathway="ventral"), PLANES, 72.97, 1.116, 73.09, 1.11),
    "FEM, dual": Budget(FEM, PLANES, 74.49, 1.244, 74.79, 1.24),
    "FMVR": Budget(FMVR, FMVR_INPUTS, 0.300, 0.0046, 0.30),
    "FAM, DCN": Budget(lambda: FAM("dcn"), FEATURES, 292.78, 2.653, 288.30, 2.65),
    "FAM, AFR": Budget(FAM, FEATURES, 457.36, 3.282, 464.77, 3.32),
}


def weights_of(*parts: nn.Module) -> float:
    """Return the number of parameters in millions."""
    return sum(value.numel() for part in parts for value in part.parameters()) / 1e6


def gmac_of(work: Callable[[], object]) -> float:
    """Return multiply-accumulates in billions; on the meta device nothing is computed."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        work()
    return counter.get_total_flops() / 2e9


@pytest.mark.parametrize("name", BUDGETS)
def test_cost_of_a_block_equals_its_budget_and_is_near_the_paper(name: str) -> None:
    budget = BUDGETS[name]
    with torch.device("meta"):
        block = budget.block()
        inputs = [torch.zeros(shape) for shape in budget.inputs]
    gmac, millions = gmac_of(lambda: block(*inputs)), weights_of(block)
    assert gmac == pytest.approx(budget.gmac, rel=0.01)
    assert millions == pytest.approx(budget.millions, rel=0.01)
    if budget.paper_gmac is not None:
        assert gmac == pytest.approx(budget.paper_gmac, rel=0.1)
    if budget.paper_millions is not None:
        assert millions == pytest.approx(budget.paper_millions, rel=0.1)


class Shapes(ZeroSymbols):
    """Zero symbols that run the scale networks on the meta device without finalised integers."""

    def scale_indexes(
        self, net: ScaleNet, hyper: Tensor, context: Sequence[Tensor], quality: int
    ) -> Tensor:
        side = context[0].shape[-2:]
        wide = torch.zeros(1, net.hyper, *side, dtype=torch.float64)
        return net._exact(torch.cat([wide, *(part.double() for part in context)], 1), 0)


def weights_by_side(width: float) -> dict[str, float]:
    with torch.device("meta"):
        intra, inter, estimation = Intra(width), Inter(width), MotionEstimation(width)
    return {
        "I analysis": weights_of(intra.analysis),
        "I synthesis": weights_of(intra.entropy, intra.synthesis),
        "P analysis": weights_of(inter.analysis, estimation),
        "P synthesis": weights_of(inter) - weights_of(inter.analysis),
    }


@pytest.fixture(scope="module")
def sides() -> dict[str, tuple[float, float]]:
    """Return the cost of encoder and decoder of I- and P-frames at 1 x 256 x 256."""
    with torch.device("meta"):
        intra, inter, estimation = Intra(1.0), Inter(1.0), MotionEstimation(1.0)
        gains, size = Gains({"intra": 320, "motion": 64, "content": 128}), (256, 256)
        coder = FrameCoder(Shapes(torch.device("meta")), gains, 0)
        feature = torch.zeros(1, CHANNELS, *size)
        contexts = Contexts(*(torch.zeros(1, 64, 256 // f, 256 // f) for f in (1, 2, 4)))

        def camera_of_intra() -> None:
            intra.analysis.hyper(intra.analysis(feature))

        def camera_of_inter() -> None:
            motion = inter.analysis.motion(estimation(feature, feature))
            inter.analysis.motion.hyper(motion)
            inter.analysis.content.hyper(inter.analysis.content(feature, contexts, feature))

        work: dict[str, Callable[[], object]] = {
            "I analysis": camera_of_intra,
            "I synthesis": lambda: intra.decode(coder, size),
            "P analysis": camera_of_inter,
            "P synthesis": lambda: inter.decode(coder, CODED, inter.start(feature)),
        }
        gmac = {name: gmac_of(call) for name, call in work.items()}
    weights = weights_by_side(1.0)
    return {name: (gmac[name], weights[name]) for name in work}


def test_cost_of_each_part_of_the_codec_equals_its_budget_and_is_near_the_paper(
    sides: dict[str, tuple[float, float]],
) -> None:
    for name, budget, paper in (
        ("I analysis", (4.95, 4.790), (4.97, 4.79)),
        ("I synthesis", (27.45, 24.356), (None, 24.58)),
        ("P analysis", (20.32, 2.651), (21.34, 2.66)),
        ("P synthesis", (24.10, 14.950), (24.65, 14.74)),
    ):
        assert sides[name] == pytest.approx(budget, rel=0.01)
        for actual, published in zip(sides[name], paper, strict=True):
            assert published is None or actual == pytest.approx(published, rel=0.1)


def test_networks_of_quarter_width_have_the_specified_numbers_of_weights() -> None:
    expected = {"I analysis": 0.192, "I synthesis": 1.46, "P analysis": 0.167, "P synthesis": 0.934}
    assert weights_by_side(0.25) == pytest.approx(expected, rel=0.02)
    blocks = FEM(0.25), FAM(width=0.25)
    assert [*map(weights_of, blocks)] == pytest.approx([0.028, 0.147], rel=0.02)


def test_measured_calls_of_encoder_and_decoder_contain_exactly_their_networks(
    codec: SCICodec,
) -> None:
    source = recording(13)
    window = torch.from_numpy(source[0:13])[None]
    jobs = coding_calls(codec, window, torch.tensor([0.6]))
    sides = ("encode", "loop", "decode")
    assert set(jobs) == {f"{side}_{kind}" for side in sides for kind in ("intra", "inter")}
    assert {job.size for job in jobs.values()} == {tuple(window.shape[-2:])}
    (feature,) = features_of(codec, source)
    padded = torch.nn.functional.pad(feature, (8, 8, 12, 12))
    assert codec.codec_networks is not None
    analysis = codec.codec_networks.intra.analysis
    fem = gmac_of(lambda: codec.feature(window, torch.tensor([0.6])))
    latent = gmac_of(lambda: analysis.hyper(analysis(padded)))
    assert gmac_of(jobs["encode_intra"]) == pytest.approx(fem + latent)
    assert gmac_of(jobs["encode_inter"]) > gmac_of(jobs["encode_intra"]) * 0.5
    analyse, refine = cast("Any", codec.fam), cast("Any", codec.fmvr)
    fam = gmac_of(lambda: analyse(torch.zeros(1, 5, 3, 64, 64), torch.zeros(1, 4, 2, 64, 64)))
    fmvr = gmac_of(lambda: refine(torch.zeros(1, 2, 64, 64), torch.zeros(1, 3, 64, 64)))
    assert min(gmac_of(jobs["decode_intra"]), gmac_of(jobs["decode_inter"])) > fam
    for kind in ("intra", "inter"):  # the closed loop decodes features, not images
        both_gmac = gmac_of(jobs[f"encode_{kind}"]) + gmac_of(jobs[f"decode_{kind}"])
        image_gmac = fam + (kind == "inter") * fmvr
        assert gmac_of(jobs[f"loop_{kind}"]) == pytest.approx(both_gmac - image_gmac)
