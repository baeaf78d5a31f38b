"""Tests of S-SDM and of the benchmarks' reference against the published implementation."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.ssdm_reference import (
    ReferenceBSN,
    ReferenceEDSR,
    ReferenceLDN,
    reference_labels,
    reference_loss,
    reference_sequence,
)
from spike_zoo.methods.ssdm import BSN, EDSR, LDN, spike_guided_deblur
from spike_zoo.methods.ssdm.losses import (
    DistillationLoss,
    LPIPSDistance,
    denoising_loss,
    make_distance,
    upsampling_loss,
)
from spike_zoo.methods.ssdm.sdm import mean_rate
from tests.helpers.golden import Golden, assert_near, outputs_of

LDN_TOLERANCE = 2e-5
DEEP_TOLERANCE = 1e-4
TIMES = [20, 44, 68, 92, 116]


def window(spikes: Tensor, center: int, length: int = 21) -> Tensor:
    return spikes[:, center - length // 2 : center + length // 2 + 1]


def test_student_agrees_with_the_published_student_at_several_times(
    official_ldn: LDN, ssdm_golden: Golden
) -> None:
    blur, spikes = ssdm_golden.tensor("ldn.blur"), ssdm_golden.spikes("ldn.spike")
    for number, time in enumerate(ssdm_golden.arrays["ldn.times"].tolist()):
        with torch.no_grad():
            image = official_ldn(blur, window(spikes, time))
        assert_near(image, ssdm_golden.tensor("ldn.out")[number], LDN_TOLERANCE)


def test_student_with_varying_channel_attention_agrees(
    ldn_weights: dict[str, Tensor], ssdm_golden: Golden
) -> None:
    network = LDN.from_official(ldn_weights)
    blur = ssdm_golden.tensor("ldn.blur")[:, :, :64, :96]
    spikes = window(ssdm_golden.spikes("ldn.spike")[:, :, :16, :24], 68)
    with outputs_of(ca=network.ca) as outputs, torch.no_grad():
        image = network(blur, spikes)
    assert outputs["ca"].std() > 0.01
    assert_near(outputs["ca"], ssdm_golden.tensor("ldn.dim21.ca"), LDN_TOLERANCE)
    assert_near(image, ssdm_golden.tensor("ldn.dim21.out"), LDN_TOLERANCE)


@pytest.mark.parametrize("case", ["bsn.odd0", "bsn.odd1", "bsn.small"])
def test_denoiser_agrees_on_square_and_other_sizes(
    case: str, bsn: BSN, ssdm_golden: Golden
) -> None:
    with torch.no_grad():
        image = bsn(ssdm_golden.tensor(f"{case}.in"))
    assert_near(image, ssdm_golden.tensor(f"{case}.out"), DEEP_TOLERANCE)


def test_the_upsampling_network_agrees(edsr: EDSR, ssdm_golden: Golden) -> None:
    with torch.no_grad():
        image = edsr(ssdm_golden.tensor("sr.small.in"))
    assert_near(image, ssdm_golden.tensor("sr.small.out"), DEEP_TOLERANCE)


def test_deblurring_model_agrees_also_at_dark_pixels(ssdm_golden: Golden) -> None:
    inputs = [ssdm_golden.tensor(f"sdm.{name}") for name in ("blur", "long", "short")]
    assert (inputs[1] == 0).any()
    assert_near(spike_guided_deblur(*inputs), ssdm_golden.tensor("sdm.out_unclipped"), 1e-6)


def test_every_step_of_the_teacher_agrees(bsn: BSN, edsr: EDSR, ssdm_golden: Golden) -> None:
    spikes = ssdm_golden.spikes("teacher.spike")
    long = mean_rate(spikes, 20, 117)
    short = torch.stack([mean_rate(spikes, time - 4, time + 5) for time in TIMES])
    assert_near(long, ssdm_golden.tensor("teacher.tfp_long"), 1e-6)
    assert_near(short, ssdm_golden.tensor("teacher.tfp_short"), 1e-6)
    with torch.no_grad():
        denoised = bsn(short.flatten(0, 1))
        enlarged = edsr(denoised.clamp(0, 1))
        enlarged_long = edsr(long)
    for ours, key in (
        (denoised.unflatten(0, (5, -1)), "teacher.bsn_raw"),
        (enlarged.unflatten(0, (5, -1)), "teacher.sr_short_raw"),
        (enlarged_long, "teacher.sr_long_raw"),
    ):
        assert_near(ours, ssdm_golden.tensor(key), DEEP_TOLERANCE)


def test_perceptual_distance_agrees_with_the_library(vgg_path: Path, ssdm_golden: Golden) -> None:
    distance = LPIPSDistance(vgg_path)
    first = ssdm_golden.tensor("teacher.blur")[:1, :, :64, :64]
    second = ssdm_golden.tensor("teacher.sdm")[0, :1, :, :64, :64]
    expected = ssdm_golden.tensor("lpips.self_check")
    torch.testing.assert_close(distance(first, second), expected, rtol=1e-5, atol=0.0)
    for level in range(5):
        assert_near(distance.heads[level].flatten(), ssdm_golden.tensor(f"lpips.lin{level}"), 0.0)


@pytest.mark.slow
def test_distillation_agrees_in_terms_and_gradients(
    official_ldn: LDN, vgg_path: Path, ssdm_golden: Golden
) -> None:
    network = copy.deepcopy(official_ldn).train()
    blur, spikes = ssdm_golden.tensor("teacher.blur"), ssdm_golden.spikes("teacher.spike")
    windows = torch.stack([window(spikes, time) for time in TIMES])
    predictions = network.decode(network.encode_blur(blur), windows)
    labels = ssdm_golden.tensor("teacher.sdm")
    distance = LPIPSDistance(vgg_path)
    terms = DistillationLoss(distance)(blur, labels, predictions)
    terms["total"].backward()

    with torch.no_grad():
        distances = distance(labels.flatten(0, 1), predictions.clamp(0, 1).flatten(0, 1))
    expected = ssdm_golden.tensor("loss.lpips")
    torch.testing.assert_close(distances.view(5, 2), expected, rtol=1e-4, atol=0.0)
    for name, key in (("teacher", "tea"), ("reblur", "reblur_mse"), ("total", "total")):
        assert terms[name].item() == pytest.approx(ssdm_golden.number(f"loss.{key}"), rel=1e-4)
    gradients = dict(network.named_parameters())
    names = ssdm_golden.meta["loss_grad_names"]
    assert set(names) == set(gradients)
    ours = [gradients[name].grad.double() for name in names]  # type: ignore[union-attr]  # all have one
    norms, sums = [grad.norm().item() for grad in ours], [grad.sum().item() for grad in ours]
    norm, total = ssdm_golden.arrays["loss.grad_norm"], ssdm_golden.arrays["loss.grad_sum"]
    np.testing.assert_allclose(norms, norm, rtol=1e-3, atol=1e-7)
    # gradients cancel in a sum: the error is relative to their norm
    np.testing.assert_array_less(np.abs(sums - total), 1e-3 * norm + 1e-7)


def test_denoising_loss_and_gradients_agree(bsn: BSN, ssdm_golden: Golden) -> None:
    network = copy.deepcopy(bsn).train()
    rates = ssdm_golden.tensor("teacher.tfp_short")[2]
    loss = denoising_loss(rates, network(rates))
    assert_loss_and_gradients(loss, network, ssdm_golden, "loss.bsn")


def test_upsampling_loss_and_gradients_agree(edsr: EDSR, ssdm_golden: Golden) -> None:
    network = copy.deepcopy(edsr).train()
    enlarged = network(ssdm_golden.tensor("teacher.tfp_long"))
    loss = upsampling_loss(enlarged, ssdm_golden.tensor("teacher.blur").flip(1))
    assert_loss_and_gradients(loss, network, ssdm_golden, "loss.sr")


def assert_loss_and_gradients(loss: Tensor, network: nn.Module, golden: Golden, key: str) -> None:
    loss.backward()
    assert loss.item() == pytest.approx(golden.number(key), rel=1e-4)
    trained = [value for value in network.parameters() if value.requires_grad]
    norms = [value.grad.double().norm().item() for value in trained if value.grad is not None]
    np.testing.assert_allclose(norms, golden.arrays[f"{key}_grad_norm"], rtol=1e-3)


def test_the_reference_student_gives_the_published_images(
    official_ldn: LDN, ssdm_golden: Golden
) -> None:
    network = ReferenceLDN()
    network.load_state_dict(official_ldn.state_dict(), strict=True)
    blur, spikes = ssdm_golden.tensor("ldn.blur"), ssdm_golden.spikes("ldn.spike")
    with torch.no_grad():
        images = reference_sequence(network, blur, spikes, ssdm_golden.arrays["ldn.times"].tolist())
    torch.testing.assert_close(images, ssdm_golden.tensor("ldn.out"), rtol=0.0, atol=2e-5)


def test_the_reference_teacher_gives_the_published_steps(
    bsn_weights: dict[str, Tensor], sr_weights: dict[str, Tensor], ssdm_golden: Golden
) -> None:
    bsn, edsr = ReferenceBSN(), ReferenceEDSR()
    bsn.load_state_dict(bsn_weights, strict=True)
    edsr.load_state_dict(edsr.state_dict() | sr_weights, strict=True)
    blur, spikes = ssdm_golden.tensor("teacher.blur"), ssdm_golden.spikes("teacher.spike")
    with torch.no_grad():
        small = bsn(ssdm_golden.tensor("bsn.small.in"))
        long = edsr(ssdm_golden.tensor("teacher.tfp_long"))
    torch.testing.assert_close(small, ssdm_golden.tensor("bsn.small.out"), rtol=0.0, atol=1e-4)
    expected = ssdm_golden.tensor("teacher.sr_long_raw")
    torch.testing.assert_close(long, expected, rtol=0.0, atol=1e-4)
    side = min(spikes.shape[-2:])  # the reference takes square images
    with torch.no_grad():
        images = reference_labels(
            bsn, edsr, blur[..., : 4 * side, : 4 * side], spikes[..., :side, :side], [44, 68]
        )
    assert images.shape == (2, 2, 3, 4 * side, 4 * side)


def test_the_reference_loss_equals_the_package() -> None:
    blur, labels = torch.rand(2, 3, 8, 8), torch.rand(5, 2, 3, 8, 8)
    predictions = 2 * torch.rand(5, 2, 3, 8, 8) - 0.5
    ours = DistillationLoss(make_distance("charbonnier"), 1.0, 25.0)(blur, labels, predictions)
    reference = reference_loss(blur, labels, predictions, 25.0)
    assert reference.item() == pytest.approx(ours["total"].item(), rel=1e-5)
