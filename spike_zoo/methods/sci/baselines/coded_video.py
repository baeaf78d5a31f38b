"""Baselines with video codecs: coding of spikes (CTA), of images (ATC) and of features (CAAS).

They are not trained; networks are read from trained weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple, cast, get_args

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spike_zoo.checkpoints.loading import load
from spike_zoo.errors import ConfigError
from spike_zoo.media import coded_video as video
from spike_zoo.methods.sci.analysis.classifier import WHITE, as_bytes
from spike_zoo.methods.sci.analysis.fam import gather_analysis_input
from spike_zoo.methods.sci.codec.codec import SCICodec
from spike_zoo.methods.sci.features.fem import WINDOW
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.spikes.windows import centred_window
from spike_zoo.tasks.base import MethodModule
from spike_zoo.tasks.evaluators.coding import CodedScene, CodingEvaluator, CompressedRecording
from spike_zoo.tasks.protocols import Reconstructs, load_adjusted

Motion = Literal["decoded", "none"]
Channels = Literal["all", "mean"]
AFFINE_BYTES = 24  # slope and offset of three channels, float32
THRESHOLD = 128  # least value of a decoded pixel that is a spike
QPS = (42, 37, 32, 27)
PLAYBACK = f"tfp:window={WINDOW}"
DEFAULT_WEIGHTS = "sci"  # shipped weights of SCI with FEM, motion estimation and FAM


class CodedVideoModule(MethodModule):
    """Base class of baselines with a video codec at several quantisers (QP).

    Args:
        codec: ``"x264"``, ``"x265"``, ``"x265-zerolatency"`` or ``"svtav1"``.
        qps: Quantisers, the coarsest first.
    """

    def __init__(self, codec: str, qps: Sequence[int]) -> None:
        check_qps(codec, qps)
        super().__init__(CodingEvaluator([f"qp {qp}" for qp in qps]))
        self.codec_name = codec
        self.qps = tuple(qps)

    def setup(self, stage: str) -> None:
        """Check that the codec is available, read the weights, and check the data."""
        video.codec_of(self.codec_name)
        self.read_weights()
        super().setup(stage)

    def read_weights(self) -> None:
        """Read the networks, if they are not read yet."""
        raise NotImplementedError

    def compress(self, prepared: NDArray[Any], point: int) -> CompressedRecording:
        """Encode frames as a video; the size is that of its elementary stream."""
        coded = video.encode_video(prepared, self.codec_name, self.qps[point])
        return CompressedRecording(coded.n_bytes, coded)

    def decoded(self, coded: CompressedRecording) -> Tensor:
        """Decode a video to frames of bytes."""
        return torch.from_numpy(video.decode_video(cast("video.CodedVideo", coded.content)))


def check_qps(codec: str, qps: Sequence[int]) -> None:
    """Raise unless a codec exists, and the quantisers are decreasing values that it has."""
    if codec not in video.CODECS:
        raise ConfigError(f"codec: one of {', '.join(video.CODECS)}, got {codec!r}")
    if not qps or any(first <= second for first, second in pairwise(qps)):
        raise ConfigError(f"qps: quantisers, the coarsest first, got {list(qps)}")
    largest = video.CODECS[codec].largest_qp
    if min(qps) < 0 or max(qps) > largest:
        raise ConfigError(f"qps: those of {codec} lie in 0..{largest}, got {list(qps)}")


class ReconstructingModule(CodedVideoModule):
    """Base class of baselines that reconstruct images before or after a video codec.

    Args:
        codec: See :class:`CodedVideoModule`.
        qps: See :class:`CodedVideoModule`.
        reconstructor: A method as for ``reconstruct --method``: a name or path for
            :func:`spike_zoo.load`, and settings that differ from its own, as ``tfp:window=13``.
    """

    def __init__(
        self, codec: str = "x265", qps: Sequence[int] = QPS, reconstructor: str = PLAYBACK
    ) -> None:
        super().__init__(codec, qps)
        self.save_hyperparameters()
        self.reconstructor_name = reconstructor
        self.reconstructor: nn.Module | None = None

    def read_weights(self) -> None:
        """Read the reconstruction method."""
        if self.reconstructor is not None:
            return
        method = load_adjusted(self.reconstructor_name, "reconstructor")
        if not isinstance(method, Reconstructs):
            raise ConfigError(
                f"reconstructor: {self.reconstructor_name} does not reconstruct images; name a "
                "method that does, such as tfp or sci"
            )
        self.reconstructor = cast("nn.Module", method).requires_grad_(False).eval()

    def images_of(self, spikes: Tensor, scene: CodedScene) -> Tensor:
        """Reconstruct the images ``(N, 1, H, W)`` at the planes of a scene from its spikes."""
        planes = spikes.cpu().numpy().astype(bool)
        recording = SpikeRecording.from_planes(planes, rate_scale=scene.rate_scale)
        return cast("Reconstructs", self.reconstructor).reconstruct(recording, scene.planes)


class CTAModule(ReconstructingModule):
    """Compression, then analysis (CTA): code spike planes as a video, and reconstruct from it.

    Planes are coded as images of 0 and 255; decoded pixels of at least 128 are spikes.

    Source: Table III of the paper, with codecs that can run here.
    """

    def prepared(self, scene: CodedScene) -> NDArray[Any]:
        """Return the planes of a recording as images of 0 and 255, ``(T, H, W)``."""
        return (scene.spikes.to(torch.uint8) * WHITE).cpu().numpy()

    def decompress(self, coded: CompressedRecording, scene: CodedScene) -> Tensor:
        """Reconstruct images from the decoded spikes."""
        return self.images_of(self.decoded(coded) >= THRESHOLD, scene)


class ATCModule(ReconstructingModule):
    """Analysis, then compression (ATC): reconstruct images in the encoder, and code them as video.

    Args:
        codec: See :class:`CodedVideoModule`.
        qps: See :class:`CodedVideoModule`.
        reconstructor: See :class:`ReconstructingModule`.

    Source: Fig. 10 of the paper, with codecs that can run here.
    """

    def __init__(
        self, codec: str = "x265", qps: Sequence[int] = QPS, reconstructor: str = DEFAULT_WEIGHTS
    ) -> None:
        super().__init__(codec, qps, reconstructor)

    def prepared(self, scene: CodedScene) -> NDArray[Any]:
        """Return the images of a recording as bytes ``(N, H, W)``."""
        return as_bytes(self.images_of(scene.spikes, scene)[:, 0]).cpu().numpy()

    def not_coded(self, prepared: NDArray[Any]) -> Tensor:
        """Return the images before coding, ``(N, 1, H, W)`` in [0, 1]."""
        return torch.from_numpy(prepared)[:, None] / WHITE

    def decompress(self, coded: CompressedRecording, scene: CodedScene) -> Tensor:
        """Return the decoded images."""
        return self.decoded(coded)[:, None] / WHITE


class CAASModule(CodedVideoModule):
    """Features coded by a video codec in place of SCI's learned codec (CAAS).

    The three channels of a feature are coded in 8 bits at full size (4:4:4), or only their mean. In
    that case the decoder computes each channel by an affine map of the mean, which is fitted to the
    recording (24 bytes). The analysis takes the decoded features and the motion between them.
    Without an analysis, images are the means of decoded features over their channels.

    Args:
        codec: See :class:`CodedVideoModule`.
        qps: See :class:`CodedVideoModule`.
        weights: Name or path for :func:`spike_zoo.load` of SCI: ``"sci"`` or a checkpoint of
            stage ``"fam"``, with FEM, motion estimation and FAM; or one of stage ``"fem"``.
        motion: ``"decoded"`` estimates motion in the decoder, without bits; ``"none"`` is zero.
        channels: ``"all"``, or the ``"mean"`` of the three.

    Source: Table IV and Fig. 11 of the paper, with codecs that can run here.
    """

    def __init__(
        self,
        codec: str = "x265",
        qps: Sequence[int] = QPS,
        weights: str = DEFAULT_WEIGHTS,
        motion: Motion = "decoded",
        channels: Channels = "all",
    ) -> None:
        super().__init__(codec, qps)
        for name, value, kind in (("motion", motion, Motion), ("channels", channels, Channels)):
            if value not in get_args(kind):
                raise ConfigError(f"{name}: one of {', '.join(get_args(kind))}, got {value!r}")
        self.save_hyperparameters()
        self.weights = weights
        self.motion = motion
        self.channels = channels
        self.networks: SCICodec | None = None

    def read_weights(self) -> None:
        """Read FEM and, if the weights have them, motion estimation and FAM."""
        if self.networks is not None:
            return
        networks = getattr(load(self.weights), "codec", None)
        if not isinstance(networks, SCICodec):
            raise ConfigError(
                f"weights: {self.weights} is not of SCI with images; name sci, or a "
                "checkpoint of stage 'fem' or 'fam'"
            )
        self.networks = networks.requires_grad_(False).eval().to(self.device)

    def prepared(self, scene: CodedScene) -> PreparedFeatures:
        """Return the features at the planes of a scene's images as bytes."""
        networks, scale = self._networks, torch.tensor([scene.rate_scale], device=self.device)
        spans = [slice(*centred_window(plane, WINDOW)) for plane in scene.planes]
        clips = (scene.spikes[span][None] for span in spans)
        features = torch.stack([networks.feature(clip, scale)[0] for clip in clips]).float()
        if self.channels == "all":
            return PreparedFeatures(as_bytes(features).cpu().numpy(), None)
        mean = features.mean(dim=1)
        return PreparedFeatures(as_bytes(mean).cpu().numpy(), affine_maps(features, mean))

    def compress(self, prepared: PreparedFeatures, point: int) -> CompressedRecording:  # type: ignore[override]  # its own
        """Encode features as a video, with the affine maps of their channels."""
        coded = super().compress(prepared.frames, point)
        if prepared.maps is None:
            return coded
        return CompressedRecording(coded.n_bytes + AFFINE_BYTES, (coded, prepared.maps))

    def decompress(self, coded: CompressedRecording, scene: CodedScene) -> Tensor:
        """Return the images that the analysis reconstructs from decoded features."""
        networks, maps = self._networks, None
        if self.channels == "mean":
            coded, maps = cast("tuple[CompressedRecording, Tensor]", coded.content)
        features = self.decoded(coded).to(self.device)[None] / WHITE
        if maps is not None:
            slope, offset = maps.to(self.device).view(2, 3, 1, 1)
            features = slope * features[:, :, None] + offset
        if networks.fam is None:
            return networks.feature_image(features[0])
        if self.motion == "decoded":
            motion = networks.backward_flow(features)
        else:
            motion = torch.zeros_like(features[:, :, :2])
        fam, targets = networks.fam, range(features.shape[1])
        images = [fam(*gather_analysis_input(features, motion, target)) for target in targets]
        return torch.cat(images).clamp(0.0, 1.0)

    @property
    def _networks(self) -> SCICodec:
        return cast("SCICodec", self.networks)


class PreparedFeatures(NamedTuple):
    """Features of a recording, quantised for a video codec."""

    frames: NDArray[Any]  # bytes (N, 3, H, W), or (N, H, W) for the means over channels
    maps: Tensor | None  # slopes and offsets from the mean to the channels, (2, 3)


def affine_maps(features: Tensor, mean: Tensor) -> Tensor:
    """Fit slope and offset of each channel as a function of the mean, by least squares: ``(2, 3)``.

    Features are ``(N, 3, H, W)``, their means over channels ``(N, H, W)``.
    """
    dims = (0, 2, 3)
    contrast = (mean - mean.mean())[:, None]
    slope = (features * contrast).mean(dims) / contrast.square().mean().clamp(min=1e-9)
    return torch.stack([slope, features.mean(dims) - slope * mean.mean()])
