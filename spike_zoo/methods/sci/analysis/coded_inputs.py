"""Inputs of recognition after coding, by SCI's codec or by codecs of video and images."""

import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from spike_zoo.coding import rans
from spike_zoo.coding.header import file_bytes
from spike_zoo.errors import ConfigError
from spike_zoo.media import coded_video as video
from spike_zoo.methods.sci.analysis.classifier import WHITE, as_bytes
from spike_zoo.methods.sci.codec.bitstream import check_exact, codec_networks_of, exact_context
from spike_zoo.methods.sci.codec.codec import SCICodec
from spike_zoo.methods.sci.codec.frames import encode_frames, stack_frames
from spike_zoo.methods.sci.codec.scale_net import QUALITIES
from spike_zoo.methods.sci.codec.symbols import SymbolEncoder
from spike_zoo.metrics import rate as rates
from spike_zoo.metrics.image import MeanOfValues, psnr
from spike_zoo.nn.precision import fast_precision

Coder = Literal["sci", "x265", "svtav1", "jpeg"]
RATE_POINTS: Final = {"x265": (48, 39, 35, 30), "svtav1": (60, 50, 43, 36), "jpeg": (5, 15, 35, 60)}
"""Quantisers of videos, qualities of JPEG: about the bits of SCI's codec at its qualities."""


@dataclass(frozen=True)
class CodedInputOptions:
    """Coding of the inputs of recognition.

    The coded clips, and the rate of each in training, are selected by the names of the clips.

    Attributes:
        coder: SCI's codec, or another coder of the images that SCI's encoder codes. None codes
            nothing.
        training: Fraction of the clips of training and validation that are coded, each at one rate,
            the middle window as an I-frame: coding five windows takes ten times as long.
        test: Fraction of the test clips whose accuracy and bits are measured at four rates.
    """

    coder: Coder | None = None
    training: float = 0.0
    test: float = 1.0

    def __post_init__(self) -> None:
        if self.coder not in (None, *get_args(Coder)):
            raise ConfigError(f"coder: one of {', '.join(get_args(Coder))}, got {self.coder!r}")
        shares = self.training, self.test
        if not all(0 <= share <= 1 for share in shares) or (self.training and not self.coder):
            raise ConfigError(
                f"training and test: from 0 to 1, training above 0 only with a coder, got {shares}"
            )

    def rows_of(self, names: Sequence[str], share: float) -> list[tuple[int, int]]:
        """Return the coded rows among clips with given names, and the rate point of each."""
        if self.coder is None:
            return []
        draws = [divmod(zlib.crc32(name.encode()), QUALITIES) for name in names]
        return [(row, own) for row, (draw, own) in enumerate(draws) if draw % 1000 < 1000 * share]


NOT_CODED = CodedInputOptions()


class CodedClips(NamedTuple):
    """A batch of clips, coded and decoded."""

    features: Tensor  # decoded, (B, N, 3, H, W)
    motion: Tensor  # decoded, from each feature to the previous one, (B, N, 2, H, W)
    n_bytes: list[int]  # of the complete file of each clip


@torch.no_grad()
def coded_clips(codec: SCICodec, features: Tensor, quality: int) -> CodedClips:
    """Encode and decode features ``(B, n, 3, H, W)``, those of a clip as one group of pictures.

    Each clip is encoded by itself, because an encoder chooses the parts of a frame for its whole
    batch. The encoder's closed loop yields the decoded features, so the bitstreams are not read.
    """
    coding = codec_networks_of(codec)
    check_exact(codec)
    clips = []
    with exact_context(features.device):
        options: Any = {"estimation": codec.motion, "weight": codec.rd_weights[quality]}
        for clip in features.split(1):
            encoder = rans.GroupEncoder()
            symbols = SymbolEncoder(encoder)
            frames = encode_frames(coding, symbols, clip.unbind(1), quality, **options)
            clips.append((*stack_frames(coding, list(frames)), file_bytes([encoder.finish()])))
    decoded, motion, n_bytes = zip(*clips, strict=True)
    return CodedClips(torch.cat(decoded), torch.cat(motion), list(n_bytes))


