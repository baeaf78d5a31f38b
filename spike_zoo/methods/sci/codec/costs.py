"""What coding one frame costs at either side, as the paper counts it: without the closed loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from spike_zoo.methods.sci.analysis.fam import surroundings
from spike_zoo.methods.sci.codec.codec import SCICodec
from spike_zoo.methods.sci.codec.entropy import FrameCoder, HyperPrior
from spike_zoo.methods.sci.codec.frames import CodecNetworks
from spike_zoo.methods.sci.codec.inter import CODED, DecodedPFrame
from spike_zoo.methods.sci.codec.intra import STRIDE
from spike_zoo.methods.sci.codec.symbols import ExactSymbols
from spike_zoo.methods.sci.features.fem import REACH
from spike_zoo.nn.padding import pad_to_multiple
from spike_zoo.tasks.base import ProfiledCall


class ZeroSymbols(ExactSymbols):
    """Symbols that are all zero: a stream to decode that needs no encoder.

    Args:
        device: Where they go.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device

    def hyper(self, latent: Tensor | None, prior: HyperPrior, size: Sequence[int]) -> Tensor:
        """Return a hyper latent of zeros."""
        return torch.zeros(1, *size, device=self._device)

    def residual(
        self, latent: Tensor | None, mean: Tensor, level: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return zeros."""
        zeros = torch.zeros_like(mean)
        return zeros, zeros

    def number(self, value: int | None, stop: int) -> int:
        """Return the largest number: the frame with all parts."""
        return stop - 1


@torch.no_grad()
def coding_calls(codec: SCICodec, window: Tensor, scale: Tensor) -> Mapping[str, ProfiledCall]:
    """Return the work of a frame at the camera's side and at the other, of both kinds of frames.

    The camera's side (``encode_``) is FEM and analysis, as the paper counts it. ``loop_`` is what
    an encoder really does, which also decodes the feature to know what the other side will have.
    That other side (``decode_``) is entropy model, synthesis and, where there is one, FAM.

    Args:
        codec: Final, with a coder.
        window: ``(1, 13, H, W)``, spikes.
        scale: Spikes per plane at white, ``(1,)``.
    """
    coding, motion = codec.coding, codec.motion
    assert coding is not None
    assert motion is not None
    coder = FrameCoder(ZeroSymbols(window.device), coding.gains, 0)

    def extracted() -> Tensor:
        return pad_to_multiple(codec.feature(window, scale).float(), STRIDE)

    feature = extracted()
    size = feature.shape[-2], feature.shape[-1]
    before = coding.inter.start(feature)
    still = torch.zeros_like(feature[:, :2])
    contexts = coding.inter.contexts(feature, still)

    def encode_intra() -> Tensor:
        return coding.intra.analysis.hyper(coding.intra.analysis(extracted()))

    def encode_inter() -> tuple[Tensor, Tensor]:
        found, analysis = extracted(), coding.inter.analysis
        moved = analysis.motion(motion(found, before.feature))
        latent = analysis.content(found, contexts)
        return analysis.motion.hyper(moved), analysis.content.hyper(latent)

    def decoded_intra() -> Tensor:
        return coding.intra.decode(coder, size)

    def decoded_inter() -> DecodedPFrame:
        return coding.inter.decode(coder, CODED, before)

    jobs: dict[str, Callable[[], object]] = {
        "encode_intra": encode_intra,
        "encode_inter": encode_inter,
        "loop_intra": lambda: (encode_intra(), decoded_intra()),
        "loop_inter": lambda: (encode_inter(), decoded_inter()),
        "decode_intra": lambda: _seen(codec, decoded_intra(), still),
        "decode_inter": lambda: _seen(codec, *_refined(coding, decoded_inter())),
    }
    image = window.shape[-2], window.shape[-1]
    return {name: ProfiledCall(torch.no_grad()(job), image) for name, job in jobs.items()}


def _refined(coding: CodecNetworks, frame: DecodedPFrame) -> tuple[Tensor, Tensor]:
    """Return the feature and the refined motion of a decoded P-frame."""
    if coding.fmvr is None:
        return frame.feature, frame.motion
    return frame.feature, coding.fmvr(frame.motion, frame.feature)


def _seen(codec: SCICodec, feature: Tensor, motion: Tensor) -> Tensor:
    """Return the analysis of a feature among five like it."""
    if codec.fam is None:
        return codec.picture(feature)
    count = 2 * REACH + 1
    features, motions = (x[:, None].expand(-1, count, -1, -1, -1) for x in (feature, motion))
    return codec.fam(*surroundings(features, motions, REACH))
