"""Inference model of SCI: features, motion, bitstreams, images and classes of spike streams."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spike_zoo.coding.container import BitstreamReader, BitstreamWriter
from spike_zoo.coding.header import LARGEST_SIDE, MAX_GROUP_PIXELS, MAX_PIXELS, Header
from spike_zoo.errors import ConfigError, PlaneRangeError
from spike_zoo.methods.sci.analysis.fam import FAM, AnalysisInput, ClassFAM, gather_analysis_input
from spike_zoo.methods.sci.codec.bitstream import (
    SCIDecoded,
    coding_of,
    decoded_groups,
    digest_of,
    join_groups,
    payloads,
    source_of,
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
"""Weight of the mean square error in the rate-distortion loss, for each quality (paper)."""
CAMERA_SCALE = 0.6  # rate scale to which spikes are normalised for FEM
_MAX_PIXELS = 2**24


class SCICodec(nn.Module):
    """Networks of SCI and the inference with them.

    Args:
        fem: Feature extraction.
        motion: Motion estimation between two features; None before stage ``"motion"``.
        fam: Analysis of features; None before stage ``"fam"``.
        coding: Networks of I- and P-frames; None before stage ``"codec"`` or without coding.
        scale_input: Whether spikes are multiplied by 0.6 / rate scale before FEM, so that features
            are luminance for every camera. The filters are linear: hardware can sum bits and scale
            the sums.

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
        """Networks of I- and P-frames; None without coding."""
        if self.intra is None or self.inter is None or self.gains is None:
            return None
        return CodecNetworks(self.intra, self.inter, self.gains, self.fmvr)

    def features(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Return the features of all windows of a clip, 7 planes apart.

        Args:
            spikes: ``(B, T, H, W)``, 0 or 1, T at least 13.
            rate_scale: Spikes per plane at white, ``(B,)``; by default 1.

        Returns:
            ``(B, n, 3, H, W)`` in (0, 1) with n = (T - 13) // 7 + 1, for planes 6, 13, 20, ...

        Raises:
            ValueError: If spikes have another rank, are empty, or have values other than 0 and 1.
            ConfigError: If there are fewer than 13 planes, or more than 2^24 pixels per plane.
        """
        check_spikes(spikes)
        windows = spikes.unfold(1, WINDOW, STEP).permute(0, 1, 4, 2, 3)
        scale = None if rate_scale is None else rate_scale.repeat_interleave(windows.shape[1])
        features = self.feature(windows.flatten(0, 1), scale)
        return features.unflatten(0, windows.shape[:2])

    def feature(self, window: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Return the features of single windows, ``(B, 13, H, W)`` -> ``(B, 3, H, W)``."""
        planes = window.to(next(self.fem.parameters()).dtype)
        if self.scale_input:
            scale = planes.new_ones(len(planes)) if rate_scale is None else rate_scale.to(planes)
            planes = planes * (CAMERA_SCALE / scale).view(-1, 1, 1, 1)
        return self.fem(planes)

    def estimate_motion(self, current: Tensor, reference: Tensor) -> Tensor:
        """Estimate the backward motion between two features, ``(B, 2, H, W)`` in pixels.

        Raises:
            ConfigError: If this codec has no motion estimation.
        """
        if self.motion is None:
            raise ConfigError(
                "these weights have no motion estimation, because they are of stage 'fem'; use "
                "weights of a later stage"
            )
        return self.motion(current, reference)

    def backward_motion(self, features: Tensor) -> Tensor:
        """Estimate the backward motion from each feature to the previous feature.

        Args:
            features: ``(B, n, 3, H, W)``.

        Returns:
            ``(B, n, 2, H, W)`` in pixels; zero for the first feature.
        """
        batch, count, _, height, width = features.shape
        motions = features.new_zeros(batch, count, 2, height, width, dtype=torch.float32)
        if count > 1:
            current, reference = features[:, 1:].flatten(0, 1), features[:, :-1].flatten(0, 1)
            motions[:, 1:] = self.estimate_motion(current, reference).unflatten(
                0, (batch, count - 1)
            )
        return motions

    def analysis_input(self, spikes: Tensor, rate_scale: Tensor | None = None) -> AnalysisInput:
        """Return the input of FAM: the five middle features of a clip, and the motion between them.

        Args:
            spikes: ``(B, T, H, W)``. If T is below 41, the first and last features are repeated.
            rate_scale: Spikes per plane at white, ``(B,)``; by default 1.
        """
        if spikes.shape[1] < CLIP:
            warnings.warn(
                f"{spikes.shape[1]} planes hold fewer than five features ({CLIP} planes); those at "
                "the ends are repeated",
                stacklevel=2,
            )
        features = self.features(spikes, rate_scale)
        return gather_analysis_input(
            features, self.backward_motion(features), features.shape[1] // 2
        )

    def picture(self, feature: Tensor) -> Tensor:
        """Return the mean over a feature's channels, ``(B, 3, H, W)`` -> ``(B, 1, H, W)``."""
        return feature.mean(dim=1, keepdim=True)

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Return FAM's output for a clip: an image ``(B, 1, H, W)``, or logits ``(B, classes)``.

        Without FAM, the image is the mean of the middle feature over its channels.
        """
        if self.fam is None:
            features = self.features(spikes, rate_scale)
            return self.picture(features[:, features.shape[1] // 2])
        return self.fam(*self.analysis_input(spikes, rate_scale))

    def update_tables(self) -> bytes:
        """Convert the entropy models to integer networks and tables, after training.

        Returns:
            The digest that is stored in bitstreams of these weights.
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
        """Return the header of a recording's bitstream; arguments as of :meth:`compress`.

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
        """Yield the payload of each group of pictures, with constant memory.

        Arguments as of :meth:`compress`. :class:`spike_zoo.coding.BitstreamWriter` writes the
        payloads to a file.
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
        """Encode a recording to a bitstream, see :mod:`spike_zoo.coding.container`.

        Args:
            recording: The spikes.
            quality: 0 (fewest bits) to 3 (best).
            gop: Features per group of pictures: one I-frame, then P-frames. Each group is decoded
                independently.
            rate_scale: Spikes per plane at white; by default that of the recording, else 1.

        Raises:
            ConfigError: If this codec has no coder, or an argument is outside its range.
            NotFinalizedError: If :meth:`update_tables` was not called.
            PlaneRangeError: If the recording has fewer than 13 planes.
            UsageError: If ``recording`` is not a :class:`SpikeRecording`.
        """
        options: dict[str, Any] = {"quality": quality, "gop": gop, "rate_scale": rate_scale}
        target = io.BytesIO()
        with BitstreamWriter(target, self.header(recording, **options)) as writer:
            for payload in self.compress_stream(recording, **options):
                writer.append(payload)
        return target.getvalue()

    def decompress_stream(self, reader: BitstreamReader) -> Iterator[SCIDecoded]:
        """Yield the decoded groups of pictures of a bitstream, with constant memory.

        Raises:
            ModelMismatchError: If the bitstream was written by another model.
            BitstreamError: If a group is damaged and the reader is strict.
        """
        with eval_mode(self):
            yield from decoded_groups(self, reader)

    def decompress(self, data: bytes | str | Path, strict: bool = True) -> SCIDecoded:
        """Decode a bitstream to features and motion.

        Args:
            data: The bitstream, or the path of a file.
            strict: Raise an error for damage; otherwise return the intact groups and the errors.

        Raises:
            ModelMismatchError: If the bitstream was written by another model.
            BitstreamError: If the data are damaged or not a bitstream.
        """
        reader = BitstreamReader(data, strict)
        return join_groups(reader, self.decompress_stream(reader))

    def reconstruct_stream(self, groups: Iterable[SCIDecoded]) -> Iterator[tuple[int, Tensor]]:
        """Yield the index and the image ``(1, H, W)`` in [0, 1] of each decoded feature.

        Memory is constant. ``groups`` must be in order of time.
        """
        with eval_mode(self):
            yield from pictures(self, groups)

    def reconstruct(self, decoded: SCIDecoded) -> Tensor:
        """Return the images of decoded features, ``(N, 1, H, W)`` in [0, 1], on the CPU.

        Without FAM, an image is the mean of a feature over its channels.
        """
        images = [image for _, image in self.reconstruct_stream([decoded])]
        return torch.stack(images) if images else decoded.features.mean(dim=1, keepdim=True)

    def classify(self, decoded: SCIDecoded) -> Tensor:
        """Return the probability of each class, ``(classes,)``, for all features together.

        Raises:
            ConfigError: If these weights do not predict classes, or nothing was decoded.
        """
        with eval_mode(self):
            return class_probabilities(self, decoded)


def check_spikes(spikes: Tensor) -> None:
    """Validate a batch of clips ``(B, T, H, W)``.

    Raises:
        ValueError: If spikes have another rank, are empty, or have values other than 0 and 1.
        ConfigError: If there are fewer than 13 planes, or more than 2^24 pixels per plane.
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
    if gop > (largest := max(1, MAX_GROUP_PIXELS // (height * width))):
        raise ConfigError(
            f"gop must be at most {largest} frames at {width} x {height} pixels (W x H), got "
            f"{gop}: a group of pictures is decoded in memory"
        )
    if planes < WINDOW:
        raise PlaneRangeError(
            f"a bitstream holds features, each of {WINDOW} planes; this recording has {planes}"
        )
