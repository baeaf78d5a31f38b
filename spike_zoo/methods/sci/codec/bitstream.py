"""Encoding and decoding of ``.sci`` bitstreams by groups of pictures."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import threading
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor

from spike_zoo.coding import container, rans
from spike_zoo.coding import errors as coding_errors
from spike_zoo.coding import tables as frequency_tables
from spike_zoo.coding.header import Header
from spike_zoo.errors import ConfigError
from spike_zoo.methods.sci.codec.frames import CodecNetworks, decode_frames, encode_frames
from spike_zoo.methods.sci.codec.inter import MODE_STOPS
from spike_zoo.methods.sci.codec.networks import SCINetworks
from spike_zoo.methods.sci.codec.refinement import STEPS, refined
from spike_zoo.methods.sci.codec.scale_net import ScaleNet
from spike_zoo.methods.sci.codec.symbols import SymbolDecoder, SymbolEncoder
from spike_zoo.methods.sci.features.blocks import FEATURES
from spike_zoo.methods.sci.features.fem import STEP, WINDOW
from spike_zoo.spikes.recording import SpikeRecording

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
_NOT_DECODED: Final = {
    "IntegerLayer": ("weight", "bias", "step"),
    "ScaleNet": ("probe_crc", "is_final"),
    "HyperPrior": ("logits", "means", "log_scales"),
}
"""State by class that decoding does not use: parameters behind integers and tables, and checks."""


@dataclass
class DecodedBitstream:
    """Decoded features and motion of a bitstream, or of some of its groups of pictures.

    Shape:
        - features: float32 ``(n, 3, H, W)`` in [0, 1], on the CPU.
        - motion: float32 ``(n, 2, H, W)`` in pixels, from each feature to the previous one; zero
          for I-frames.
    """

    features: Tensor
    motion: Tensor
    #: Indexes of the features in the recording, ascending. Features of damaged groups are missing.
    feature_index: Sequence[int]
    header: Header  #: header of the bitstream
    errors: Sequence[coding_errors.BitstreamError] = ()  #: errors of damaged groups

    @classmethod
    def of_group(
        cls, features: Tensor, motion: Tensor, group: int, header: Header
    ) -> DecodedBitstream:
        """Return a decoded group of pictures, with the index ``group`` in the file."""
        first = group * header.gop
        return cls(features, motion, tuple(range(first, first + len(features))), header)

    @classmethod
    def of_groups(
        cls, groups: Iterable[DecodedBitstream], reader: container.BitstreamReader
    ) -> DecodedBitstream:
        """Concatenate all decoded groups of a reader."""
        parts, size = list(groups), (reader.header.height, reader.header.width)
        features, motion = torch.empty(0, 3, *size), torch.empty(0, 2, *size)
        return cls(
            torch.cat([part.features for part in parts] or [features]),
            torch.cat([part.motion for part in parts] or [motion]),
            tuple(index for part in parts for index in part.feature_index),
            reader.header,
            tuple(reader.errors),
        )

    @property
    def planes(self) -> tuple[int, ...]:
        """Plane of the recording of each feature."""
        return tuple(self.header.plane(index) for index in self.feature_index)


def digest_of(codec: SCINetworks) -> bytes:
    """Return the identifier of a model in bitstreams: a hash of all state that decoding uses.

    Encoder networks, FMVR and FAM are excluded: if they are trained further, bitstreams stay
    readable.
    """
    digest = hashlib.sha256(frequency_tables.asset_bytes())
    if codec.codec_networks is not None:
        inter = codec.codec_networks.inter
        switches = {name: getattr(inter, name) for name in ("context", "temporal_prior", "skip")}
        if (passes := inter.entropy.content.passes) > 2:
            switches["passes"] = passes
        digest.update(repr((switches, MODE_STOPS)).encode())
    not_decoded = {
        f"{owner}.{name}"
        for owner, module in codec.named_modules()
        for name in _NOT_DECODED.get(type(module).__name__, ())
    }
    state = codec.state_dict()
    for name in sorted(state.keys() - not_decoded):
        if any(name.startswith(f"{part}.") for part in _DECODER):
            tensor = state[name].detach().cpu().contiguous()
            shape = ",".join(map(str, tensor.shape))
            dtype = str(tensor.dtype).removeprefix("torch.")
            digest.update(f"{name}|{dtype}|{shape}|".encode())
            digest.update(tensor.numpy().tobytes())
    return digest.digest()[:DIGEST_BYTES]


def scale_nets(codec: SCINetworks) -> list[ScaleNet]:
    """Return all networks that predict scale indexes."""
    return [module for module in codec.modules() if isinstance(module, ScaleNet)]


def codec_networks_of(codec: SCINetworks) -> CodecNetworks:
    """Return the networks of I- and P-frames."""
    if codec.codec_networks is None:
        raise ConfigError(
            "these weights have no codec: they are of a stage before 'codec'. Bitstreams are made "
            "and read by weights of stage 'codec' or 'joint', such as sci"
        )
    if not all(bool(net.is_final) for net in scale_nets(codec)):
        raise coding_errors.NotFinalizedError(
            "this codec is not final: call update_tables() once its training is done; "
            "checkpoints of stage 'codec' are final"
        )
    return codec.codec_networks


def source_of(recording: SpikeRecording) -> int:
    """Return the CRC-32 of three planes of a recording, which identifies its chunks."""
    checksum = 0
    for plane in {0, len(recording) // 2, len(recording) - 1}:
        checksum = zlib.crc32(recording.read_packed(plane, plane + 1).tobytes(), checksum)
    return checksum


def payloads(
    codec: SCINetworks,
    features: Iterable[Tensor],
    header: Header,
    effort: int = 0,
    groups: range | None = None,
) -> Iterator[bytes]:
    """Yield the payload of each group of pictures of features ``(1, 3, H, W)`` in order of time.

    The codec is in evaluation mode. ``effort`` (0 to 3) selects the steps that refine I-frames.
    ``groups`` are those of the features, by default all.
    """
    coding = codec_networks_of(codec)
    check_exact(codec)
    quality, remaining = header.quality, iter(features)
    for group in range(header.groups) if groups is None else groups:
        frames = itertools.islice(remaining, header.group_length(group))
        encoder = rans.GroupEncoder()
        options: Any = {"estimation": codec.motion, "weight": codec.rd_weights[quality]}
        if effort:
            options["refine"] = partial(refined, steps=STEPS[effort], weights=codec.rd_weights)
        with exact_context(next(codec.parameters()).device):
            for _ in encode_frames(coding, SymbolEncoder(encoder), frames, quality, **options):
                pass
        yield encoder.finish()


def decoded_group(
    codec: SCINetworks, payload: bytes, header: Header, group: int
) -> tuple[Tensor, Tensor]:
    """Decode a group of pictures to features ``(n, 3, H, W)`` and motion ``(n, 2, H, W)``."""
    coding = codec_networks_of(codec)
    device = next(codec.parameters()).device
    decoder = rans.GroupDecoder(payload, group)
    count, size = header.group_length(group), (header.height, header.width)
    features, motions = torch.empty(count, FEATURES, *size), torch.empty(count, 2, *size)
    frames = decode_frames(coding, SymbolDecoder(decoder, device), size, header.quality, count)
    try:
        with exact_context(device):
            for number, frame in enumerate(frames):
                features[number] = frame.feature.clamp(0.0, 1.0).cpu()[0]
                motions[number] = frame.motion.cpu()[0]
    except coding_errors.BitstreamError:
        raise
    except ValueError as error:  # for example infinite motion, decoded from wrong symbols
        raise coding_errors.DecodeMismatchError(
            f"group of pictures {group}: {error}; its symbols are not those that were written",
            gop=group,
        ) from error
    decoder.finish()
    return features, motions


def decoded_groups(
    codec: SCINetworks, reader: container.BitstreamReader
) -> Iterator[DecodedBitstream]:
    """Yield the decoded groups of pictures.

    If the reader is not strict, groups that cannot be decoded are left out, and their errors are
    appended to ``reader.errors``.
    """
    header = reader.header
    check_model(codec, header)
    check_exact(codec)
    for group, payload in reader:
        try:
            features, motions = decoded_group(codec, payload, header, group)
        except coding_errors.BitstreamError as error:
            if reader.strict:
                raise
            reader.errors.append(error)
            continue
        yield DecodedBitstream.of_group(features, motions, group, header)


def check_model(codec: SCINetworks, header: Header) -> None:
    """Reject a bitstream of another model or another feature layout."""
    codec_networks_of(codec)
    values = header.window, header.step, header.channels
    if values != (WINDOW, STEP, FEATURES):
        raise coding_errors.BitstreamError(
            f"the header has {values[0]} planes a frame, {values[1]} apart, {values[2]} channels; "
            f"SCI's have {WINDOW}, {STEP} and {FEATURES}: another program wrote it, or it is "
            "damaged"
        )
    own = digest_of(codec)
    if own != header.digest:
        raise coding_errors.ModelMismatchError(
            f"the bitstream was made by model {header.digest.hex()}, and this one is {own.hex()}; "
            "decode with the weights that made it",
            of_file=header.digest,
            of_model=own,
        )


def check_exact(codec: SCINetworks) -> None:
    """Check, once per device and model, that the scale networks compute integers exactly."""
    device = next(codec.parameters()).device
    key = str(device), tuple(int(net.probe_crc) for net in scale_nets(codec))
    if key not in _CHECKED:
        for net in scale_nets(codec):
            net.check(device)
        _CHECKED.add(key)


_CHECKED: set[tuple[str, tuple[int, ...]]] = set()


@contextlib.contextmanager
def exact_context(device: torch.device) -> Iterator[None]:
    """Compute in float32 with deterministic algorithms: no autocast, TF32, bf16 or gradients.

    The settings are global to the process, therefore a lock serialises threads.
    """
    with _EXACT:
        deterministic = torch.get_deterministic_debug_mode()
        precision, tf32 = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        memory: Any = torch.utils.deterministic
        fills = memory.fill_uninitialized_memory
        try:
            torch.backends.cudnn.allow_tf32 = False
            torch.set_float32_matmul_precision("highest")
            # use_deterministic_algorithms would import the compiler, which takes two seconds
            torch.set_deterministic_debug_mode("warn")
            memory.fill_uninitialized_memory = False  # saves 5 % of the time
            with torch.inference_mode(), torch.autocast(device.type, enabled=False):
                yield
        finally:
            torch.set_deterministic_debug_mode(deterministic)
            torch.set_float32_matmul_precision(precision)
            torch.backends.cudnn.allow_tf32 = tf32
            memory.fill_uninitialized_memory = fills


_EXACT = threading.RLock()
