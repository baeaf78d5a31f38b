"""Classification of recordings and bitstreams from frozen inputs, without Lightning."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import torch
from torch import Tensor, nn

from spike_zoo.errors import ConfigError
from spike_zoo.methods.classical.functional import tfp
from spike_zoo.methods.sci.features.blocks import FEATURES, conv3
from spike_zoo.methods.sci.features.fem import CAMERA_SCALE, CLIP, FEM, STEP, WINDOW
from spike_zoo.nn.eval_mode import eval_mode
from spike_zoo.nn.fast.layout import set_memory_format
from spike_zoo.nn.options import check_choice, options_of
from spike_zoo.nn.precision import fast_precision
from spike_zoo.spikes.rate_scale import rate_scale_of
from spike_zoo.spikes.recording import SpikeRecording, check_recording
from spike_zoo.spikes.windows import centred_window, consecutive_clips, mirrored_planes
from spike_zoo.tasks.clips import read_clip
from spike_zoo.tasks.protocols import Reconstructs, codec_from, load_adjusted, margin_of

if TYPE_CHECKING:
    from spike_zoo.methods.sci.codec.bitstream import DecodedBitstream
    from spike_zoo.methods.sci.codec.codec import SCICodec

ClassifierInput = Literal["features", "mean", "spikes", "images"]
"""What is classified: FEM's features, playback, planes, or images of a method."""
CENTRES: Final = range(WINDOW // 2, CLIP - WINDOW // 2, STEP)
"""Middle planes of the five windows of a clip."""
MIDDLE: Final = len(CENTRES) // 2
WHITE: Final = 255
STRIDE: Final = CLIP // 2 // STEP * STEP + STEP  # planes between clips of a recording
_TOGETHER: Final = 16  # windows in one call of FEM; more do not fit into the cache of a core
_MIN_DEVIATION = 0.01  # added to the deviation of inputs, not to amplify noise of uniform scenes


@dataclass(frozen=True)
class ClassifierOptions:
    """Architecture of :class:`ImageClassifier`, and of FEM.

    Attributes:
        channels: Channels after the first convolution; twice as many at half of its size, four
            times at a quarter.
        stride: Stride of the first layer, even. Its convolution has stride 2, so with 4, for images
            of more than 100 pixels, it is preceded by the means of 2 x 2 pixels.
        blocks: Residual blocks at each size.
        dropout: Probability that an input of the last layer is zero in training.
        fem_width: Width of :class:`FEM`, equal to that of the weights it is read from.
    """

    channels: int = 32
    stride: int = 2
    blocks: int = 1
    dropout: float = 0.0
    fem_width: float = 0.5

    def __post_init__(self) -> None:
        if min(self.channels, self.blocks) < 1 or not 0 <= self.dropout < 1:
            raise ValueError(
                f"channels and blocks must be at least 1 and dropout in [0, 1), got "
                f"{self.channels}, {self.blocks} and {self.dropout}"
            )
        if self.stride < 2 or self.stride % 2:
            raise ValueError(f"stride must be even and at least 2, got {self.stride}")


CLASSIFIER = ClassifierOptions()


class NormalisedBlock(nn.Module):
    """A residual block of two 3x3 convolutions with batch normalisation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv3(channels, channels),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            conv3(channels, channels),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return non-negative values of the same shape."""
        return (x + self.layers(x)).relu()


class ImageClassifier(nn.Module):
    """A plain residual network on images of any number of channels.

    Each sample is normalised to mean 0 and standard deviation 1, which removes brightness.

    Args:
        classes: Number of classes.
        inputs: Channels of an image.
        options: Architecture.

    Shape:
        - images: ``(B, inputs, H, W)``, any scale.
        - Output: logits ``(B, classes)``.

    Source: the paper does not describe its classifier; the layers are ours.
    """

    def __init__(self, classes: int, inputs: int, options: ClassifierOptions = CLASSIFIER) -> None:
        super().__init__()
        widths = [options.channels, 2 * options.channels, 4 * options.channels]
        self.pool = nn.AvgPool2d(options.stride // 2)
        layers: list[nn.Module] = []
        for before, width in zip([inputs, *widths], widths, strict=False):
            entry = conv3(before, width, stride=2) if layers else nn.Conv2d(inputs, width, 4, 2, 1)
            layers += [entry, nn.BatchNorm2d(width), nn.ReLU()]
            layers += [NormalisedBlock(width) for _ in range(options.blocks)]
        self.layers = nn.Sequential(*layers)
        set_memory_format(self.layers, torch.channels_last)
        self.dropout = nn.Dropout(options.dropout)
        self.head = nn.Linear(2 * widths[-1], classes)

    def pooled(self, images: Tensor) -> Tensor:
        """Return the inputs of the last layer: the maximum and the mean of each channel."""
        images = self.pool(images)
        flat = images.flatten(1)
        mean, deviation = flat.mean(dim=1), flat.std(dim=1, correction=0) + _MIN_DEVIATION
        images = (images - mean.view(-1, 1, 1, 1)) / deviation.view(-1, 1, 1, 1)
        maps = self.layers(images.contiguous(memory_format=torch.channels_last))
        return torch.cat([maps.amax(dim=(-2, -1)), maps.mean(dim=(-2, -1))], dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of each image."""
        return self.head(self.dropout(self.pooled(images)))


class SpikeClassifier(nn.Module):
    """Classify recordings and bitstreams.

    The input of a window of 13 planes is computed by frozen networks. The five windows of a clip
    are classified separately, and their logits are averaged. Inputs are rounded to bytes, in which
    training stores them.

    Args:
        classes: Number of classes.
        label_names: Names of the classes, by index.
        input: What is classified: ``"features"`` of FEM, three channels; the ``"mean"`` of a
            window's planes; its ``"spikes"``, 13 channels; or the ``"images"`` of a method.
        weights: Name or path for :func:`spike_zoo.load`: SCI, whose codec bitstreams need, or the
            method of ``"images"``, as ``"plain"`` or ``"tfi:average=9"``.
        network: Architecture, see :class:`ClassifierOptions`.
    """

    def __init__(
        self,
        classes: int = 10,
        label_names: Sequence[str] = (),
        input: ClassifierInput = "features",
        weights: str | None = "sci",
        network: ClassifierOptions | Mapping[str, Any] = CLASSIFIER,
    ) -> None:
        super().__init__()
        check_choice("input", input, ClassifierInput)
        if input == "images" and weights is None:
            raise ConfigError("weights: input 'images' needs a method; name one, as plain or sci")
        options = options_of(ClassifierOptions, network)
        self.hparams = {
            "classes": classes,
            "label_names": list(label_names),
            "input": input,
            "weights": weights,
            "network": asdict(options),
        }
        self.label_names, self.input, self.weights = tuple(label_names), input, weights
        channels = {"features": FEATURES, "spikes": WINDOW}.get(input, 1)
        self.fem = None
        if input == "features":
            self.fem = FEM(options.fem_width).requires_grad_(False)
            set_memory_format(self.fem, torch.channels_last)
        self.network = ImageClassifier(classes, channels, options)
        self._method: Any = None

    @property
    def method(self) -> Any:  # noqa: ANN401  (any module)
        """The method of ``weights``, loaded at the first access."""
        if self._method is None:
            module = load_adjusted(str(self.weights), "weights:")
            if self.input == "images" and not isinstance(module, Reconstructs):
                raise ConfigError(f"weights: {self.weights} does not reconstruct images")
            # not a submodule, so that checkpoints do not contain it
            object.__setattr__(self, "_method", module.requires_grad_(False).eval())
        return self._method.to(self.network.head.weight.device)

    @property
    def codec(self) -> SCICodec:
        """The codec of bitstreams, of ``weights``."""
        return codec_from(self.method, f"weights: {self.weights}")

    def inputs(self, spikes: Tensor, rate_scale: Tensor, *, middle: bool = False) -> Tensor:
        """Return the inputs of the windows of clips, in bf16 on a CPU that is faster in it.

        Args:
            spikes: ``(B, 41, H, W)``, 0 or 1.
            rate_scale: Spikes per plane at white, ``(B,)``.
            middle: Return only that of the middle window.

        Returns:
            uint8 ``(B, n, C, H, W)``, n = 5 or 1.
        """
        centres = [CENTRES[MIDDLE]] if middle else list(CENTRES)
        with torch.no_grad(), fast_precision(spikes.device):
            return as_bytes(self._inputs(spikes, rate_scale, centres))

    def _inputs(self, spikes: Tensor, rate_scale: Tensor, centres: Sequence[int]) -> Tensor:
        scale = rate_scale.float().view(-1, 1, 1, 1, 1)
        if self.input == "mean":
            return tfp(spikes, centres, WINDOW)[:, :, None] / scale
        if self.input == "images":
            planes = spikes.shape[1]
            reach = max(self.method.clip_length // 2, margin_of(self.method))
            length = 2 * min(reach, planes - 1) + 1  # a longer one would be mirrored twice
            spans = (mirrored_planes(*centred_window(c, length), planes) for c in centres)
            images = [self.method(spikes[:, span], rate_scale) for span in spans]
            return torch.stack(images, dim=1)
        windows = torch.stack([spikes[:, slice(*centred_window(c, WINDOW))] for c in centres], 1)
        if self.fem is None:
            return windows
        scaled = (windows.float() * (CAMERA_SCALE / scale)).flatten(0, 1)
        features = torch.cat([self.fem(part) for part in scaled.split(_TOGETHER)])
        return features.unflatten(0, windows.shape[:2])

    def pooled(self, inputs: Tensor) -> Tensor:
        """Return the mean inputs of the last layer of clips ``(B, n, C, H, W)``: ``(B, F)``."""
        windows = inputs.flatten(0, 1).float() / WHITE
        return self.network.pooled(windows).unflatten(0, inputs.shape[:2]).mean(dim=1)

    def logits(self, inputs: Tensor) -> Tensor:
        """Return the logits of clips by their inputs ``(B, n, C, H, W)``: ``(B, classes)``."""
        # the last layer is linear, so the mean of its inputs gives the mean of the logits
        return self.network.head(self.network.dropout(self.pooled(inputs)))

    def classify(
        self,
        recording: SpikeRecording,
        *,
        rate_scale: float | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Return the probability of every class, see :meth:`ClassificationModule.classify`."""
        check_recording(recording)
        centers = consecutive_clips(len(recording), CLIP, STRIDE)
        scale = rate_scale_of(recording, rate_scale, estimates=False).value
        device, logits = self.network.head.weight.device, []
        with eval_mode(self), torch.inference_mode():
            for done, center in enumerate(centers, start=1):
                spikes = read_clip(recording, center, CLIP, device)[None]
                logits.append(self.logits(self.inputs(spikes, torch.tensor([scale]).to(device))))
                if progress is not None:
                    progress(done, len(centers))
        return torch.cat(logits).mean(dim=0).softmax(dim=0).float().cpu()

    def classify_bitstream(self, data: bytes) -> Tensor:
        """Return the probability of every class from a bitstream of ``weights``, on the CPU.

        Images are not reconstructed. Raises ConfigError if the classifier has another input than
        features, and the errors of :meth:`SCICodec.decompress`.
        """
        if self.input != "features":
            raise ConfigError(f"these weights classify {self.input}, not decoded features")
        decoded: DecodedBitstream = self.codec.decompress(data)
        if not len(decoded.features):
            raise ConfigError("nothing was decoded, so there is nothing to classify")
        with eval_mode(self), torch.inference_mode():
            inputs = as_bytes(decoded.features[None]).to(self.network.head.weight.device)
            return self.logits(inputs)[0].softmax(dim=0).float().cpu()


def as_bytes(images: Tensor) -> Tensor:
    """Return images in [0, 1] as uint8."""
    return (images.float().clamp(0.0, 1.0) * WHITE).round().to(torch.uint8)
