"""Networks of SCI together: their outputs for clips and for recordings."""

import warnings
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from spike_zoo.errors import ConfigError
from spike_zoo.methods.sci.analysis.fam import FAM, AnalysisInput, gather_analysis_input
from spike_zoo.methods.sci.codec.frames import CodecNetworks
from spike_zoo.methods.sci.features.fem import (
    CAMERA_SCALE,
    CLIP,
    FEM,
    NEIGHBOURS_PER_SIDE,
    STEP,
    WINDOW,
)
from spike_zoo.methods.sci.features.motion_estimation import DISMotion, MotionEstimation
from spike_zoo.nn.fast.layout import set_memory_format
from spike_zoo.nn.precision import fast_precision
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.tasks.clips import read_clip

Boundary = Literal["sequence", "gop"]
"""Whether the analysis uses neighbours from other groups of pictures."""
IFrameMotion = Literal["zero", "decoder_me"]
"""Motion from an I-frame to the previous frame: zero, or estimated from decoded features."""
Analysis = Literal["decoder", "encoder"]
"""Place of the analysis: of decoded features, or before coding; then its images are coded."""
RD_WEIGHTS = (64.0, 128.0, 256.0, 512.0)
"""Weight of the mean square error in the rate-distortion loss, for each quality (paper)."""
_MAX_PIXELS = 2**24
CACHE_SIZE = 32  # cached features and motions: enough for centres with a stride of 1


