"""Tests of STIR and of the benchmarks' reference against the published implementation."""

import copy

import numpy as np
import pytest
import torch

from benchmarks.stir_reference import ReferenceSTIR, reference_loss
from spike_zoo.methods.stir import STIR, STIRLossOptions
from spike_zoo.methods.stir.losses import STIRLoss
from spike_zoo.methods.stir.network import STIRPyramid
from spike_zoo.methods.stir.official import to_official
from tests.helpers.golden import assert_near
from tests.methods.stir.conftest import STIRGolden

IMAGE_TOLERANCE = 1e-5
FEATURE_TOLERANCE = 4e-5  # float32 resolution of features, which exceed 10
FLOW_TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def pyramids(official_network: STIR, stir_golden: STIRGolden) -> dict[str, STIRPyramid]:
    with torch.no_grad():
        return {
            case: official_network.pyramid(stir_golden.spikes(case))
            for case in ("case_a", "case_b")
        }


@pytest.mark.parametrize("case", ["case_a", "case_b"])
def test_image_agrees_to_1e_13_in_double_precision(
    case: str, official_network: STIR, stir_golden: STIRGolden
) -> None:
    network = copy.deepcopy(official_network).double()
    with torch.no_grad():
        image = network(stir_golden.spikes(case).double())
    assert_near(image, stir_golden.tensor(f"{case}/image_f64"), 1e-13)


def test_odd_size_is_padded_and_cropped_as_published(
    official_network: STIR, stir_golden: STIRGolden
) -> None:
    with torch.no_grad():
        image = official_network(stir_golden.spikes("case_pad", width=90))
    assert_near(image, stir_golden.tensor("case_pad/image"), IMAGE_TOLERANCE)


@pytest.mark.parametrize("case", ["case_a", "case_b"])
@pytest.mark.parametrize("level", [1, 2, 3, 4, 5])
def test_image_and_flows_of_every_level_agree(
    case: str, level: int, pyramids: dict[str, STIRPyramid], stir_golden: STIRGolden
) -> None:
    ours, prefix = pyramids[case].levels[level], f"{case}/level{level}"
    assert_near(ours.image, stir_golden.tensor(f"{prefix}/image_raw"), IMAGE_TOLERANCE)
    for name, flow in (("upflow", ours.upflow), ("flow", ours.flow)):
        stored = f"{prefix}/{name}_to_t0" in stir_golden.arrays
        assert stored == (flow is not None)
        if flow is not None:
            theirs = [stir_golden.tensor(f"{prefix}/{name}_to_t{side}") for side in (0, 2)]
            assert_near(flow, torch.cat(theirs, dim=1), FLOW_TOLERANCE)


def test_extra_flow_fields_agree(pyramids: dict[str, STIRPyramid], stir_golden: STIRGolden) -> None:
    extra = pyramids["case_a"].levels[1].extra_flow
    assert extra is not None
    assert_near(extra, stir_golden.tensor("case_a/level1/upflow_group"), FLOW_TOLERANCE)


def test_training_pass_agrees_in_losses_gradients_and_statistics(
    official_network: STIR, stir_golden: STIRGolden
) -> None:
    network = copy.deepcopy(official_network).train()
    target = stir_golden.tensor("train/ground_truth").float()
    pyramid = network.pyramid(stir_golden.spikes("case_a"))
    terms = STIRLoss(STIRLossOptions(clamp=True))(pyramid, target)
    terms["total"].backward()

    assert_near(pyramid.image, stir_golden.tensor("train/image"), IMAGE_TOLERANCE)
    losses = [terms["reconstruction"].item(), terms["multi_scale"].item()]
    np.testing.assert_allclose(losses, stir_golden.arrays["train/loss_rec_msc"], rtol=1e-5)
    assert _wrong_gradients(network, stir_golden) == []
    for name, value in to_official(dict(network.named_buffers())).items():
        torch.testing.assert_close(value, stir_golden.tensor(f"train/after/{name}"))


def _wrong_gradients(network: STIR, stir_golden: STIRGolden) -> list[str]:
    grads = {n: p.grad for n, p in network.named_parameters() if p.grad is not None}
    norms = {name: grad.double().norm().item() for name, grad in to_official(grads).items()}
    # Exactly zero in theory: a batch norm follows, so the stored values are rounding noise.
    noise = {"resnet.conv1.bias", "resnet.conv2.bias"}
    names = stir_golden.meta["parameter_names"]
    expected = dict(zip(names, stir_golden.arrays["train/grad_norm"].tolist(), strict=True))
    assert set(norms) == set(expected)
    return [
        name
        for name, norm in expected.items()
        if name not in noise and abs(norms[name] - norm) >= 5e-3 * norm + 1e-6
    ]


@pytest.fixture(scope="module")
def reference(official_network: STIR) -> ReferenceSTIR:
    network = ReferenceSTIR()
    network.load_state_dict(official_network.state_dict(), strict=True)
    return network


@pytest.mark.parametrize("case", ["case_a", "case_b"])
def test_the_reference_gives_the_published_images(
    case: str, reference: ReferenceSTIR, stir_golden: STIRGolden
) -> None:
    with torch.no_grad():
        image = reference.eval()(stir_golden.spikes(case))
    assert_near(image, stir_golden.tensor(f"{case}/image"), IMAGE_TOLERANCE)


def test_the_reference_gives_the_published_training_loss(
    reference: ReferenceSTIR, stir_golden: STIRGolden
) -> None:
    network = copy.deepcopy(reference).train()
    target = stir_golden.tensor("train/ground_truth").float()
    total = reference_loss(network.images(stir_golden.spikes("case_a")), target)
    expected = float(stir_golden.arrays["train/loss_rec_msc"].sum())
    assert total.item() == pytest.approx(expected, rel=1e-5)
