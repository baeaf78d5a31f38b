"""The STIR network: reconstruction of the middle of 61 planes with motion compensation."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.checkpoints.state_dicts import WeightsSource
from spike_zoo.methods.stir.attention import AttentionKind, SymmetricInteractiveAttention
from spike_zoo.methods.stir.decoder import (
    Features,
    Interaction,
    Level,
    RefiningDecoder,
    TopDecoder,
    init_bilinear,
    init_image_head,
)
from spike_zoo.methods.stir.embedding import (
    BLOCK_PLANES,
    EMBEDDING_CHANNELS,
    EmbeddingKind,
    HybridEmbedding,
)
from spike_zoo.methods.stir.encoder import PyramidEncoder
from spike_zoo.methods.stir.official import read_official
from spike_zoo.nn import fast
from spike_zoo.nn.options import check_choice
from spike_zoo.nn.padding import crop_padding, pad_to_multiple
from spike_zoo.nn.precision import in_full_precision

PLANES = 61  # planes of a window; the middle plane is reconstructed
BLOCK_STARTS = (0, 20, 40)  # blocks of 21 planes; adjacent blocks share one plane
MAX_CORRECTION = 0.5  # of a draft; 0.36 is the largest of `stir-aligned` in 32 test scenes
DIVERGED_REACH = 8  # pixels around a larger correction that show the draft
ENCODER_CHANNELS = (24, 32, 64, 96)  # levels 2..5 at width 1


@dataclass(frozen=True)
class STIROptions:
    """Switches of :class:`STIR`. The defaults are the published network.

    Attributes:
        flow_fields: Optical flow fields that warp the outer features at full size, at least 1.
        interaction: ``"both"``; ``"warp_only"`` leaves the middle feature out of the fusion;
            ``"synthesis_only"`` predicts no flow and aligns nothing.
        attention: ``"cross"``; ``"self"``: each outer block attends to itself; ``"none"``: plain
            concatenation.
        embedding: Input features of the encoder, see :class:`HybridEmbedding`.
        hidden_channels: Channels of the hidden state that a level passes to the finer level.

    Raises:
        ValueError: If an option is outside its range.
    """

    flow_fields: int = 3
    interaction: Interaction = "both"
    attention: AttentionKind = "cross"
    embedding: EmbeddingKind = "tfp+resnet"
    hidden_channels: int = 8

    def __post_init__(self) -> None:
        for name in ("flow_fields", "hidden_channels"):
            value = getattr(self, name)
            if value < 1 or int(value) != value:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value}")
        check_choice("interaction", self.interaction, Interaction)
        check_choice("attention", self.attention, AttentionKind)


NETWORK = STIROptions()


class STIRPyramid(NamedTuple):
    """All outputs of STIR by level: level 1 has full size, each coarser level half the size.

    Sizes are those of the padded input, except for ``image``, which is cropped.
    """

    image: Tensor  #: ``(B, 1, H, W)``, clamped to [0, 1], the reconstruction
    levels: dict[int, Level]  #: images, hidden states and flows of every level, see :class:`Level`
    #: features of the three blocks at every level, see :class:`Features`
    features: dict[int, Features]

    def fields(self) -> list[Tensor]:
        """Return the flow fields of level 1 in the size of the image, the main field first.

        Each is ``(B, 2, 2, H, W)``; the list is empty if the network predicts no flow.
        """
        finest, size = self.levels[1], (self.image.shape[-2], self.image.shape[-1])
        flows = [flow for flow in (finest.upflow, finest.extra_flow) if flow is not None]
        fields = [field for flow in flows for field in flow.float().split(4, dim=1)]
        return [crop_padding(field, *size).unflatten(1, (2, 2)) for field in fields]


class STIR(nn.Module):
    """Reconstruct the middle plane of a spike stream from three consecutive blocks.

    Three blocks of 21 planes are embedded and encoded into feature pyramids with shared weights.
    Attention combines the blocks at the coarsest level. Every finer level up-samples flow and
    image, aligns the outer blocks' features to the middle block, and refines flow and image.

    The defaults are the published network. Layers compute in
    channels-last format, which is faster; ``to(memory_format=torch.contiguous_format)`` changes
    the format.

    Args:
        pyramid_levels: 3, 4 or 5 levels.
        width: Factor of the encoder channels of levels 2 and up, rounded to multiples of 8.
        options: Switches of the ablations.

    Shape:
        - spikes: ``(B, 61, H, W)``, float, 0 or 1, any H and W of at least 16 (padded
          internally).
        - Output: ``(B, 1, H, W)`` in [0, 1], the image at plane 30.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> import torch
        >>> network = STIR(pyramid_levels=3, width=0.34).eval()
        >>> network(torch.zeros(1, 61, 20, 30)).shape
        torch.Size([1, 1, 20, 30])

    Source: Fan et al., *Spatio-Temporal Interactive Learning for Efficient Image Reconstruction of
    Spiking Cameras*, NeurIPS 2024.
    """

    def __init__(
        self, pyramid_levels: int = 5, width: float = 1.0, options: STIROptions = NETWORK
    ) -> None:
        super().__init__()
        if pyramid_levels not in (3, 4, 5):
            raise ValueError(f"pyramid_levels must be 3, 4 or 5, got {pyramid_levels}")
        channels = level_channels(pyramid_levels, width)
        self.pyramid_levels = pyramid_levels
        self.multiple = 2 ** (pyramid_levels - 1)
        self.embedding = HybridEmbedding(options.embedding)
        self.encoder = PyramidEncoder(channels)
        self.attention = (
            SymmetricInteractiveAttention(channels[-1], cross=options.attention == "cross")
            if options.attention != "none"
            else None
        )
        self.predicts_flow = options.interaction != "synthesis_only"
        top = TopDecoder(channels[-1], predicts_flow=self.predicts_flow)
        self.decoders = nn.ModuleDict({str(pyramid_levels): top})
        for level in range(pyramid_levels - 1, 0, -1):
            self.decoders[str(level)] = RefiningDecoder(
                *(channels[level - 1], 3 * channels[level]),
                *(options.interaction, options.hidden_channels),
                flow_fields=options.flow_fields if level == 1 else None,
            )
        fast.set_memory_format(self, torch.channels_last)
        # Few pixels and many channels: here the contiguous format halves the time of the weight
        # gradients.
        fast.set_memory_format(self.decoders[str(pyramid_levels)], torch.contiguous_format)

    @classmethod
    def from_official(cls, source: WeightsSource) -> Self:
        """Return the published network with published weights, in evaluation mode.

        Args:
            source: A checkpoint file (``.pth``, ``.safetensors``) or its state dict. The prefix
                ``module.`` and an enclosing ``state_dict`` entry are accepted.

        Raises:
            WeightsError: If names or shapes differ; the message names the first of each kind.
            MissingFileError: If the file does not exist.
        """
        network = cls()
        network.load_state_dict(read_official(source, network.state_dict()))
        return network.eval()

    def forward(self, spikes: Tensor, draft: Tensor | None = None) -> Tensor:
        """Reconstruct plane 30: ``(B, 61, H, W)`` -> ``(B, 1, H, W)`` in [0, 1]."""
        return self.pyramid(spikes, draft=draft).image

    def start_from_drafts(self) -> None:
        """Initialise image heads near zero: the untrained network returns almost the draft."""
        for decoder in self.decoders.values():
            init_image_head(cast("TopDecoder | RefiningDecoder", decoder).head)

    def start_from_doubled_flows(self) -> None:
        """Initialise each level's flow as twice the coarser level's flow.

        The default initialisation of the layers that up-sample flow is random. The flow of the
        coarsest level then does not reach the finest level, and motion is learned late or never.
        """
        for name, layer in self.decoders.named_modules():
            if name.endswith(("up_flow", "up_extra_flow")):
                init_bilinear(cast("nn.ConvTranspose2d", layer))

    def pyramid(
        self, spikes: Tensor, flows: Mapping[int, Tensor] | None = None, draft: Tensor | None = None
    ) -> STIRPyramid:
        """Return the reconstruction with images, flows and features of all levels.

        Args:
            spikes: ``(B, 61, H, W)``.
            flows: Level -> flow ``(B, 4, h, w)`` of the padded size, in pixels of the level, that
                replaces the predicted flow in the alignment, see :func:`oracle_flow_pyramid`.
            draft: ``(B, 1, H, W)``, an image that every level corrects; None in the paper.

        Raises:
            ValueError: If the input is not four-dimensional with 61 planes.
        """
        if spikes.ndim != 4 or spikes.shape[1] != PLANES:
            raise ValueError(
                f"STIR takes spikes of shape (B, {PLANES}, H, W), got {tuple(spikes.shape)}"
            )
        padded = pad_to_multiple(spikes, self.multiple)
        # One call for all three blocks: batch norms use their joint statistics, as published.
        blocks = [padded[:, start : start + BLOCK_PLANES] for start in BLOCK_STARTS]
        features = self.encode(torch.cat(blocks, dim=0))
        parts = [level.chunk(len(blocks), dim=0) for level in features]
        draft = None if draft is None else pad_to_multiple(draft, self.multiple)
        levels, features_by_level = self._decode(
            [Features(*part) for part in parts], flows or {}, draft
        )
        image = crop_padding(self._image(levels[1], draft), *spikes.shape[-2:])
        return STIRPyramid(image, levels, features_by_level)

    def encode(self, blocks: Tensor) -> tuple[Tensor, ...]:
        """Return the features of blocks at every level, the finest first.

        In evaluation mode a block's features depend only on the block. Windows that share a block
        can share its features (see :meth:`decode`).

        Args:
            blocks: ``(N, 21, H, W)``, H and W multiples of ``multiple``.

        Returns:
            ``(N, C_l, H / 2**(l-1), W / 2**(l-1))`` for l = 1, 2, ...
        """
        embedded = self.embedding(blocks)
        return (embedded, *self.encoder(embedded))

    def decode(
        self,
        first: tuple[Tensor, ...],
        middle: tuple[Tensor, ...],
        last: tuple[Tensor, ...],
        draft: Tensor | None = None,
    ) -> Tensor:
        """Return the image ``(B, 1, H, W)`` in [0, 1] at the middle of three encoded blocks."""
        features = [Features(*triple) for triple in zip(first, middle, last, strict=True)]
        levels, _ = self._decode(features, {}, draft)
        return self._image(levels[1], draft)

    def _image(self, finest: Level, draft: Tensor | None) -> Tensor:
        """Return the image in [0, 1].

        In evaluation mode, the draft replaces the image near implausible corrections: a network can
        diverge for inputs unlike those of its training, such as flicker of a period of 20 planes.
        """
        image = finest.image
        if draft is not None and not self.training:
            correction, reach = (image - draft).abs(), 2 * DIVERGED_REACH + 1
            largest = F.max_pool2d(correction, (reach, 1), 1, (DIVERGED_REACH, 0))
            largest = F.max_pool2d(largest, (1, reach), 1, (0, DIVERGED_REACH))
            image = torch.where(largest <= MAX_CORRECTION, image, draft)  # also for NaN
        return image.clamp(0.0, 1.0)

    def _decode(
        self, features: list[Features], flows: Mapping[int, Tensor], draft: Tensor | None
    ) -> tuple[dict[int, Level], dict[int, Features]]:
        by_level = dict(enumerate(features, start=1))
        top = by_level[self.pyramid_levels]
        if self.attention is None:
            joined = torch.cat(top, dim=1)
        else:
            joined = in_full_precision(self.attention, *top)
        level: Level | None = None
        levels = {}
        for number in range(self.pyramid_levels, 0, -1):
            decoder = self.decoders[str(number)]
            pooled = None if draft is None else F.avg_pool2d(draft, 2 ** (number - 1))
            if level is None:
                level = decoder(joined)
            else:
                level = decoder(by_level[number], level, flows.get(number), pooled)
            corrected = level.image if pooled is None else level.image + pooled
            levels[number] = level._replace(image=corrected)
        return levels, by_level


def level_channels(pyramid_levels: int, width: float) -> tuple[int, ...]:
    """Return the feature channels of levels 1, 2, ...; level 1 is the embedding's.

    Raises ValueError if the width is not a positive number or leaves a level without channels.
    """
    if not (math.isfinite(width) and width > 0):
        raise ValueError(f"width must be a positive number, got {width}")
    scaled = [8 * math.floor(c * width / 8 + 0.5) for c in ENCODER_CHANNELS[: pyramid_levels - 1]]
    if min(scaled) < 8:
        raise ValueError(
            f"width {width} leaves an encoder level without channels; use at least 0.2"
        )
    return (EMBEDDING_CHANNELS, *scaled)
