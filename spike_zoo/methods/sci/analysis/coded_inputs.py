"""Inputs of recognition after coding, by SCI's codec or by codecs of video and images."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from spike_zoo.coding import rans
from spike_zoo.coding.header import file_bytes
from spike_zoo.media import coded_video as video
from spike_zoo.methods.sci.analysis.classifier import as_bytes
from spike_zoo.methods.sci.analysis.fam import gather_analysis_input
from spike_zoo.methods.sci.codec.bitstream import check_exact, coding_of, exact_context
from spike_zoo.methods.sci.codec.codec import SCICodec
from spike_zoo.methods.sci.codec.frames import encode_frames, stack_frames
from spike_zoo.methods.sci.codec.scale_net import QUALITIES
from spike_zoo.methods.sci.codec.symbols import SymbolEncoder
from spike_zoo.metrics import rate as rates
from spike_zoo.metrics.image import MeanOfValues
from spike_zoo.nn.precision import fast_precision

Coder = Literal["sci", "x265", "svtav1", "jpeg"]
RATE_POINTS: Final = {"x265": (48, 39, 35, 30), "svtav1": (60, 50, 43, 36), "jpeg": (5, 15, 35, 60)}
"""Quantisers of videos, qualities of JPEG: about the bits of SCI's codec at its qualities."""


class CodedClips(NamedTuple):
    """A batch of clips, coded and decoded."""

    features: Tensor  # decoded, (B, N, 3, H, W)
    motion: Tensor  # decoded, from each feature to the previous one, (B, N, 2, H, W)
    n_bytes: list[int]  # of the complete file of each clip


def coded_clips(codec: SCICodec, spikes: Tensor, rate_scale: Tensor, quality: int) -> CodedClips:
    """Encode and decode clips ``(B, T, H, W)``, each as one group of pictures.

    The encoder's closed loop yields the decoded features, so the bitstreams are not read.
    """
    coding = coding_of(codec)
    check_exact(codec)
    features = encoder_features(codec, spikes, rate_scale)
    encoders = [rans.GroupEncoder() for _ in features]
    with exact_context(features.device):
        options: Any = {"estimation": codec.motion, "weight": codec.lambdas[quality]}
        symbols = SymbolEncoder(*encoders)
        frames = encode_frames(coding, symbols, features.unbind(1), quality, **options)
        decoded, motion = stack_frames(coding, list(frames))
    return CodedClips(decoded, motion, [file_bytes([coder.finish()]) for coder in encoders])


def encoder_features(codec: SCICodec, spikes: Tensor, rate_scale: Tensor) -> Tensor:
    """Return what an encoder codes of clips ``(B, T, H, W)``: ``(B, n, 3, H, W)``.

    With the analysis in the encoder these are images, in all channels.
    """
    with exact_context(spikes.device), fast_precision(spikes.device):
        features = codec.features(spikes, rate_scale)
        if codec.analysis == "decoder" or codec.fam is None:
            return features.float()
        motion = codec.backward_motion(features)
        parts = (gather_analysis_input(features, motion, n) for n in range(features.shape[1]))
        images = torch.stack([codec.fam(*part) for part in parts], dim=1)
    return images.float().clamp(0.0, 1.0).expand_as(features)


def coded_inputs(
    codec: SCICodec, coder: Coder, spikes: Tensor, rate_scale: Tensor, point: int
) -> tuple[Tensor, list[int]]:
    """Encode and decode clips ``(B, 41, H, W)`` at a rate point.

    All coders but SCI's code what the encoder of ``codec`` would, without its repeated channels.

    Args:
        codec: SCI with a codec.
        coder: SCI's codec, a video codec, or JPEG for each image.
        spikes: The clips, 0 or 1.
        rate_scale: Spikes per plane at white, ``(B,)``.
        point: Quality of SCI, or index of :data:`RATE_POINTS`.

    Returns:
        The inputs of the classifier, uint8 ``(B, 5, 3, H, W)``, and the bytes of each clip.
    """
    with torch.no_grad():
        if coder == "sci":
            coded = coded_clips(codec, spikes, rate_scale, point)
            return as_bytes(coded.features), coded.n_bytes
        images = as_bytes(encoder_features(codec, spikes, rate_scale)[:, :, 0]).cpu().numpy()
    decoded, n_bytes = zip(*(_transcoded(clip, coder, point) for clip in images), strict=True)
    inputs = torch.from_numpy(np.stack(decoded))[:, :, None].expand(-1, -1, 3, -1, -1)
    return inputs.to(spikes.device), list(n_bytes)


def _transcoded(
    images: NDArray[np.uint8], coder: Coder, point: int
) -> tuple[NDArray[np.uint8], int]:
    """Encode and decode images ``(n, H, W)``; return them with the number of bytes."""
    value = RATE_POINTS[coder][point]
    if coder != "jpeg":
        coded = video.encode_video(images, coder, value)
        return video.decode_video(coded), coded.n_bytes
    files = [io.BytesIO() for _ in images]
    for image, file in zip(images, files, strict=True):
        Image.fromarray(image).save(file, "jpeg", quality=value, optimize=True)
    decoded = np.stack([np.asarray(Image.open(file)) for file in files])
    return decoded, sum(len(file.getvalue()) for file in files)


class CodedAccuracy(MetricCollection):
    """Accuracy and bits per pixel and plane of coded clips at each quality."""

    def __init__(self) -> None:
        names = [f"{name}_q{q}" for name in ("accuracy", "bpp") for q in range(QUALITIES)]
        means: dict[str, Metric | MetricCollection] = {name: MeanOfValues() for name in names}
        super().__init__(means, compute_groups=False)

    def add(
        self, quality: int, is_correct: Tensor, n_bytes: Sequence[int], spikes: Tensor
    ) -> Tensor:
        """Add clips ``(B, T, H, W)``; return the accuracy of each, 0 or 1, on the CPU."""
        shape = spikes.shape[1], spikes.shape[2], spikes.shape[3]
        correct = is_correct.float().cpu()
        self[f"accuracy_q{quality}"].update(correct)
        self[f"bpp_q{quality}"].update(torch.tensor([rates.bpp(count, shape) for count in n_bytes]))
        return correct

    def results(self) -> tuple[dict[str, float], dict[str, list[tuple[float, float]]]]:
        """Return the means with the saved bits, and the curve of accuracy; reset the metrics."""
        values = {name: float(metric.compute()) for name, metric in self.items()}
        self.reset()
        for quality in range(QUALITIES):
            values[f"bit_saving_q{quality}"] = rates.bit_saving(values[f"bpp_q{quality}"])
        pairs = [(values[f"bpp_q{q}"], values[f"accuracy_q{q}"]) for q in range(QUALITIES)]
        return values, {"rate_distortion/accuracy": pairs}
