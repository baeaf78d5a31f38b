"""What SCI's codec is held against: video codecs for spikes (CTA), pictures (ATC), features (CAAS).

Each is measured as it is and learns nothing; networks come from weights that were trained before.
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
from spike_zoo.media.coded_video import CODECS, CodedVideo, codec_of, decode_video, encode_video
from spike_zoo.methods.sci.analysis.fam import FAM, ClassFAM, surroundings
from spike_zoo.methods.sci.codec.codec import SCICodec
from spike_zoo.methods.sci.features.fem import WINDOW
from spike_zoo.spikes import SpikeRecording
from spike_zoo.spikes.windows import centred_window
from spike_zoo.tasks.coding import CodedScene, CodingModule, Compressed
from spike_zoo.tasks.protocols import Adjustable, Reconstructs

Motion = Literal["decoded", "none"]
Channels = Literal["all", "mean"]
AFFINE_BYTES = 24  # slope and offset of three channels, float32
WHITE = 255
THRESHOLD = 128  # from this brightness on a decoded pixel is a spike
QPS = (42, 37, 32, 27)
SEEING = "sci-small"  # weights of SCI's seeing half that ship


class CodedVideoModule(CodingModule):
    """A row whose bytes are those of a video codec, at several quantisers.

    Args:
        codec: ``"x264"``, ``"x265"`` or ``"svtav1"``.
        qps: Quantisers, the coarsest first.

    Raises:
        ConfigError: If there is no such codec, or the quantisers are none or not in order.
    """

    def __init__(self, codec: str, qps: Sequence[int]) -> None:
        super().__init__()
        if codec not in CODECS:
            raise ConfigError(f"codec: one of {', '.join(CODECS)}, got {codec!r}")
        if not qps or any(first <= second for first, second in pairwise(qps)):
            raise ConfigError(f"qps: quantisers, the coarsest first, got {list(qps)}")
        largest = CODECS[codec].largest_qp
        if min(qps) < 0 or max(qps) > largest:
            raise ConfigError(f"qps: those of {codec} lie in 0..{largest}, got {list(qps)}")
        self.codec_name = codec
        self.qps = tuple(qps)
        self.rate_points = tuple(f"qp {qp}" for qp in qps)

    def setup(self, stage: str) -> None:
        """Look for the codec and read weights before anything is computed.

        Raises:
            MediaError: If the codec is not in this build of PyAV.
            ConfigError: If data or weights do not fit.
            MissingFileError: If there are no such weights.
        """
        codec_of(self.codec_name)
        self.read_weights()
        super().setup(stage)

    def read_weights(self) -> None:
        """Read the networks that a row computes with, once."""
        raise NotImplementedError

    def compress(self, prepared: NDArray[Any], point: int) -> Compressed:
        """Return frames as a coded video; its elementary stream counts."""
        coded = encode_video(prepared, self.codec_name, self.qps[point])
        return Compressed(coded.n_bytes, coded)

    def decoded(self, coded: Compressed) -> Tensor:
        """Return the frames of a coded video as bytes."""
        return torch.from_numpy(decode_video(cast("CodedVideo", coded.content)))


class ReconstructingModule(CodedVideoModule):
    """A coded row with a method that turns spikes into pictures, before or after the codec.

    Args:
        codec: ``"x264"``, ``"x265"`` or ``"svtav1"``.
        qps: Quantisers, the coarsest first.
        reconstructor: What :func:`spike_zoo.load` takes: ``"tfp"``, ``"sci-small"``, a checkpoint.
        window: Planes of playback's window, for a method that has one.
    """

    def __init__(
        self,
        codec: str = "x265",
        qps: Sequence[int] = QPS,
        reconstructor: str = "tfp",
        window: int = WINDOW,
    ) -> None:
        super().__init__(codec, qps)
        self.save_hyperparameters()
        self.reconstructor_name = reconstructor
        self.window = window
        self.reconstructor: nn.Module | None = None

    def read_weights(self) -> None:
        """Read the method that makes pictures.

        Raises:
            ConfigError: If it makes none.
        """
        if self.reconstructor is not None:
            return
        found = load(self.reconstructor_name)
        if isinstance(found, Adjustable) and "window" in found.hparams:
            found = cast("nn.Module", found.adjusted(window=self.window))
        if not isinstance(found, Reconstructs):
            raise ConfigError(
                f"reconstructor: {self.reconstructor_name} makes no pictures; name a method that "
                "does, as tfp or sci-small"
            )
        self.reconstructor = found.requires_grad_(False).eval()

    def pictures(self, spikes: Tensor, scene: CodedScene) -> Tensor:
        """Return the pictures of a recording, ``(N, 1, H, W)`` in [0, 1].

        Args:
            spikes: ``(T, H, W)``, 0 or 1.
            scene: Whose planes and rate scale count.
        """
        planes = spikes.cpu().numpy().astype(bool)
        recording = SpikeRecording.from_planes(planes, rate_scale=scene.rate_scale)
        return cast("Reconstructs", self.reconstructor).reconstruct(recording, scene.planes)


class CTAModule(ReconstructingModule):
    """Compression, then analysis: spike planes are the video, pictures are made of what returns.

    Planes are black and white pictures; a decoded pixel from 128 on is a spike.

    Source: *A Joint Visual Compression and Perception Framework for Neuralmorphic Spiking Camera*,
    Table III, with codecs that can run here.
    """

    def prepared(self, scene: CodedScene) -> NDArray[Any]:
        """Return the planes of a recording as pictures ``(T, H, W)``."""
        return (scene.spikes.to(torch.uint8) * WHITE).cpu().numpy()

    def decompress(self, coded: Compressed, scene: CodedScene) -> Tensor:
        """Return pictures of the spikes that a codec left."""
        return self.pictures(self.decoded(coded) >= THRESHOLD, scene)


class ATCModule(ReconstructingModule):
    """Analysis, then compression: pictures are made at the camera, and they are the video.

    Args:
        codec: ``"x264"``, ``"x265"`` or ``"svtav1"``.
        qps: Quantisers, the coarsest first.
        reconstructor: What :func:`spike_zoo.load` takes: ``"tfp"``, ``"sci-small"``, a checkpoint.
        window: Planes of playback's window, for a method that has one.

    Source: the same paper's Fig. 10, with codecs that can run here.
    """

    def __init__(
        self,
        codec: str = "x265",
        qps: Sequence[int] = QPS,
        reconstructor: str = SEEING,
        window: int = WINDOW,
    ) -> None:
        super().__init__(codec, qps, reconstructor, window)

    def prepared(self, scene: CodedScene) -> NDArray[Any]:
        """Return the pictures of a recording as bytes ``(N, H, W)``."""
        return as_bytes(self.pictures(scene.spikes, scene)[:, 0])

    def decompress(self, coded: Compressed, scene: CodedScene) -> Tensor:
        """Return the pictures that a codec left."""
        return self.decoded(coded)[:, None] / WHITE


class CAASModule(CodedVideoModule):
    """Features are the video: SCI with a codec for everybody's pictures in place of its own.

    The three channels of a feature, in 8 bits, are coded as planes of full size (4:4:4), or their
    mean alone, from which the decoder computes them by an affine map of each channel that is fitted
    to the recording (24 bytes). Analysis sees what returns, and the motion between decoded
    features. Without an analysis pictures are the means of decoded features over their channels.

    Args:
        codec: ``"x264"``, ``"x265"`` or ``"svtav1"``.
        qps: Quantisers, the coarsest first.
        weights: What :func:`spike_zoo.load` takes of SCI with FEM, motion and FAM: ``"sci-small"``,
            a checkpoint of stage ``"fam"``; or with FEM alone, one of stage ``"fem"``.
        motion: ``"decoded"`` estimates it where features arrive, without a bit; ``"none"``: 0.
        channels: ``"all"``, or the ``"mean"`` of the three.

    Source: the same paper's Table IV and Fig. 11, with codecs that can run here.
    """

    def __init__(
        self,
        codec: str = "x265",
        qps: Sequence[int] = QPS,
        weights: str = SEEING,
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
        """Read FEM and, where pictures are analysed, motion estimation and FAM.

        Raises:
            ConfigError: If the weights are not of SCI's seeing half.
        """
        if self.networks is not None:
            return
        found = getattr(load(self.weights), "codec", None)
        if not isinstance(found, SCICodec) or isinstance(found.fam, ClassFAM):
            raise ConfigError(
                f"weights: {self.weights} is not of SCI with pictures; name sci-small, or a "
                "checkpoint of stage 'fem' or 'fam'"
            )
        self.networks = found.requires_grad_(False).eval().to(self.device)

    def prepared(self, scene: CodedScene) -> PreparedFeatures:
        """Return the features at the planes of a recording as bytes."""
        networks, scale = self._networks, torch.tensor([scene.rate_scale], device=self.device)
        spans = [slice(*centred_window(plane, WINDOW)) for plane in scene.planes]
        found = [networks.feature(scene.spikes[span][None], scale)[0] for span in spans]
        features = torch.stack(found).float()
        if self.channels == "all":
            return PreparedFeatures(as_bytes(features), None)
        mean = features.mean(dim=1)
        return PreparedFeatures(as_bytes(mean), affine_maps(features, mean))

    def compress(self, prepared: PreparedFeatures, point: int) -> Compressed:  # type: ignore[override]  # its own
        """Return features as a coded video, with the maps of their channels."""
        coded = super().compress(prepared.frames, point)
        if prepared.maps is None:
            return coded
        return Compressed(coded.n_bytes + AFFINE_BYTES, (coded, prepared.maps))

    def decompress(self, coded: Compressed, scene: CodedScene) -> Tensor:
        """Return the analysis of the features that a codec left."""
        networks, maps = self._networks, None
        if self.channels == "mean":
            coded, maps = cast("tuple[Compressed, Tensor]", coded.content)
        features = self.decoded(coded).to(self.device)[None] / WHITE
        if maps is not None:
            slope, offset = maps.to(self.device).view(2, 3, 1, 1)
            features = slope * features[:, :, None] + offset
        if networks.fam is None:
            return networks.picture(features[0])
        if self.motion == "decoded":
            links = networks.links(features)
        else:
            links = torch.zeros_like(features[:, :, :2])
        fam, targets = cast("FAM", networks.fam), range(features.shape[1])
        images = [fam(*surroundings(features, links, target)) for target in targets]
        return torch.cat(images).clamp(0.0, 1.0)

    @property
    def _networks(self) -> SCICodec:
        return cast("SCICodec", self.networks)


class PreparedFeatures(NamedTuple):
    """Features of a recording as a video codec takes them.

    Attributes:
        frames: Bytes ``(N, 3, H, W)``, or ``(N, H, W)`` of the means over channels.
        maps: Slopes and offsets from the mean to the channels, ``(2, 3)``; None with all channels.
    """

    frames: NDArray[Any]
    maps: Tensor | None


def affine_maps(features: Tensor, mean: Tensor) -> Tensor:
    """Return slope and offset of each channel as a function of the mean, by least squares.

    Args:
        features: ``(N, 3, H, W)``.
        mean: ``(N, H, W)``.

    Returns:
        ``(2, 3)``.
    """
    dims = (0, 2, 3)
    contrast = (mean - mean.mean())[:, None]
    slope = (features * contrast).mean(dims) / contrast.square().mean().clamp(min=1e-9)
    return torch.stack([slope, features.mean(dims) - slope * mean.mean()])


def as_bytes(pictures: Tensor) -> NDArray[Any]:
    """Return pictures of [0, 1] as the nearest bytes."""
    return (pictures.float().clamp(0.0, 1.0) * WHITE).round().to(torch.uint8).cpu().numpy()
