"""The SSMT network: reconstruction of clips with memory of the previous image and flow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.errors import ConfigError
from spike_zoo.methods.classical.functional import tfi_video
from spike_zoo.methods.ssmt.motion import CLIP_PLANES, MotionNetwork, MotionSize
from spike_zoo.nn.deformable import deform_conv2d
from spike_zoo.nn.options import check_choice
from spike_zoo.nn.warp import warp
from spike_zoo.tasks.batch import SceneBatch

STRIDE: Final = 20
"""Distance in planes between consecutive clips."""

Alignment = Literal["intervals", "features", "none"]
MotionInput = Literal["intervals", "spikes"]


def clip_intervals(spikes: Tensor) -> Tensor:
    """Return the inter-spike interval at every plane of clips (eqs. 2 to 4).

    The interval is the next spike at the plane or later minus the last spike before the plane, in
    planes. If the clip has no such spike, a spike just outside of the clip is assumed.

    Args:
        spikes: ``(B, T, H, W)``, not 0 means a spike.

    Returns:
        float32 ``(B, T, H, W)``, 1 to T + 1.
    """
    return 1 / tfi_video(spikes, convention="backward", missing="bound")


class ResidualUnit(nn.Module):
    """Residual unit ``x + conv(relu(conv(x)))`` with 3 x 3 convolutions.

    Args:
        channels: Channels of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape, ``(B, C, H, W)``."""
        return x + self.second(F.relu(self.first(x)))


def _memory_encoder(width: int, blocks: int) -> nn.Sequential:
    """Return the encoder from the previous image to a correction, ``(B, 1, H, W)`` each."""
    first, last = nn.Conv2d(1, width, 3, padding=1), nn.Conv2d(width, 1, 3, padding=1)
    return nn.Sequential(first, nn.ReLU(), *_units(width, blocks), _start_small(last))


def _units(channels: int, count: int) -> list[nn.Module]:
    return [ResidualUnit(channels) for _ in range(count)]


def _start_small(layer: nn.Conv2d) -> nn.Conv2d:
    """Initialise a convolution near zero, so that gradients are not zero, and return it."""
    nn.init.normal_(layer.weight, std=1e-3)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


class IntervalAlignment(nn.Module):
    """Align features of an outer sub-clip with those of the middle one (SIA, eqs. 5 and 6).

    Offsets and masks of a deformable convolution are predicted from both features and, if
    ``with_intervals``, from the intervals at the middle planes of both sub-clips.

    Args:
        channels: Channels of the features.
        groups: Groups of channels; each has separate offsets.
        with_intervals: Whether intervals are part of the input.

    Raises:
        ValueError: If ``channels`` is not a multiple of ``groups``.
    """

    def __init__(self, channels: int, groups: int, *, with_intervals: bool) -> None:
        super().__init__()
        if channels % groups:
            raise ValueError(f"width {channels} is no multiple of deformable_groups {groups}")
        self.with_intervals = with_intervals
        inputs = 2 * channels + 2 * with_intervals
        self.offset = _predictor(inputs, channels, 18 * groups)
        self.mask = _predictor(inputs, channels, 9 * groups)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, outer: Tensor, middle: Tensor, intervals: Tensor) -> Tensor:
        """Return the outer features aligned to the middle features, ``(B, C, H, W)`` each.

        Outer features are those of the first or last sub-clip. ``intervals`` are the scaled
        intervals at the middle planes of the outer and of the middle sub-clip, ``(B, 2, H, W)``.
        """
        parts = (outer, middle, intervals) if self.with_intervals else (outer, middle)
        x = torch.cat(parts, dim=1)
        offset, mask = self.offset(x), self.mask(x).sigmoid()
        return deform_conv2d(outer, offset, self.conv.weight, self.conv.bias, padding=1, mask=mask)


def _predictor(inputs: int, channels: int, outputs: int) -> nn.Sequential:
    last = _start_small(nn.Conv2d(channels, outputs, 3, padding=1))
    return nn.Sequential(nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU(), last)


class ClipState(NamedTuple):
    """Memory of a clip for the reconstruction of the next clip."""

    image: Tensor  #: image of the clip, ``(B, 1, H, W)`` in [0, 1]
    #: low-resolution flow to the previous clip, ``(B, 2, h, w)``; None for the first clip and
    #: without RAFT
    flow: Tensor | None = None
    #: features for the correlation, ``(B, F, h, w)``; None without RAFT
    features: Tensor | None = None


@dataclass(frozen=True)
class SSMTOptions:
    """Switches and sizes of :class:`SSMT`. The defaults are the published network.

    Attributes:
        encoder_blocks: Residual units of the encoder.
        decoder_blocks: Residual units of the decoder.
        memory_blocks: Residual units of the encoder of the warped image.
        subclips: Sub-clips that a clip is divided into: 3 (as published) or 1.
        subclip_length: Planes of each of 3 sub-clips, odd, 13 to 41; with 13, two planes of the
            clip are not used.
        alignment: Input of the alignment of the outer sub-clips: ``"intervals"`` and features (as
            published), ``"features"``, or ``"none"`` for no alignment.
        deformable_groups: Groups of channels; each has separate offsets.
        intensity_memory: Whether the previous image is used.
        warp_memory: Whether the previous image is warped by the optical flow; False is not in the
            paper.
        motion_memory: Whether the flow is initialised by the previous flow.
        motion_input: Input of the flow estimation: ``"intervals"`` or ``"spikes"``.
        motion_size: Size of RAFT; this and the next two as in :class:`MotionNetwork`.
        motion_updates: Iterations of the flow.
        correlation_levels: Levels of the correlation pyramid.

    Raises:
        ValueError: If an option is outside its range.
    """

    encoder_blocks: int = 4
    decoder_blocks: int = 8
    memory_blocks: int = 4
    subclips: int = 3
    subclip_length: int = 15
    alignment: Alignment = "intervals"
    deformable_groups: int = 8
    intensity_memory: bool = True
    warp_memory: bool = True
    motion_memory: bool = True
    motion_input: MotionInput = "intervals"
    motion_size: MotionSize = "large"
    motion_updates: int = 8
    correlation_levels: int = 4

    def __post_init__(self) -> None:
        if self.subclips not in (1, 3):
            raise ValueError(f"subclips must be 1 or 3, got {self.subclips}")
        if not 13 <= self.subclip_length <= CLIP_PLANES or self.subclip_length % 2 == 0:
            raise ValueError(
                f"subclip_length must be odd, 13 to {CLIP_PLANES}, got {self.subclip_length}"
            )
        check_choice("alignment", self.alignment, Alignment)
        check_choice("motion_input", self.motion_input, MotionInput)
        blocks = self.encoder_blocks, self.decoder_blocks, self.memory_blocks
        if min(blocks) < 0 or self.deformable_groups < 1:
            raise ValueError(
                "encoder_blocks, decoder_blocks and memory_blocks must be 0 or more and "
                f"deformable_groups at least 1, got {blocks} and {self.deformable_groups}"
            )


NETWORK = SSMTOptions()


class SSMT(nn.Module):
    """Spike stream memory transfer: reconstruct clip after clip, 20 planes apart.

    With the defaults it has 1,614,298 parameters without RAFT.

    Args:
        width: Channels of the features.
        options: Switches and sizes.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> options = SSMTOptions(deformable_groups=2, motion_size="small", correlation_levels=2)
        >>> network = SSMT(8, options)
        >>> spikes, scale = torch.rand(1, 41, 17, 33).round(), torch.ones(1)
        >>> image, _ = network(spikes, scale, network.start(spikes, scale))
        >>> image.shape
        torch.Size([1, 1, 17, 33])

    Source: Dong et al., *Spike Stream Memory Transfer for Dynamic Scene Reconstruction*, AAAI 2026.
    """

    def __init__(self, width: int = 64, options: SSMTOptions = NETWORK) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be at least 1, got {width}")
        is_split = options.subclips == 3
        self.length = length = options.subclip_length if is_split else CLIP_PLANES
        rest = CLIP_PLANES - length
        self.starts = (0, rest // 2, rest) if is_split else (0,)
        self.motion_memory, self.motion_input = options.motion_memory, options.motion_input
        layers = nn.Conv2d(length, width, 3, padding=1), nn.ReLU()
        self.encoder = nn.Sequential(*layers, *_units(width, options.encoder_blocks))
        self.alignment = self.memory_encoder = self.motion = None
        if is_split and options.alignment != "none":
            with_intervals, groups = options.alignment == "intervals", options.deformable_groups
            self.alignment = IntervalAlignment(width, groups, with_intervals=with_intervals)
        sizes = (options.subclips * width, width), (width, 1)
        first, last = (nn.Conv2d(*channels, 3, padding=1) for channels in sizes)
        self.decoder = nn.Sequential(first, *_units(width, options.decoder_blocks), last)
        if options.intensity_memory:
            self.memory_encoder = _memory_encoder(width, options.memory_blocks)
            if options.warp_memory:
                motion = options.motion_size, options.motion_updates, options.correlation_levels
                self.motion = MotionNetwork(*motion)

    def start(self, spikes: Tensor, rate_scale: Tensor, image: Tensor | None = None) -> ClipState:
        """Return the state after the first clip.

        Args:
            spikes: The first clip, ``(B, 41, H, W)``, 0 or 1.
            rate_scale: Spikes per plane at white, ``(B,)``.
            image: Image of the first clip, ``(B, 1, H, W)``; by default :meth:`preliminary`.
        """
        if image is None:
            image = self.preliminary(spikes, rate_scale)
        state = ClipState(image.clamp(0, 1))
        if self.motion is None:
            return state
        features = self.motion.features(motion_input_of(self.motion_input, spikes, rate_scale))
        return state._replace(features=features)

    def forward(
        self, spikes: Tensor, rate_scale: Tensor, state: ClipState
    ) -> tuple[Tensor, ClipState]:
        """Return the image of a clip, not clamped, and the state after the clip (eqs. 7 to 9).

        Args:
            spikes: ``(B, 41, H, W)``, 0 or 1.
            rate_scale: Spikes per plane at white, ``(B,)``.
            state: State after the clip 20 planes before.

        Returns:
            Image ``(B, 1, H, W)``, and the state.
        """
        image = self.preliminary(spikes, rate_scale)
        if self.memory_encoder is None:
            return image, ClipState(image.clamp(0, 1))
        memory, following = state.image, ClipState(image)
        if self.motion is not None:
            assert state.features is not None
            planes = motion_input_of(self.motion_input, spikes, rate_scale)
            features = self.motion.features(planes)
            start = state.flow if self.motion_memory else None
            estimate = self.motion(planes, features, state.features, start)
            memory = warp(memory, estimate.flow)
            following = ClipState(image, estimate.coarse.detach(), features)
        image = image + self.memory_encoder(memory)
        return image, following._replace(image=image.clamp(0, 1))

    def preliminary(self, spikes: Tensor, rate_scale: Tensor) -> Tensor:
        """Return the image of a clip without the memory, ``(B, 1, H, W)``, not clamped."""
        scaled = spikes / rate_scale.view(-1, 1, 1, 1)
        parts = [self.encoder(scaled[:, first : first + self.length]) for first in self.starts]
        if self.alignment is not None:
            centres = [first + self.length // 2 for first in self.starts]
            intervals = scaled_intervals(spikes, rate_scale)[:, centres]
            for outer in (0, 2):
                pair = intervals[:, [outer, 1]]
                parts[outer] = self.alignment(parts[outer], parts[1], pair)
        return self.decoder(torch.cat(parts, dim=1))

    def train(self, mode: bool = True) -> SSMT:
        """Set the mode; the motion network stays in evaluation mode."""
        super().train(mode)
        if self.motion is not None:
            self.motion.eval()
        return self


def scaled_intervals(spikes: Tensor, rate_scale: Tensor) -> Tensor:
    """Return intervals times the rate scale over the largest interval T + 1, about [0, 1].

    Spikes are ``(B, T, H, W)``, rate scales, in spikes per plane at white, ``(B,)``.
    """
    scale = rate_scale.view(-1, 1, 1, 1) / (spikes.shape[1] + 1)
    return clip_intervals(spikes) * scale


def motion_input_of(kind: MotionInput, spikes: Tensor, rate_scale: Tensor) -> Tensor:
    """Return the motion network's input ``(B, 41, H, W)``, ``"intervals"`` or ``"spikes"``."""
    if kind == "spikes":
        return spikes / rate_scale.view(-1, 1, 1, 1)
    return scaled_intervals(spikes, rate_scale)


def check_spacing(batch: SceneBatch) -> None:
    """Raise ConfigError unless the images of scenes are 20 planes apart."""
    steps = batch["planes"].diff(dim=1)
    if steps.numel() and not (steps == STRIDE).all():
        raise ConfigError(
            f"SSMT needs scenes with images {STRIDE} planes apart, got "
            f"{int(steps[0, 0])} planes: simulate with --stride {STRIDE}, or set data.stride"
        )
