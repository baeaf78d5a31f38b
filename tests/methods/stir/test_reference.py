"""Tests of the reference implementation in the benchmarks against the published network."""

import pytest
import torch
from torch import Tensor

from benchmarks.stir_reference import ReferenceSTIR, reference_loss
from spike_zoo.methods.stir import STIR
from tests.methods.stir.conftest import STIRGolden


@pytest.fixture(scope="module")
def reference(official_network: STIR) -> ReferenceSTIR:
    network = ReferenceSTIR()
    network.load_state_dict(official_network.state_dict(), strict=True)
    return network.eval()


@pytest.mark.parametrize("case", ["case_a", "case_b"])
def test_the_reference_gives_the_published_images(
    case: str, reference: ReferenceSTIR, stir_golden: STIRGolden
) -> None:
    with torch.no_grad():
        image = reference(stir_golden.spikes(case))
    expected = stir_golden.tensor(f"{case}/image")
    torch.testing.assert_close(image, expected, rtol=0.0, atol=1e-5)


def test_the_reference_gives_the_published_training_loss(
    official_weights: dict[str, Tensor], stir_golden: STIRGolden
) -> None:
    network = ReferenceSTIR()
    network.load_state_dict(STIR.from_official(official_weights).state_dict())
    network.train()
    target = stir_golden.tensor("train/ground_truth").float()
    total = reference_loss(network.images(stir_golden.spikes("case_a")), target)
    expected = float(stir_golden.arrays["train/loss_rec_msc"].sum())
    assert total.item() == pytest.approx(expected, rel=1e-5)
