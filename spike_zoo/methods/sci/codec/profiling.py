"""Profiling jobs of SCI's codec, which decode without a bitstream."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from spike_zoo.methods.sci.analysis.fam import gather_analysis_input
from spike_zoo.methods.sci.codec.entropy import FrameCoder, HyperPrior
from spike_zoo.methods.sci.codec.inter import CODED, DecodedPFrame
from spike_zoo.methods.sci.codec.intra import STRIDE
from spike_zoo.methods.sci.codec.networks import SCINetworks
from spike_zoo.methods.sci.codec.symbols import ExactSymbols
from spike_zoo.methods.sci.features.fem import NEIGHBOURS_PER_SIDE
from spike_zoo.nn.padding import pad_to_multiple
from spike_zoo.tasks.base import ProfiledCall


class ZeroSymbols(ExactSymbols):
    """Symbols that are all zero, so that decoding can be profiled without a bitstream."""

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
        """Return the largest number."""
        return stop - 1


@torch.no_grad()
def coding_calls(codec: SCINetworks, window: Tensor, scale: Tensor) -> Mapping[str, ProfiledCall]:
    """Return the profiling jobs of I-frames (``_intra``) and P-frames (``_inter``).

    - ``encode_``: FEM and the analysis transforms, as the paper counts the encoder.
    - ``loop_``: The encoder as implemented. It also decodes the feature, which the next frame is
      predicted from.
    - ``decode_``: Entropy model, synthesis and FAM, or the mean over channels without FAM.

    The codec is finalised; the window of spikes is ``(1, 13, H, W)``.
    """
    coding, motion = codec.codec_networks, codec.motion
    assert coding is not None
    assert motion is not None
    coder = FrameCoder(ZeroSymbols(window.device), coding.gains, 0)

    def extract() -> Tensor:
        return pad_to_multiple(codec.feature(window, scale).float(), STRIDE)

    feature = extract()
    size = feature.shape[-2], feature.shape[-1]
    reference = coding.inter.start(feature)
    zero_motion = torch.zeros_like(feature[:, :2])
    contexts = coding.inter.contexts(feature, zero_motion)

    def encode_intra() -> Tensor:
        return coding.intra.analysis.hyper(coding.intra.analysis(extract()))

    def encode_inter() -> tuple[Tensor, Tensor]:
        current, analysis = extract(), coding.inter.analysis
        motion_latent = analysis.motion(motion(current, reference.feature))
        latent = analysis.content(current, contexts, current - reference.feature)
        return analysis.motion.hyper(motion_latent), analysis.content.hyper(latent)

    def decode_intra() -> Tensor:
        return coding.intra.decode(coder, size)

    def decode_inter() -> DecodedPFrame:
        return coding.inter.decode(coder, CODED, reference)

    def analyse_inter() -> Tensor:
        frame = decode_inter()
        refined = frame.motion if coding.fmvr is None else coding.fmvr(frame.motion, frame.feature)
        return _analyse(codec, frame.feature, refined)

    jobs: dict[str, Callable[[], object]] = {
        "encode_intra": encode_intra,
        "encode_inter": encode_inter,
        "loop_intra": lambda: (encode_intra(), decode_intra()),
        "loop_inter": lambda: (encode_inter(), decode_inter()),
        "decode_intra": lambda: _analyse(codec, decode_intra(), zero_motion),
        "decode_inter": analyse_inter,
    }
    image = window.shape[-2], window.shape[-1]
    return {name: ProfiledCall(torch.no_grad()(job), image) for name, job in jobs.items()}


def _analyse(codec: SCINetworks, feature: Tensor, motion: Tensor) -> Tensor:
    """Return the output of FAM for five copies of a feature."""
    if codec.fam is None:
        return codec.feature_image(feature)
    count = 2 * NEIGHBOURS_PER_SIDE + 1
    features, motions = (x[:, None].expand(-1, count, -1, -1, -1) for x in (feature, motion))
    return codec.fam(*gather_analysis_input(features, motions, NEIGHBOURS_PER_SIDE))
