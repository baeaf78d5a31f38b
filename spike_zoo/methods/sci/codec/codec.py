"""SCI's codec: bitstreams of spike streams, and images of decoded bitstreams."""

import contextlib
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from spike_zoo.coding import container
from spike_zoo.coding.header import Header
from spike_zoo.errors import ConfigError, PlaneRangeError
from spike_zoo.methods.sci.analysis.fam import AnalysisInput, gather_analysis_input
from spike_zoo.methods.sci.codec.bitstream import (
    DecodedBitstream,
    codec_networks_of,
    decoded_groups,
    digest_of,
    payloads,
    source_of,
)
from spike_zoo.methods.sci.codec.entropy import LatentEntropy
from spike_zoo.methods.sci.codec.networks import FeatureStream, SCINetworks
from spike_zoo.methods.sci.features.fem import MIN_SIDE, NEIGHBOURS_PER_SIDE, WINDOW
from spike_zoo.nn import threads
from spike_zoo.nn.eval_mode import eval_mode
from spike_zoo.spikes.recording import SpikeRecording, check_recording


class SCICodec(SCINetworks):
    """Networks of SCI with the functions of its bitstreams as methods; arguments as of the base.

    Source: Sec. IV and Fig. 3 of the paper.
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
        codec_networks_of(self)
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
        options: dict[str, Any] = {"quality": quality, "gop": gop, "fps": recording.fps or None}
        options |= {"rate_scale": rate_scale or recording.rate_scale}
        source = source_of(recording)
        header = Header(digest_of(self), height, width, planes, source=source, **options)
        try:
            header.pack()
        except ValueError as error:
            raise ConfigError(str(error)) from error
        return header

    def compress_stream(
        self,
        recording: SpikeRecording,
        header: Header,
        *,
        effort: int = 0,
        groups: range | None = None,
    ) -> Iterator[bytes]:
        """Yield the payload of each group of pictures, or of some ``groups``, with constant memory.

        :class:`~spike_zoo.coding.container.BitstreamWriter` writes the payloads to a file.

        Args:
            recording: The spikes.
            header: Header of the bitstream, see :meth:`header`.
            effort: As of :meth:`compress`.
            groups: Indices of the groups; by default all.
        """
        stream = FeatureStream(self, recording, header.rate_scale or 1.0, size=5)
        groups = range(header.groups) if groups is None else groups
        frames = range(header.frames)[groups.start * header.gop : groups.stop * header.gop]
        features = (stream.coded(header.plane(number)) for number in frames)
        if stream.device.type == "cpu":
            features = threads.computed_ahead(features)
        with eval_mode(self), contextlib.closing(features):
            yield from payloads(self, features, header, effort, groups)

    def compress(
        self,
        recording: SpikeRecording,
        quality: int = 2,
        gop: int = 8,
        *,
        rate_scale: float | None = None,
        effort: int = 0,
    ) -> bytes:
        """Encode a recording to a bitstream, see :mod:`spike_zoo.coding.container`.

        Args:
            recording: The spikes.
            quality: 0 (fewest bits) to 3 (best).
            gop: Features per group of pictures: one I-frame, then P-frames. Each group is decoded
                independently.
            rate_scale: Spikes per plane at white; by default that of the recording, else 1.
            effort: 0 (fastest) to 3 (fewest bits): I-frames are refined by 0, 20, 60 or 200 steps
                of gradient descent, each about three times as long as decoding the frame.

        Raises:
            PlaneRangeError: If the recording has fewer than 13 planes.
            ConfigError: If a side is below 16 pixels, or the weights have no codec.
            NotFinalizedError: If the entropy model is not final.
        """
        header = self.header(recording, quality=quality, gop=gop, rate_scale=rate_scale)
        target = io.BytesIO()
        with container.BitstreamWriter(target, header) as writer:
            for payload in self.compress_stream(recording, header, effort=effort):
                writer.append(payload)
        return target.getvalue()

    def decompress_stream(self, reader: container.BitstreamReader) -> Iterator[DecodedBitstream]:
        """Yield the decoded groups of pictures of a bitstream, with constant memory."""
        with eval_mode(self):
            yield from decoded_groups(self, reader)

    def decompress(self, data: bytes | str | Path, strict: bool = True) -> DecodedBitstream:
        """Decode a bitstream to features and motion.

        Args:
            data: The bitstream, or the path of a file.
            strict: Raise an error for damage; otherwise return the intact groups and the errors.

        Raises:
            ModelMismatchError: If the bitstream was written by another model.
            BitstreamError: If the data are damaged or not a bitstream.
        """
        reader = container.BitstreamReader(data, strict)
        return DecodedBitstream.of_groups(self.decompress_stream(reader), reader)

    @torch.inference_mode()
    def reconstruct_stream(
        self, groups: Iterable[DecodedBitstream]
    ) -> Iterator[tuple[int, Tensor]]:
        """Yield the index and the image ``(1, H, W)`` in [0, 1] of each decoded feature.

        Memory is constant. ``groups`` must be in order of time.
        """
        with eval_mode(self):
            if self.fam is None or self.analysis == "encoder":
                for decoded in groups:
                    images = self.feature_image(decoded.features).clamp(0.0, 1.0)
                    yield from zip(decoded.feature_index, images, strict=True)
                return
            for number, analysis in analysis_inputs(self, groups):
                yield number, self.fam(*analysis)[0].float().clamp(0.0, 1.0).cpu()

    def reconstruct(self, decoded: DecodedBitstream) -> Tensor:
        """Return the images of decoded features, ``(N, 1, H, W)`` in [0, 1], on the CPU.

        Without FAM, or with the analysis in the encoder, an image is the mean of a feature over its
        channels.
        """
        images = [image for _, image in self.reconstruct_stream([decoded])]
        return torch.stack(images) if images else decoded.features.mean(dim=1, keepdim=True)


class DecodedFeature(NamedTuple):
    """A decoded feature with the motion to the previous feature."""

    feature: Tensor  # (1, 3, H, W)
    motion: Tensor  # (1, 2, H, W) in pixels, refined
    number: int  # index of the feature in the recording
    group: int  # index of its group of pictures


def decoded_features(
    codec: SCINetworks, groups: Iterable[DecodedBitstream]
) -> Iterator[DecodedFeature]:
    """Yield each decoded feature with its motion for the analysis, on the codec's device.

    FMVR refines the motion of P-frames. The motion of I-frames is zero, or estimated here if
    ``codec.iframe_motion`` is ``"decoder_me"``.
    """
    device = next(codec.parameters()).device
    previous: DecodedFeature | None = None
    for decoded in groups:
        for index, feature, motion in zip(
            decoded.feature_index, decoded.features, decoded.motion, strict=True
        ):
            current, backward = feature[None].to(device), motion[None].to(device)
            follows = previous is not None and previous.number == index - 1
            if index % decoded.header.gop:
                backward = backward if codec.fmvr is None else codec.fmvr(backward, current)
            elif codec.iframe_motion == "decoder_me" and previous is not None and follows:
                backward = codec.estimate_flow(current, previous.feature)
            previous = DecodedFeature(current, backward, index, index // decoded.header.gop)
            yield previous


@torch.inference_mode()
def analysis_inputs(
    codec: SCINetworks, groups: Iterable[DecodedBitstream]
) -> Iterator[tuple[int, AnalysisInput]]:
    """Yield the index of each decoded feature and the input of its analysis.

    At most five features are held in memory. If a neighbour is missing, at an end or because its
    group is damaged, the nearest available feature is used.
    """
    run: list[DecodedFeature] = []  # consecutive features
    target = 0
    for decoded in decoded_features(codec, groups):
        crosses = codec.boundary == "gop" and bool(run) and decoded.group != run[-1].group
        if run and (crosses or decoded.number != run[-1].number + 1):
            yield from (_around(run, index) for index in range(target, len(run)))
            run, target = [], 0
        run.append(decoded)
        if target + NEIGHBOURS_PER_SIDE < len(run):
            yield _around(run, target)
            target += 1
        if target > NEIGHBOURS_PER_SIDE:
            run, target = run[1:], target - 1
    yield from (_around(run, index) for index in range(target, len(run)))


def _around(run: list[DecodedFeature], target: int) -> tuple[int, AnalysisInput]:
    features = torch.stack([decoded.feature for decoded in run], dim=1)
    motions = torch.stack([decoded.motion for decoded in run], dim=1)
    return run[target].number, gather_analysis_input(features, motions, target)
