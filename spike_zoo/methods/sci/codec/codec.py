"""SCI itself: spikes to features and motion, those to bits, images or classes; no trainer."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spike_zoo.coding.sci.container import BitstreamReader, BitstreamWriter
from spike_zoo.coding.sci.header import LARGEST_SIDE, MAX_GROUP_PIXELS, MAX_PIXELS, Header
from spike_zoo.errors import ConfigError, PlaneRangeError
from spike_zoo.methods.sci.analysis.fam import FAM, AnalysisInput, ClassFAM, surroundings
from spike_zoo.methods.sci.codec.bitstream import (
    SCIDecoded,
    coding_of,
    decoded_groups,
    digest_of,
    payloads,
    source_of,
    together,
)
from spike_zoo.methods.sci.codec.decoded import (
    Boundary,
    IFrameMotion,
    class_probabilities,
    pictures,
)
from spike_zoo.methods.sci.codec.entropy import LatentEntropy
from spike_zoo.methods.sci.codec.frames import CodecNetworks
from spike_zoo.methods.sci.codec.scale_net import QUALITIES
from spike_zoo.methods.sci.features.feature_stream import FeatureStream
from spike_zoo.methods.sci.features.fem import CLIP, FEM, SMALLEST_SIDE, STEP, WINDOW
from spike_zoo.methods.sci.features.motion_estimation import MotionEstimation
from spike_zoo.nn.eval_mode import eval_mode
from spike_zoo.spikes import SpikeRecording
from spike_zoo.spikes.recording import check_recording

LAMBDAS = (64.0, 128.0, 256.0, 512.0)
"""Weights of the mean square error beside bits at each quality: the paper's codec."""
CAMERA_SCALE = 0.6  # rate scale at which FEM's filters see spikes
_MAX_PIXELS = 2**24