@torch.no_grad()
def encoder_features(
    codec: SCICodec, spikes: Tensor, rate_scale: Tensor, window: int | None = None
) -> Tensor:
    """Return what an encoder codes of clips ``(B, T, H, W)``: ``(B, n, 3, H, W)``.

    With the analysis in the encoder these are images, in all channels. With a window, n = 1.
    """
    with exact_context(spikes.device), fast_precision(spikes.device):
        features = codec.features(spikes, rate_scale)
        windows = range(features.shape[1]) if window is None else [window]
        motion = codec.backward_flow(features) if codec.reach else None
        return torch.stack([codec.coded(features, motion, n) for n in windows], dim=1).float()


def coded_inputs(
    codec: SCICodec, coder: Coder, features: Tensor, point: int
) -> tuple[Tensor, list[int], Tensor]:
    """Encode and decode the features of clips at a rate point.

    Args:
        codec: SCI with a codec.
        coder: SCI's codec, a video codec, or JPEG for each image. All but SCI's code the first
            channel, because that codec repeats images in all channels.
        features: What the encoder codes, ``(B, n, 3, H, W)``, see :func:`encoder_features`.
        point: Quality of SCI, or index of :data:`RATE_POINTS`.

    Returns:
        The inputs of the classifier, uint8 ``(B, n, 3, H, W)``; bytes of each clip; PSNR of its
        first channel, relative to the features before coding, in dB.
    """
    if coder == "sci":
        coded = coded_clips(codec, features, point)
        inputs, sizes = as_bytes(coded.features), coded.n_bytes
    else:
        images = as_bytes(features[:, :, 0]).cpu().numpy()
        decoded, n_bytes = zip(*(_transcoded(clip, coder, point) for clip in images), strict=True)
        repeated = torch.from_numpy(np.stack(decoded))[:, :, None].expand(-1, -1, 3, -1, -1)
        inputs, sizes = repeated.to(features.device), list(n_bytes)
    return inputs, sizes, psnr(inputs[:, :, 0].float() / WHITE, features[:, :, 0])


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
    """Accuracy, bits per pixel and plane, and PSNR at each rate; accuracy without coding."""

    def __init__(self) -> None:
        names = [f"{name}_q{q}" for name in ("accuracy", "bpp", "psnr") for q in range(QUALITIES)]
        means: dict[str, Metric | MetricCollection] = {
            name: MeanOfValues() for name in ("accuracy_not_coded", *names)
        }
        super().__init__(means, compute_groups=False)

    def add(
        self, point: int, spikes: Tensor, n_bytes: Sequence[int], before: Tensor, **values: Tensor
    ) -> dict[str, list[float]]:
        """Add clips ``(B, T, H, W)`` that were coded at a rate point, with accuracy and PSNR.

        Return the saved bits and, against the accuracy ``before`` coding, the lost accuracy of each
        clip.
        """
        shape = spikes.shape[1], spikes.shape[2], spikes.shape[3]
        bpp = [rates.bpp(count, shape) for count in n_bytes]
        for name, value in (values | {"bpp": torch.tensor(bpp)}).items():
            self[f"{name}_q{point}"].update(value.float().cpu())
        decrease = 100 * (before.float().cpu() - values["accuracy"].float().cpu())
        return {
            f"bit_saving_q{point}": [rates.bit_saving(rate) for rate in bpp],
            f"accuracy_decrease_q{point}": decrease.tolist(),
        }

    def results(self) -> tuple[dict[str, float], dict[str, list[tuple[float, float]]]]:
        """Return the means with saved bits and lost accuracy, and the curves; reset the metrics.

        Without coded clips, as in a short test, both are empty.
        """
        if not self["accuracy_not_coded"].update_called:
            return {}, {}
        values = {name: float(metric.compute()) for name, metric in self.items()}
        self.reset()
        reference = values["accuracy_not_coded"]
        for point in range(QUALITIES):
            accuracy = values[f"accuracy_q{point}"]
            points, percent = rates.accuracy_decrease(reference, accuracy)
            values[f"bit_saving_q{point}"] = rates.bit_saving(values[f"bpp_q{point}"])
            values[f"accuracy_decrease_q{point}"] = points
            if reference > 0:
                values[f"accuracy_decrease_percent_q{point}"] = percent
        curves = {
            f"rate_distortion/{name}": [
                (values[f"bpp_q{q}"], values[f"{name}_q{q}"]) for q in range(QUALITIES)
            ]
            for name in ("accuracy", "psnr")
        }
        return values, curves
