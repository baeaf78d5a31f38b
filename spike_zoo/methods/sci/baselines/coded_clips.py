"""Clips of one analysis after coding and decoding: the input of recognition after a codec."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from spike_zoo.coding.sci.chunks import HEAD_BYTES
from spike_zoo.coding.sci.header import HEADER_BYTES
from spike_zoo.coding.sci.rans import GroupEncoder
from spike_zoo.methods.sci.analysis.fam import AnalysisInput, surroundings
from spike_zoo.methods.sci.codec.bitstream import check_exact, coding_of, exact_context
from spike_zoo.methods.sci.codec.frames import encode_frames, in_time
from spike_zoo.methods.sci.codec.symbols import SymbolEncoder

if TYPE_CHECKING:
    from torch import Tensor

    from spike_zoo.methods.sci.codec.codec import SCICodec


class CodedClips(NamedTuple):
    """A batch of clips, coded and decoded.

    Attributes:
        analysis: What an analysis takes of the decoded middle feature.
        n_bytes: Length of the whole file of each clip.
    """

    analysis: AnalysisInput
    n_bytes: list[int]


def coded_clips(codec: SCICodec, spikes: Tensor, rate_scale: Tensor, quality: int) -> CodedClips:
    """Code the features of clips, each clip a stream of one group of pictures.

    A closed loop decodes what it codes, so streams are not read again.

    Args:
        codec: Final, with a coder.
        spikes: ``(B, T, H, W)``, T at least 41.
        rate_scale: Spikes per plane at white, ``(B,)``.
        quality: 0 to 3.
    """
    coding = coding_of(codec)
    check_exact(codec)
    encoders = [GroupEncoder() for _ in spikes]
    with exact_context(spikes.device):
        features = codec.features(spikes, rate_scale).float()
        frames = encode_frames(
            coding,
            SymbolEncoder(*encoders),
            features.unbind(1),
            quality,
            estimation=codec.motion,
            weight=codec.lambdas[quality],
        )
        decoded, motion = in_time(coding, list(frames))
        analysis = surroundings(decoded, motion, features.shape[1] // 2)
    sizes = [HEADER_BYTES + HEAD_BYTES + len(encoder.finish()) for encoder in encoders]
    return CodedClips(analysis, sizes)
