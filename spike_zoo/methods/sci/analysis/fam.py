"""Feature analysis module (FAM): image reconstruction from five features."""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from spike_zoo.methods.sci.analysis.alignment import Align, Alignment
from spike_zoo.methods.sci.features.blocks import (
    FEATURES,
    check_width,
    conv3,
    residual_blocks,
    scale_channels,
    scale_repeats,
)
from spike_zoo.methods.sci.features.fem import NEIGHBOURS_PER_SIDE
from spike_zoo.methods.sci.features.motion_estimation import chain_flows
from spike_zoo.nn.fast.layout import join_channels, set_memory_format
from spike_zoo.nn.options import check_choice
from spike_zoo.nn.padding import crop_padding, pad_to_multiple

NEIGHBOURS = (0, 2, 4)
AROUND = (0, 1, 3, 4)  # indexes of the neighbours in the five features
NEAREST = (1, 3)
CENTRE = 2
_MULTIPLE = 4  # H and W are padded to multiples


class FAMOutput(NamedTuple):
    """Outputs of FAM, ``(B, 1, H, W)`` each, not clamped."""

    image: Tensor
    previous: Tensor  # preliminary image of the previous branch
    following: Tensor  # preliminary image of the subsequent branch


class FAM(nn.Module):
    """Reconstruct an image from its feature, four neighbouring features and the motion to them.

    Neighbours are aligned to the centre. The previous and the subsequent neighbours are regressed
    separately, each branch to a preliminary image, and then fused. The mean of the centre's feature
    over its channels is added to all images.

    Args:
        align: See :class:`Alignment`.
        neighbors: Number of neighbours used: 4, the nearest 2, or 0. The centre replaces the
            others.
        width: Multiplier of channels and block counts; 1 is the paper's.

    Shape:
        - features: ``(B, 5, 3, H, W)`` at t-2 .. t+2, any H and W.
        - motions: ``(B, 4, 2, H, W)`` in pixels, from t to t-2, t-1, t+1, t+2.
        - Output: ``(B, 1, H, W)``, not clamped.

    Source: Sec. IV-C of the paper: alignment by AFR, previous and subsequent branches, preliminary
    results, fusion. The skip connection from the feature's mean is ours.
    """

    def __init__(self, align: Align = "afr", neighbors: int = 4, width: float = 1.0) -> None:
        super().__init__()
        channels = _checked(align, neighbors, width)
        self.neighbors = neighbors
        self.embed = conv3(FEATURES, channels)
        self.alignment = Alignment(align, channels, scale_repeats(5, width))
        self.regress = nn.Sequential(
            conv3(3 * channels, channels),
            nn.ReLU(),
            residual_blocks(channels, scale_repeats(10, width)),
        )
        self.preliminary = conv3(channels, 1)
        self.fuse = nn.Sequential(
            conv3(2 * channels + 2, channels),
            nn.ReLU(),
            residual_blocks(channels, scale_repeats(15, width)),
            conv3(channels, channels),
            nn.ReLU(),
            conv3(channels, 1),
        )
        set_memory_format(self, torch.channels_last)

    def forward(self, features: Tensor, motions: Tensor) -> Tensor:
        """Reconstruct the image at t."""
        return self.branches(features, motions).image

    def branches(self, features: Tensor, motions: Tensor) -> FAMOutput:
        """Return the image at t and the preliminary images."""
        size = _checked_size(features, motions)
        features, motions = _padded(features), _padded(motions)
        embedded = self.embed(features.flatten(0, 1)).unflatten(0, features.shape[:2])
        far_before, before, after, far_after = align_neighbours(
            self.alignment, embedded, motions, self.neighbors
        ).unbind(1)
        centre, mean = embedded[:, CENTRE], features[:, CENTRE].mean(dim=1, keepdim=True)
        regress, fuse = (cast("nn.Conv2d", layers[0]) for layers in (self.regress, self.fuse))
        previous = self.regress(join_channels([far_before, before, centre], regress))
        following = self.regress(join_channels([centre, after, far_after], regress))
        images = [self.preliminary(branch) + mean for branch in (previous, following)]
        image = self.fuse(join_channels([previous, following, *images], fuse)) + mean
        return FAMOutput(*(crop_padding(output, *size) for output in (image, *images)))


def align_neighbours(
    alignment: Alignment, embedded: Tensor, motions: Tensor, neighbors: int
) -> Tensor:
    """Align the neighbours that are used; the centre replaces the others.

    ``(B, 5, C, H, W)`` and motions ``(B, 4, 2, H, W)`` from the centre -> ``(B, 4, C, H, W)``.
    """
    centre = embedded[:, CENTRE : CENTRE + 1]
    if not neighbors:
        return centre.expand(-1, 4, -1, -1, -1)
    indices = AROUND if neighbors == 4 else NEAREST
    pairs = [AROUND.index(index) for index in indices]
    parts = embedded[:, indices], centre.expand(-1, len(indices), -1, -1, -1), motions[:, pairs]
    outputs = alignment(*(part.flatten(0, 1) for part in parts)).unflatten(0, (-1, len(indices)))
    if neighbors == 4:
        return outputs
    return torch.cat([centre, outputs, centre], dim=1)


def _checked(align: str, neighbors: int, width: float) -> int:
    """Check the arguments' ranges and return the channels of an embedded feature."""
    check_width("fam_width", width)
    check_choice("align", align, Align)
    if neighbors not in NEIGHBOURS:
        raise ValueError(f"neighbors must be one of {NEIGHBOURS}, got {neighbors}")
    return scale_channels(64, width)


def _checked_size(features: Tensor, motions: Tensor) -> tuple[int, int]:
    batch, height, width = features.shape[0], *features.shape[-2:]
    expected = (batch, 5, FEATURES, height, width), (batch, 4, 2, height, width)
    if (tuple(features.shape), tuple(motions.shape)) != expected:
        raise ValueError(
            f"FAM takes features {expected[0]} and motions {expected[1]}, got "
            f"{tuple(features.shape)} and {tuple(motions.shape)}"
        )
    return height, width


def _padded(frames: Tensor) -> Tensor:
    """Pad H and W of ``(B, n, C, H, W)`` to multiples of 4 by replication."""
    return pad_to_multiple(frames.flatten(0, 1), _MULTIPLE).unflatten(0, frames.shape[:2])


class AnalysisInput(NamedTuple):
    """Input of an analysis module."""

    features: Tensor  # (B, 5, 3, H, W) at t-2 .. t+2
    motions: Tensor  # (B, 4, 2, H, W) in pixels, from t to t-2, t-1, t+1, t+2


def gather_analysis_input(features: Tensor, motion: Tensor, target: int) -> AnalysisInput:
    """Return the five features around a target, and the motion from the target to the others.

    A missing neighbour is replaced by the nearest feature, with the motion to it. Features are
    ``(B, n, 3, H, W)``, motion is ``(B, n, 2, H, W)`` from each feature to the previous one.
    """
    last = features.shape[1] - 1
    offsets = range(-NEIGHBOURS_PER_SIDE, NEIGHBOURS_PER_SIDE + 1)
    around = [min(max(target + offset, 0), last) for offset in offsets]
    steps = [target + offset for offset in offsets[1:]]
    zero = torch.zeros_like(motion[:, 0])
    motions = [motion[:, step] if 0 < step <= last else zero for step in steps]
    return AnalysisInput(features[:, around], chain_flows(motions))
