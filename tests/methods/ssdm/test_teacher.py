"""Tests of the teacher cascade: equal labels for any batching, and options of the ablation."""

import pytest
import torch
from torch import Tensor, nn

from spike_zoo.methods.ssdm import (
    BSN,
    EDSR,
    SSDMTeacher,
    SSDMTeacherModule,
    TeacherOptions,
    spike_guided_deblur,
)
from spike_zoo.methods.ssdm.teacher import images_at_once

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def scene(planes: int = 137, height: int = 8, width: int = 12) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(planes)
    blur = torch.rand(2, 3, 4 * height, 4 * width, generator=generator)
    return blur, torch.rand(2, planes, height, width, generator=generator) < 0.4


@pytest.mark.parametrize("memory", [1e-9, 5e-3])
def test_labels_do_not_depend_on_the_memory_limit(bsn: BSN, edsr: EDSR, memory: float) -> None:
    blur, spikes = scene()
    times = [20, 44, 68, 92, 116]
    labels = SSDMTeacher(bsn, edsr, memory_gib=memory)(blur, spikes, times)
    alone = [SSDMTeacher(bsn, edsr)(blur, spikes, times=[time])[0] for time in times]
    assert not labels.requires_grad
    torch.testing.assert_close(labels, torch.stack(alone), rtol=0.0, atol=1e-5)


def test_without_networks_the_teacher_is_the_deblurring_model_on_upsampled_rates() -> None:
    blur, spikes = scene(planes=40)
    plain = SSDMTeacher(nn.Identity(), nn.Upsample(scale_factor=4, mode="nearest"))
    labels = plain(blur, spikes, times=[5, 20], exposure=(5, 35))
    long, short = spikes[:, 5:35].float().mean(1, True), spikes[:, 16:25].float().mean(1, True)
    enlarged = [rate.repeat_interleave(4, -1).repeat_interleave(4, -2) for rate in (long, short)]
    expected = spike_guided_deblur(blur, *enlarged).clamp(0, 1)
    torch.testing.assert_close(labels[1], expected)


def test_a_still_scene_is_deblurred_to_its_blurry_image() -> None:
    blur = torch.rand(1, 3, 16, 16)
    spikes = torch.ones(1, 60, 4, 4, dtype=torch.bool)
    plain = SSDMTeacher(nn.Identity(), nn.Upsample(scale_factor=4, mode="bilinear"))
    torch.testing.assert_close(plain(blur, spikes, [25, 30]), blur.expand(2, 1, -1, -1, -1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"times": []}, "at least one time"),
        ({"times": [3]}, r"planes -1\.\.8 .first, past the last. are empty or outside"),
        ({"times": [68], "exposure": (100, 140)}, r"planes 100\.\.140"),
    ],
)
def test_times_and_exposures_outside_the_stream_are_rejected(
    arguments: dict[str, object], message: str
) -> None:
    plain = SSDMTeacher(nn.Identity(), nn.Upsample(scale_factor=4))
    with pytest.raises(ValueError, match=message):
        plain(*scene(), **arguments)


@pytest.mark.parametrize("align_input", [False, True])
def test_rate_gain_compensates_another_threshold_in_the_inputs_of_the_networks(
    *, align_input: bool
) -> None:
    """Check rate_gain with twice the threshold, which keeps every other spike."""
    grid = torch.linspace(0.5, 1.0, 96).reshape(1, 1, 8, 12)
    charge = grid * torch.arange(1, 138).reshape(1, -1, 1, 1)
    dense, sparse = (
        (charge / threshold).floor().diff(dim=1, prepend=torch.zeros_like(charge[:, :1])) > 0
        for threshold in (1.0, 2.0)
    )
    network_inputs: list[Tensor] = []
    network = nn.Upsample(scale_factor=4)
    network.register_forward_pre_hook(lambda _, inputs: network_inputs.append(inputs[0]))
    blur = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    for spikes, gain in ((dense, 1.0), (sparse, 2.0), (sparse, 1.0)):
        teacher = SSDMTeacher(
            nn.Identity(), network, align_input=align_input, short_window=45, rate_gain=gain
        )
        teacher(blur, spikes, times=[68])
    long, short, long_gained, short_gained, long_plain, short_plain = network_inputs
    assert (long_gained - long).abs().max() < 0.03
    assert (short_gained - short).abs().max() < 0.1
    assert (long_plain - long).abs().min() > 0.2
    assert (short_plain - short).abs().mean() > 0.2


def test_a_short_window_without_a_middle_is_rejected() -> None:
    with pytest.raises(ValueError, match="short_window must be odd"):
        SSDMTeacher(nn.Identity(), nn.Identity(), short_window=8)


@pytest.mark.parametrize("gain", [0.0, -2.0, float("nan"), float("inf")])
def test_an_invalid_rate_gain_is_rejected_before_files_are_read(gain: float) -> None:
    for make in (TeacherOptions, SSDMTeacherModule):
        with pytest.raises(ValueError, match="rate_gain must be a number above 0, got"):
            make(rate_gain=gain)


def test_the_number_of_images_follows_from_the_memory_limit() -> None:
    assert images_at_once(2**28, 1.0, CPU) == 4
    assert images_at_once(2**28 + 1, 1.0, CPU) == 3
    assert images_at_once(2**40, 1.0, CPU) == 1
    assert images_at_once(2**25, None, GPU) > images_at_once(2**25, None, CPU)


@pytest.mark.parametrize("memory", [0.0, -1.0, float("nan")])
def test_memory_limits_of_0_or_less_are_rejected(memory: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        images_at_once(1, memory, CPU)
