"""SCI's codec: bitstreams of spike streams, and images and classes of decoded bitstreams."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spike_zoo.coding.container import BitstreamReader, BitstreamWriter
from spike_zoo.coding.header import Header
from spike_zoo.errors import ConfigError, PlaneRangeError
from spike_zoo.methods.sci.codec.bitstream import (
    SCIDecoded,
    coding_of,
    decoded_groups,
    digest_of,
    join_groups,
    payloads,
    source_of,
)
from spike_zoo.methods.sci.codec.decoded import class_probabilities, pictures
from spike_zoo.methods.sci.codec.entropy import LatentEntropy
from spike_zoo.methods.sci.codec.feature_stream import FeatureStream
from spike_zoo.methods.sci.codec.networks import SCINetworks
from spike_zoo.methods.sci.features.fem import MIN_SIDE, WINDOW
from spike_zoo.nn.eval_mode import eval_mode
from spike_zoo.spikes import SpikeRecording
from spike_zoo.spikes.recording import check_recording


class SCICodec(SCINetworks):
    """Networks of SCI with the functions of its bitstreams as methods; arguments as of the base.

    Source: *A Joint Visual Compression and Perception Framework for Neuralmorphic Spiking Camera*,
    Sec. IV and Fig. 3.
    """

    def update_tables(self) -> bytes:
        """Convert the entropy models to integer networks and tables, after training.

        Returns:
            The digest that is stored in bitstreams of these weights.
        """
        for module in self.modules():
            if isinstance(module, LatentEntropy):
                module.finalize()
        return digest_of(self)

    def header(
        self,
        recording: SpikeRecording,
        *,
        quality: int = 2,
        gop: int = 8,
        rate_scale: float | None = None,
    ) -> Header:
        """Return the header of a recording's bitstream; arguments as of :meth:`compress`."""
        check_recording(recording)
        coding_of(self)
        planes, height, width = recording.shape
        if planes < WINDOW:
            raise PlaneRangeError(
                f"a bitstream holds features, each of {WINDOW} planes; this recording has {planes}"
            )
        if min(height, width) < MIN_SIDE:
            raise ConfigError(
                f"planes of {width} x {height} pixels (W x H) cannot be coded: both sides must be "
                f"at least {MIN_SIDE}"
            )
        header = Header(
            digest_of(self),
            height,
            width,
            planes,
            quality=quality,
            gop=gop,
            fps=recording.fps or None,
            rate_scale=rate_scale or recording.rate_scale,
            source=source_of(recording),
        )
        try:
            header.pack()
        except ValueError as error:
            raise ConfigError(str(error)) from error
        return header

    def compress_stream(
        self,
        recording: SpikeRecording,
        *,
        quality: int = 2,
        gop: int = 8,
        rate_scale: float | None = None,
    ) -> Iterator[bytes]:
        """Yield the payload of each group of pictures, with constant memory.

        Arguments as of :meth:`compress`. :class:`spike_zoo.coding.BitstreamWriter` writes the
        payloads to a file.
        """
        header = self.header(recording, quality=quality, gop=gop, rate_scale=rate_scale)
        with eval_mode(self):
            stream = FeatureStream(self, recording, header.rate_scale or 1.0, kept=0)
            features = (stream.feature(header.plane(number)) for number in range(header.frames))
            yield from payloads(self, features, header)

    def compress(
        self,
        recording: SpikeRecording,
        quality: int = 2,
        gop: int = 8,
        *,
        rate_scale: float | None = None,
    ) -> bytes:
        """Encode a recording to a bitstream, see :mod:`spike_zoo.coding.container`.

        Args:
            recording: The spikes.
            quality: 0 (fewest bits) to 3 (best).
            gop: Features per group of pictures: one I-frame, then P-frames. Each group is decoded
                independently.
            rate_scale: Spikes per plane at white; by default that of the recording, else 1.

        Raises:
            ConfigError: If this codec has no coder, or an argument is outside its range.
            NotFinalizedError: If :meth:`update_tables` was not called.
            PlaneRangeError: If the recording has fewer than 13 planes.
            UsageError: If ``recording`` is not a :class:`SpikeRecording`.
        """
        options: dict[str, Any] = {"quality": quality, "gop": gop, "rate_scale": rate_scale}
        target = io.BytesIO()
        with BitstreamWriter(target, self.header(recording, **options)) as writer:
            for payload in self.compress_stream(recording, **options):
                writer.append(payload)
        return target.getvalue()

    def decompress_stream(self, reader: BitstreamReader) -> Iterator[SCIDecoded]:
        """Yield the decoded groups of pictures of a bitstream, with constant memory."""
        with eval_mode(self):
            yield from decoded_groups(self, reader)

    def decompress(self, data: bytes | str | Path, strict: bool = True) -> SCIDecoded:
        """Decode a bitstream to features and motion.

        Args:
            data: The bitstream, or the path of a file.
            strict: Raise an error for damage; otherwise return the intact groups and the errors.

        Raises:
            ModelMismatchError: If the bitstream was written by another model.
            BitstreamError: If the data are damaged or not a bitstream.
        """
        reader = BitstreamReader(data, strict)
        return join_groups(reader, self.decompress_stream(reader))

    def reconstruct_stream(self, groups: Iterable[SCIDecoded]) -> Iterator[tuple[int, Tensor]]:
        """Yield the index and the image ``(1, H, W)`` in [0, 1] of each decoded feature.

        Memory is constant. ``groups`` must be in order of time.
        """
        with eval_mode(self):
            yield from pictures(self, groups)

    def reconstruct(self, decoded: SCIDecoded) -> Tensor:
        """Return the images of decoded features, ``(N, 1, H, W)`` in [0, 1], on the CPU.

        Without FAM, an image is the mean of a feature over its channels.
        """
        images = [image for _, image in self.reconstruct_stream([decoded])]
        return torch.stack(images) if images else decoded.features.mean(dim=1, keepdim=True)

    def classify(self, decoded: SCIDecoded) -> Tensor:
        """Return the probability of each class, ``(classes,)``, for all features together.

        Raises:
            ConfigError: If these weights do not predict classes, or nothing was decoded.
        """
        with eval_mode(self):
            return class_probabilities(self, decoded)
