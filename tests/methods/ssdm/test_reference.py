"""The reference that benchmarks hold S-SDM against is itself the published one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmarks.ssdm_reference import (
    ReferenceBSN,
    ReferenceEDSR,
    ReferenceLDN,
    reference_labels,
    reference_loss,
    reference_sequence,
)
from spike_zoo.methods.ssdm import LDN, DistillationLoss, make_distance
from tests.methods.ssdm.conftest import Golden


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
    wanted = ssdm_golden.tensor("teacher.sr_long_raw")
    torch.testing.assert_close(long, wanted, rtol=0.0, atol=1e-4)
    side = min(spikes.shape[-2:])  # the reference takes square images
    with torch.no_grad():
        images = reference_labels(
            bsn, edsr, blur[..., : 4 * side, : 4 * side], spikes[..., :side, :side], [44, 68]
        )
    assert images.shape == (2, 2, 3, 4 * side, 4 * side)


def test_the_reference_loss_is_ours() -> None:
    blur, labels = torch.rand(2, 3, 8, 8), torch.rand(5, 2, 3, 8, 8)
    predictions = 2 * torch.rand(5, 2, 3, 8, 8) - 0.5
    ours = DistillationLoss(make_distance("charbonnier"), 1.0, 25.0)(blur, labels, predictions)
    reference = reference_loss(blur, labels, predictions, 25.0)
    assert reference.item() == pytest.approx(ours["total"].item(), rel=1e-5)