class SCINetworks(nn.Module):
    """All networks of SCI: features, motion between them, coding and analysis.

    Args:
        fem: Feature extraction.
        motion: Motion estimation between two features; None before stage ``"motion"``.
        fam: Analysis of features; None before stage ``"fam"``.
        coding: Networks of I- and P-frames; None before stage ``"codec"`` or without coding.
        scale_input: Whether spikes are multiplied by 0.6 / rate scale before FEM, so that features
            are luminance for every camera. The filters are linear: hardware can sum bits and scale
            the sums.

    Source: Sec. IV and Fig. 3 of the paper.
    """

    def __init__(
        self,
        fem: FEM,
        motion: MotionEstimation | DISMotion | None = None,
        fam: FAM | None = None,
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
        for part in (fem, motion, self.intra, self.inter):
            if part is not None:
                set_memory_format(part, torch.channels_last)
        self.scale_input = scale_input
        self.boundary: Boundary = "sequence"
        self.iframe_motion: IFrameMotion = "zero"
        self.analysis: Analysis = "decoder"
        self.rd_weights: Sequence[float] = RD_WEIGHTS

    @property
    def codec_networks(self) -> CodecNetworks | None:
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

    @property
    def reach(self) -> int:
        """Number of features before and after a feature that an encoder needs to code it."""
        is_image = self.analysis == "encoder" and self.fam is not None
        return NEIGHBOURS_PER_SIDE if is_image else 0

    def coded(self, features: Tensor, motion: Tensor | None, target: int) -> Tensor:
        """Return what an encoder codes of one of several features, ``(B, 3, H, W)``.

        With the analysis in the encoder it is the image, in all channels.

        Args:
            features: ``(B, n, 3, H, W)``, :attr:`reach` on either side of the target if they exist.
            motion: ``(B, n, 2, H, W)`` from each feature to the previous one; by default estimated.
            target: Index of the feature.
        """
        if self.fam is None or not self.reach:
            return features[:, target]
        motion = self.backward_flow(features) if motion is None else motion
        image: Tensor = self.fam(*gather_analysis_input(features, motion, target))
        return image.clamp(0.0, 1.0).expand(-1, features.shape[2], -1, -1)

    def estimate_flow(self, current: Tensor, reference: Tensor) -> Tensor:
        """Estimate the backward motion between two features, ``(B, 2, H, W)`` in pixels."""
        if self.motion is None:
            raise ConfigError(
                "these weights have no motion estimation, because they are of stage 'fem'; use "
                "weights of a later stage"
            )
        return self.motion(current, reference)

    def backward_flow(self, features: Tensor) -> Tensor:
        """Estimate the motion from each feature to the previous one; zero for the first feature.

        ``(B, n, 3, H, W)`` -> ``(B, n, 2, H, W)`` in pixels.
        """
        batch, count, _, height, width = features.shape
        motions = features.new_zeros(batch, count, 2, height, width, dtype=torch.float32)
        if count > 1:
            current, reference = features[:, 1:].flatten(0, 1), features[:, :-1].flatten(0, 1)
            motions[:, 1:] = self.estimate_flow(current, reference).unflatten(0, (batch, count - 1))
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
        return gather_analysis_input(features, self.backward_flow(features), features.shape[1] // 2)

    def feature_image(self, feature: Tensor) -> Tensor:
        """Return the mean over a feature's channels, ``(B, 3, H, W)`` -> ``(B, 1, H, W)``."""
        return feature.mean(dim=1, keepdim=True)

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Return FAM's output for a clip, an image ``(B, 1, H, W)``.

        Without FAM, the image is the mean of the middle feature over its channels.
        """
        if self.fam is None:
            features = self.features(spikes, rate_scale)
            return self.feature_image(features[:, features.shape[1] // 2])
        return self.fam(*self.analysis_input(spikes, rate_scale))


def check_spikes(spikes: Tensor) -> None:
    """Validate a batch of clips ``(B, T, H, W)``."""
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


class FeatureStream:
    """Compute features and images of a recording, with a cache of features and motion.

    Centres 7 planes apart share four of their five features and the motion between them. Windows
    are mirrored in time at the ends of the recording.

    Args:
        codec: Networks in evaluation mode.
        recording: The spikes.
        rate_scale: Spikes per plane at white.
        size: Number of cached features, at least 5.
    """

    def __init__(
        self,
        codec: SCINetworks,
        recording: SpikeRecording,
        rate_scale: float,
        size: int = CACHE_SIZE,
    ) -> None:
        self.codec = codec
        self.recording = recording
        self.size = size
        self.device = next(codec.parameters()).device
        self.scale = torch.full((1,), rate_scale, device=self.device)
        self._features: dict[int, Tensor] = {}
        self._motions: dict[int, Tensor] = {}

    @torch.inference_mode()
    def image(self, center: int) -> Tensor:
        """Return the image of a plane, ``(1, H, W)`` in [0, 1], on the CPU."""
        if self.codec.fam is None:
            image = self.codec.feature_image(self.feature(center))
        else:
            image = self.codec.fam(*self.analysis_input(center))
        return image[0].float().clamp(0.0, 1.0).cpu()

    def analysis_input(self, center: int) -> AnalysisInput:
        """Return the input of FAM at a plane."""
        around = self._around(center, NEIGHBOURS_PER_SIDE, NEIGHBOURS_PER_SIDE)
        return gather_analysis_input(*around, NEIGHBOURS_PER_SIDE)

    def coded(self, plane: int) -> Tensor:
        """Return what an encoder codes, see :meth:`SCINetworks.coded`, ``(1, 3, H, W)``.

        It is computed in bf16 on a CPU that is faster in it. Decoders do not compute it, so its
        precision may differ between machines.
        """
        first, last = WINDOW // 2, self.recording.shape[0] - 1 - WINDOW // 2
        before, after = (min(self.codec.reach, x // STEP) for x in (plane - first, last - plane))
        with torch.inference_mode(), fast_precision(self.device):
            return self.codec.coded(*self._around(plane, before, after), before).float()

    def _around(self, plane: int, before: int, after: int) -> tuple[Tensor, Tensor]:
        """Return a feature with some before and after it, and the motion between them."""
        planes = [plane + STEP * offset for offset in range(-before, after + 1)]
        features = torch.stack([self.feature(one) for one in planes], dim=1)
        links = [self._motion(one) for one in planes[1:]]
        return features, torch.stack([torch.zeros_like(features[:, 0, :2]), *links], dim=1)

    @torch.inference_mode()
    def feature(self, plane: int) -> Tensor:
        """Return the feature of the window around a plane, ``(1, 3, H, W)``.

        The recording is mirrored in time outside its ends.
        """
        if plane in self._features:
            return self._features[plane]
        window = read_clip(self.recording, plane, WINDOW, self.device)[None]
        return self._store(self._features, plane, self.codec.feature(window, self.scale))

    def _motion(self, plane: int) -> Tensor:
        """Return the backward motion from a plane to the plane 7 before it."""
        if plane in self._motions:
            return self._motions[plane]
        pair = self.feature(plane), self.feature(plane - STEP)
        return self._store(self._motions, plane, self.codec.estimate_flow(*pair))

    def _store(self, cache: dict[int, Tensor], plane: int, value: Tensor) -> Tensor:
        """Add a value to a cache, remove the oldest if the cache is full, and return the value."""
        cache[plane] = value
        if len(cache) > self.size:
            del cache[next(iter(cache))]
        return value
