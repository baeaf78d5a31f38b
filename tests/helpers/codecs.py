"""A lossless codec of spike counts without networks, so that decoded values are known."""

from __future__ import annotations

import io
import os
import signal
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from spike_zoo.coding import BitstreamError, BitstreamReader, BitstreamWriter, Header
from spike_zoo.coding.errors import ModelMismatchError
from spike_zoo.coding.rans import GroupDecoder, GroupEncoder
from spike_zoo.coding.tables import gaussian_tables
from spike_zoo.methods.sci.codec.bitstream import DecodedBitstream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from spike_zoo.spikes import SpikeRecording

LEVEL = 40  # a standard deviation of about 6


class SumsCodec(nn.Module):
    """Code the spike count of each pixel in 13 planes as the difference to the previous window.

    Args:
        version: Last byte of the model digest.
        stops_after: Number of groups after which the codec sends SIGTERM to its process.
    """

    def __init__(self, version: int = 1, stops_after: int | None = None) -> None:
        super().__init__()
        self.digest = bytes(11) + bytes([version])
        self.stops_after = stops_after

    def header(
        self, recording: SpikeRecording, *, quality: int, gop: int, rate_scale: float | None = None
    ) -> Header:
        planes, height, width = recording.shape
        return Header(
            *(self.digest, height, width, planes),
            quality=quality,
            gop=gop,
            fps=recording.fps or None,
            rate_scale=rate_scale or recording.rate_scale,
        )

    def compress(self, recording: SpikeRecording, quality: int = 2, gop: int = 8) -> bytes:
        stream, header = io.BytesIO(), self.header(recording, quality=quality, gop=gop)
        with BitstreamWriter(stream, header) as writer:
            for payload in self.compress_stream(recording, header):
                writer.append(payload)
        return stream.getvalue()

    def compress_stream(
        self,
        recording: SpikeRecording,
        header: Header,
        *,
        effort: int = 0,
        groups: range | None = None,
    ) -> Iterator[bytes]:
        for k in groups or range(header.groups):
            if k == self.stops_after:
                os.kill(os.getpid(), signal.SIGTERM)
            encoder, before = GroupEncoder(), np.zeros(recording.shape[1:], int)
            for frame in range(header.group_length(k)):
                first = header.step * (k * header.gop + frame)
                sums = recording[first : first + header.window].sum(axis=0)
                symbols = (sums - before).ravel()
                encoder.push(symbols, np.full(symbols.size, LEVEL), gaussian_tables())
                before = sums
            yield encoder.finish()

    def decompress(self, data: bytes, strict: bool = True) -> DecodedBitstream:
        reader = BitstreamReader(data, strict)
        return DecodedBitstream.of_groups(self.decompress_stream(reader), reader)

    def decompress_stream(self, reader: BitstreamReader) -> Iterator[DecodedBitstream]:
        header = reader.header
        if header.digest != self.digest:
            raise ModelMismatchError("made by another", of_file=header.digest, of_model=self.digest)
        for k, payload in reader:
            try:
                sums = self._group(payload, k, header)
            except BitstreamError as error:
                if reader.strict:
                    raise
                reader.errors.append(error)
                continue
            features = torch.from_numpy(sums / header.window).float()[:, None].repeat(1, 3, 1, 1)
            motion = torch.zeros(len(features), 2, header.height, header.width)
            yield DecodedBitstream.of_group(features, motion, k, header)

    def _group(self, payload: bytes, k: int, header: Header) -> NDArray[np.int32]:
        decoder, size = GroupDecoder(payload, k), header.height * header.width
        table = np.full(size, LEVEL)
        frames = [decoder.pull(table, gaussian_tables()) for _ in range(header.group_length(k))]
        decoder.finish()
        return np.cumsum(frames, axis=0, dtype=np.int32).reshape(-1, header.height, header.width)

    def reconstruct(self, decoded: DecodedBitstream) -> Tensor:
        scale = decoded.header.rate_scale or 1.0
        return (decoded.features.mean(dim=1, keepdim=True) / scale).clamp(0, 1)

    def reconstruct_stream(
        self, groups: Iterable[DecodedBitstream]
    ) -> Iterator[tuple[int, Tensor]]:
        for group in groups:
            yield from zip(group.feature_index, self.reconstruct(group), strict=True)


class SumsModule(nn.Module):
    """A method that compresses, and classifies recordings as dark or light.

    Args:
        version: Last byte of the model digest.
        stops_after: Number of groups after which the codec sends SIGTERM to its process.
    """

    label_names = ("dark", "light")

    def __init__(self, version: int = 1, stops_after: int | None = None) -> None:
        super().__init__()
        self.hparams = {"version": version, "stops_after": stops_after}
        self.codec = SumsCodec(version, stops_after)

    def classify(
        self, recording: SpikeRecording, *, rate_scale: float | None = None, progress: object = None
    ) -> Tensor:
        light = torch.tensor(recording[:].mean() / (rate_scale or recording.rate_scale or 1.0))
        return torch.stack([1 - light, light])

    def classify_bitstream(self, data: bytes) -> Tensor:
        light = self.codec.reconstruct(self.codec.decompress(data)).mean()
        return torch.stack([1 - light, light])
