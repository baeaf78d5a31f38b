"""Timed calls of SCI: deformable convolutions with the sizes of its analysis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from unittest import mock

import numpy as np
import torch

from benchmarks.sci_reference import reference_deform_conv2d
from spike_zoo.methods.sci import FAM, FEM, SCICodecModule
from spike_zoo.methods.sci.analysis import alignment
from spike_zoo.methods.sci.training.options import NetworkOptions
from spike_zoo.nn.deformable import deform_conv2d
from spike_zoo.spikes import SpikeRecording

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from spike_zoo.methods.sci import SCICodec

GROUPS, TAPS, REACH = 8, 9, 10.0  # the paper's groups; no offset is longer, in pixels
Who = Literal["ours", "reference"]


def arguments(batch: int, channels: int, side: int) -> list[Tensor]:
    """Return random input, offset, weight, bias and mask that require gradients."""
    generator = torch.Generator().manual_seed(0)

    def draw(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator)

    created = [
        draw(batch, channels, side, side),
        REACH * torch.tanh(draw(batch, 2 * GROUPS * TAPS, side, side) * (2.0 / REACH)),
        draw(channels, channels, 3, 3) / (3 * channels**0.5),
        draw(channels),
        2.0 * torch.sigmoid(draw(batch, GROUPS * TAPS, side, side)),
    ]
    return [tensor.requires_grad_() for tensor in created]


def convolved(who: Who, tensors: list[Tensor]) -> Tensor:
    """Return a deformable convolution of :func:`arguments`."""
    if who == "reference":
        return reference_deform_conv2d(*tensors)
    return deform_conv2d(*tensors[:4], mask=tensors[4])


def image(who: Who, channels: int, side: int) -> Callable[[], Tensor]:
    """Return a convolution of one image without gradients."""
    tensors = arguments(1, channels, side)

    def run() -> Tensor:
        with torch.inference_mode():
            return convolved(who, tensors)

    return run


def forward_and_backward(who: Who, batch: int, channels: int, side: int) -> Callable[[], object]:
    """Return a convolution and all its gradients."""
    tensors = arguments(batch, channels, side)
    gradient = torch.ones(batch, channels, side, side)

    def run() -> object:
        return torch.autograd.grad(convolved(who, tensors), tensors, gradient)

    return run


def extraction_step(width: float, batch: int, side: int) -> Callable[[], object]:
    """Return a training step of FEM without the optimiser."""
    fem, planes = FEM(width), torch.zeros(batch, 13, side, side)
    return lambda: fem(planes).mean().backward()


def analysis_step(who: Who, width: float, targets: int, side: int) -> Callable[[], object]:
    """Return a training step of FAM without the optimiser and the frozen parts."""
    fam = FAM(width=width)
    features = torch.rand(targets, 5, 3, side, side)
    motions = torch.zeros(targets, 4, 2, side, side)
    theirs = {"ours": deform_conv2d, "reference": _with_a_sampler_each}[who]

    def run() -> None:
        with mock.patch.object(alignment, "deform_conv2d", theirs):
            fam(features, motions).mean().backward()

    return run


def _with_a_sampler_each(
    x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor, *, padding: int, mask: Tensor
) -> Tensor:
    return reference_deform_conv2d(x, offset, weight, bias, mask)


def untrained_codec() -> SCICodec:
    """Return a codec with the layer sizes of sci_joint and random weights."""
    torch.manual_seed(0)
    module = SCICodecModule(networks=NetworkOptions(fem_width=0.5, codec_width=0.25)).eval()
    module.codec.update_tables()
    return module.codec


def noise(planes: int, height: int, width: int) -> SpikeRecording:
    """Return a random recording."""
    spikes = np.random.default_rng(0).random((planes, height, width)) < 0.3
    return SpikeRecording.from_planes(spikes, fps=20000)