class SCICodec(nn.Module):
    """The networks of SCI and the way of data through them.

    Args:
        fem: Extracts features.
        motion: Estimates the motion between two features; None before its stage.
        fam: Analyses features; None before its stage.
        coding: What codes features; None before stage ``"codec"`` and where nothing is coded.
        scale_input: Whether FEM sees spikes times 0.6 / rate scale, so that a feature is luminance
            whatever the camera. Filters are linear, so a camera adds bits and scales their sums.

    Source: *A Joint Visual Compression and Perception Framework for Neuralmorphic Spiking Camera*,
    Sec. IV and Fig. 3.
    """

    def __init__(
        self,
        fem: FEM,
        motion: MotionEstimation | None = None,
        fam: FAM | ClassFAM | None = None,
        coding: CodecNetworks | None = None,
        *,
        scale_input: bool = True,
    ) -> None:
        super().__init__()
        self.fem = fem
        self.motion = motion
        self.fam = fam
        self.intra = self.inter = self.gains = self.fmvr = None
        if coding is not None:
            self.intra, self.inter, self.gains, self.fmvr = coding
        self.scale_input = scale_input
        self.boundary: Boundary = "sequence"
        self.iframe_motion: IFrameMotion = "zero"
        self.lambdas: Sequence[float] = LAMBDAS

    @property
    def coding(self) -> CodecNetworks | None:
        """What codes features, if anything does."""
        if self.intra is None or self.inter is None or self.gains is None:
            return None
        return CodecNetworks(self.intra, self.inter, self.gains, self.fmvr)

    def features(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Return the feature of every window of a clip, 7 planes apart.

        Args:
            spikes: ``(B, T, H, W)``, 0 or 1, T at least 13.
            rate_scale: Spikes per plane at white, ``(B,)``; by default 1.

        Returns:
            ``(B, n, 3, H, W)`` in (0, 1) with n = (T - 13) // 7 + 1, of planes 6, 13, 20, ...

        Raises:
            ValueError: If spikes are of another rank, empty, or hold more than 0 and 1.
            ConfigError: If there are fewer than 13 planes, or more pixels than 2^24.
        """
        check_spikes(spikes)
        windows = spikes.unfold(1, WINDOW, STEP).permute(0, 1, 4, 2, 3)
        scale = None if rate_scale is None else rate_scale.repeat_interleave(windows.shape[1])
        found = self.feature(windows.flatten(0, 1), scale)
        return found.unflatten(0, windows.shape[:2])

    def feature(self, window: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Return the feature of single windows, ``(B, 13, H, W)`` -> ``(B, 3, H, W)``."""
        planes = window.to(next(self.fem.parameters()).dtype)
        if self.scale_input:
            scale = planes.new_ones(len(planes)) if rate_scale is None else rate_scale.to(planes)
            planes = planes * (CAMERA_SCALE / scale).view(-1, 1, 1, 1)
        return self.fem(planes)

    def moved(self, current: Tensor, reference: Tensor) -> Tensor:
        """Return the backward motion between two features, ``(B, 2, H, W)`` in pixels.

        Raises:
            ConfigError: If this codec estimates none.
        """
        if self.motion is None:
            raise ConfigError("this codec has no motion estimation: it is of stage 'fem'")
        return self.motion(current, reference)

    def links(self, features: Tensor) -> Tensor:
        """Return the backward motion of each feature to the one before it; the first has none.

        Args:
            features: ``(B, n, 3, H, W)``.

        Returns:
            ``(B, n, 2, H, W)`` in pixels, the first zero.
        """
        batch, count, _, height, width = features.shape
        found = features.new_zeros(batch, count, 2, height, width, dtype=torch.float32)
        if count > 1:
            current, reference = features[:, 1:].flatten(0, 1), features[:, :-1].flatten(0, 1)
            found[:, 1:] = self.moved(current, reference).unflatten(0, (batch, count - 1))
        return found

    def analysed(self, spikes: Tensor, rate_scale: Tensor | None = None) -> AnalysisInput:
        """Return what FAM takes of a clip: five features around its middle, and motion to four.

        Args:
            spikes: ``(B, T, H, W)``; where T is below 41 the features at the ends are repeated.
            rate_scale: See :meth:`features`.
        """
        if spikes.shape[1] < CLIP:
            warnings.warn(
                f"{spikes.shape[1]} planes hold fewer than five features ({CLIP} planes); those at "
                "the ends are repeated",
                stacklevel=2,
            )
        features = self.features(spikes, rate_scale)
        return surroundings(features, self.links(features), features.shape[1] // 2)

    def picture(self, feature: Tensor) -> Tensor:
        """Return FEM's own picture, ``(B, 3, H, W)`` -> ``(B, 1, H, W)``: the channels' mean."""
        return feature.mean(dim=1, keepdim=True)

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Return what FAM says of a clip: an image ``(B, 1, H, W)``, or logits ``(B, classes)``.

        Without FAM: the mean of the middle feature over its channels, FEM's own picture.
        """
        if self.fam is None:
            features = self.features(spikes, rate_scale)
            return self.picture(features[:, features.shape[1] // 2])
        return self.fam(*self.analysed(spikes, rate_scale))

    def update_tables(self) -> bytes:
        """Turn all that selects probability tables into integers, once a training is done.

        Returns:
            The digest that bitstreams of these weights carry.
        """
        for module in self.modules():
            if isinstance(module, LatentEntropy):
                module.finalize()
        return digest_of(self)

    def header(
        self,
        recording: SpikeRecording,
        *,
        quality: int = 2,
        gop: int = 8,
        rate_scale: float | None = None,
    ) -> Header:
        """Return what a recording's bitstream begins with; see :meth:`compress`.

        Raises:
            ConfigError: If this codec has no coder, or an argument is outside its range.
            PlaneRangeError: If the recording is too short for one feature.
        """
        check_recording(recording)
        coding_of(self)
        _check_codable(recording, quality, gop)
        planes, height, width = recording.shape
        return Header(
            digest_of(self),
            height,
            width,
            planes,
            quality=quality,
            gop=gop,
            fps=recording.fps or None,
            rate_scale=rate_scale or recording.rate_scale,
            source=source_of(recording),
        )

    def compress_stream(
        self,
        recording: SpikeRecording,
        *,
        quality: int = 2,
        gop: int = 8,
        rate_scale: float | None = None,
    ) -> Iterator[bytes]:
        """Yield the payload of each group of pictures, in memory that does not grow.

        See :meth:`compress`; :class:`spike_zoo.coding.BitstreamWriter` makes a file of them.
        """
        header = self.header(recording, quality=quality, gop=gop, rate_scale=rate_scale)
        with eval_mode(self):
            stream = FeatureStream(self, recording, header.rate_scale or 1.0, kept=0)
            centers = (WINDOW // 2 + STEP * number for number in range(header.frames))
            yield from payloads(self, (stream.feature(center) for center in centers), header)

    def compress(
        self,
        recording: SpikeRecording,
        quality: int = 2,
        gop: int = 8,
        *,
        rate_scale: float | None = None,
    ) -> bytes:
        """Return a recording as a bitstream, see :mod:`spike_zoo.coding.sci.container`.

        Args:
            recording: The spikes.
            quality: 0 (fewest bits) to 3 (best).
            gop: Features of a group of pictures: one I-frame, then P-frames. Groups are decoded
                without each other.
            rate_scale: Spikes per plane at white; by default the recording's, else 1.

        Raises:
            ConfigError: If this codec has no coder, or an argument is outside its range.
            NotFinalizedError: If :meth:`update_tables` was not called.
            PlaneRangeError: If the recording has fewer than 13 planes.
            UsageError: If it is no recording.
        """
        options: dict[str, Any] = {"quality": quality, "gop": gop, "rate_scale": rate_scale}
        target = io.BytesIO()
        with BitstreamWriter(target, self.header(recording, **options)) as writer:
            for payload in self.compress_stream(recording, **options):
                writer.append(payload)
        return target.getvalue()

    def decompress_stream(self, reader: BitstreamReader) -> Iterator[SCIDecoded]:
        """Yield the groups of pictures of a bitstream, in memory that does not grow.

        Raises:
            ModelMismatchError: If another model made it.
            BitstreamError: If a group is damaged and the reader strict.
        """
        with eval_mode(self):
            yield from decoded_groups(self, reader)

    def decompress(self, data: bytes | str | Path, strict: bool = True) -> SCIDecoded:
        """Return what a bitstream holds: features and motion.

        Args:
            data: The bitstream, or a file.
            strict: Raise an error for damage; otherwise return intact groups, and the errors.

        Raises:
            ModelMismatchError: If another model made it.
            BitstreamError: If it is damaged, or none.
        """
        reader = BitstreamReader(data, strict)
        return together(reader, self.decompress_stream(reader))

    def reconstruct_stream(self, groups: Iterable[SCIDecoded]) -> Iterator[tuple[int, Tensor]]:
        """Yield the number of every decoded feature and its image, ``(1, H, W)`` in [0, 1].

        Groups come in order; those around a feature are looked at, and memory does not grow.
        """
        with eval_mode(self):
            yield from pictures(self, groups)

    def reconstruct(self, decoded: SCIDecoded) -> Tensor:
        """Return the images of decoded features, ``(N, 1, H, W)`` in [0, 1], on the CPU.

        Where there is no FAM a picture is the feature's mean over its channels.
        """
        found = [image for _, image in self.reconstruct_stream([decoded])]
        return torch.stack(found) if found else decoded.features.mean(dim=1, keepdim=True)

    def classify(self, decoded: SCIDecoded) -> Tensor:
        """Return the probability of every class, ``(classes,)``, of all features together.

        Raises:
            ConfigError: If these weights predict no classes, or nothing was decoded.
        """
        with eval_mode(self):
            return class_probabilities(self, decoded)


def check_spikes(spikes: Tensor) -> None:
    """Reject what is not a clip of spikes.

    Raises:
        ValueError: If it is of another rank, empty, or holds more than 0 and 1.
        ConfigError: If it has fewer planes than a window, or more pixels than 2^24.
    """
    if spikes.ndim != 4 or not spikes.numel():
        raise ValueError(
            f"spikes are (B, T, H, W), planes before rows and columns, got {tuple(spikes.shape)}"
        )
    planes, height, width = spikes.shape[1:]
    if planes < WINDOW:
        raise ConfigError(
            f"the clips have {planes} planes, one feature takes {WINDOW}; use longer clips "
            "(data.init_args.clip_length)"
        )
    if height * width > _MAX_PIXELS:
        raise ConfigError(
            f"planes of {width} x {height} pixels (W x H) have more than 2^24 pixels; crop them"
        )
    is_real = not (spikes.is_meta or torch.compiler.is_compiling())
    if is_real and not ((spikes == 0) | (spikes == 1)).all():
        raise ValueError("spikes must be 0 or 1; they hold other values, or NaN")


def _check_codable(recording: SpikeRecording, quality: int, gop: int) -> None:
    if not 0 <= quality < QUALITIES:
        raise ConfigError(f"quality must be 0 to {QUALITIES - 1}, got {quality}")
    if not 1 <= gop <= 0xFFFF:
        raise ConfigError(f"gop must be 1 to 65535 frames, got {gop}")
    planes, height, width = recording.shape
    sides = range(SMALLEST_SIDE, LARGEST_SIDE + 1)
    if not (height in sides and width in sides) or height * width > MAX_PIXELS:
        raise ConfigError(
            f"planes of {width} x {height} pixels (W x H) cannot be coded: both sides must be "
            f"{SMALLEST_SIDE} to {LARGEST_SIDE}, and a plane at most 2^24 pixels"
        )
    if gop > (most := max(1, MAX_GROUP_PIXELS // (height * width))):
        raise ConfigError(
            f"gop must be at most {most} frames at {width} x {height} pixels (W x H), got "
            f"{gop}: a group of pictures is decoded in memory"
        )
    if planes < WINDOW:
        raise PlaneRangeError(
            f"a bitstream holds features, each of {WINDOW} planes; this recording has {planes}"
        )
