"""Recordings to ``.sci`` bitstreams and back, group of pictures after group of pictures."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from torch import Tensor

from spike_zoo.coding.errors import BitstreamError, NotFinalizedError
from spike_zoo.coding.header import Header
from spike_zoo.coding.tables import asset_bytes
from spike_zoo.errors import ConfigError, PlaneRangeError
from spike_zoo.methods.sci.fem import WINDOW
from spike_zoo.methods.sci.frames import Coding
from spike_zoo.methods.sci.scale_net import QUALITIES, ScaleNet

if TYPE_CHECKING:
    from spike_zoo.methods.sci.network import SCICodec
    from spike_zoo.spikes import SpikeRecording

DIGEST_BYTES: Final = 12
_DECODER: Final = (
    "intra.entropy",
    "intra.synthesis",
    "inter.entropy",
    "inter.motion_synthesis",
    "inter.contexts",
    "inter.synthesis",
    "gains.decoder",
)
_SHADOWS: Final = (
    "weight",
    "bias",
    "step",
    "logits",
    "means",
    "log_scales",
    "probe_crc",
    "is_final",
)


@dataclass
class SCIDecoded:
    """What a bitstream holds once it is decoded.

    Shape:
        - features: float32 ``(n, 3, H, W)`` in [0, 1], on the CPU.
        - motion: float32 ``(n, 2, H, W)`` in pixels, of each feature to the one before it; zero of
          I-frames, which have none.

    Attributes:
        feature_index: Which frames of the recording they are, in order; all of them unless damaged
            groups were left out.
        header: What the file's begin says.
        errors: What was wrong with groups that were left out.
    """

    features: Tensor
    motion: Tensor
    feature_index: tuple[int, ...]
    header: Header
    errors: tuple[BitstreamError, ...] = field(default=())

    @property
    def planes(self) -> tuple[int, ...]:
        """The plane of the recording that each feature shows."""
        half, step = self.header.window // 2, self.header.step
        return tuple(half + step * index for index in self.feature_index)


def digest_of(codec: SCICodec) -> bytes:
    """Return what names a model in its bitstreams: a hash of all that a decoder computes with.

    Encoders and analysis modules may be trained on; streams stay readable.
    """
    found = hashlib.sha256(asset_bytes())
    state = codec.state_dict()
    for name in sorted(state):
        inside = any(name.startswith(f"{part}.") for part in _DECODER)
        if inside and not _is_shadow(codec, name):
            tensor = state[name].detach().cpu().contiguous()
            shape = ",".join(map(str, tensor.shape))
            found.update(f"{name}|{str(tensor.dtype).removeprefix('torch.')}|{shape}|".encode())
            found.update(tensor.numpy().tobytes())
    return found.digest()[:DIGEST_BYTES]


def _is_shadow(codec: SCICodec, name: str) -> bool:
    """Return whether a tensor is only trained with: its integers or tables stand for it."""
    owner, _, last = name.rpartition(".")
    parts = owner.split(".")
    in_scales = "scales" in parts or (parts[-1] == "prior" and "entropy" in parts)
    return in_scales and last in _SHADOWS


def scale_nets(codec: SCICodec) -> list[ScaleNet]:
    """Return all networks that select tables."""
    return [module for module in codec.modules() if isinstance(module, ScaleNet)]


def coding_of(codec: SCICodec) -> Coding:
    """Return the networks that code features.

    Raises:
        ConfigError: If there are none.
        NotFinalizedError: If they were not made final after their training.
    """
    if codec.coding is None:
        raise ConfigError(
            "these weights have no codec: they are of a stage before 'codec'; bitstreams are made "
            "and read by weights of stage 'codec' or 'joint', as those of sci-small"
        )
    if not all(bool(net.is_final) for net in scale_nets(codec)):
        raise NotFinalizedError(
            "this codec is not final: call finalize_entropy() once its training is done; "
            "checkpoints of stage 'codec' are final"
        )
    return codec.coding


def header_of(
    codec: SCICodec,
    recording: SpikeRecording,
    *,
    quality: int,
    gop: int,
    rate_scale: float | None = None,
) -> Header:
    """Return what a bitstream of a recording begins with.

    Raises:
        ConfigError: If quality or gop are outside their range.
        PlaneRangeError: If the recording is too short for one feature.
    """
    coding_of(codec)
    if not 0 <= quality < QUALITIES:
        raise ConfigError(f"quality must be 0 to {QUALITIES - 1}, got {quality}")
    if not 1 <= gop <= 0xFFFF:
        raise ConfigError(f"gop must be 1 to 65535 frames, got {gop}")
    planes, height, width = recording.shape
    if planes < WINDOW:
        raise PlaneRangeError(
            f"{planes} planes hold no feature, which takes {WINDOW}", path=str(recording.source)
        )
    return Header(
        digest_of(codec),
        height,
        width,
        planes,
        quality=quality,
        gop=gop,
        fps=recording.fps,
        rate_scale=rate_scale or recording.rate_scale,
    )
