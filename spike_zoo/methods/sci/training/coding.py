"""Coder of recordings with SCI's networks, and its evaluator."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, cast

import torch
from lightning import LightningDataModule
from torch import Tensor

from spike_zoo.coding.header import Header, file_bytes
from spike_zoo.errors import ConfigError
from spike_zoo.methods.sci.codec.bitstream import DecodedBitstream, decoded_group, payloads
from spike_zoo.methods.sci.codec.codec import SCICodec
from spike_zoo.methods.sci.codec.frames import CodecNetworks, encode_frames
from spike_zoo.methods.sci.codec.networks import FeatureStream
from spike_zoo.methods.sci.codec.profiling import coding_calls
from spike_zoo.methods.sci.codec.scale_net import QUALITIES
from spike_zoo.methods.sci.codec.symbols import RateEstimator
from spike_zoo.methods.sci.features.fem import STEP, WINDOW
from spike_zoo.methods.sci.training.losses import rate_of
from spike_zoo.metrics import flow as flow_errors
from spike_zoo.metrics.image import psnr
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.tasks import evaluation as results
from spike_zoo.tasks.batch import SceneBatch, Split
from spike_zoo.tasks.evaluators.base import Evaluator
from spike_zoo.tasks.evaluators.coding import (
    CodedScene,
    CodingEvaluator,
    CompressedRecording,
    coded_scenes,
)
from spike_zoo.tasks.evaluators.flow import FlowEvaluator

RATES = ("bpp", "bpp_payload", "bpp_f")
"""Rates of a test: bits of files and of symbols per pixel and plane, and of files per feature."""


class PreparedRecording(NamedTuple):
    """Features of a recording, shared by all qualities."""

    features: list[Tensor]  # ``(1, 3, H, W)`` each
    header: Header  # of the bitstreams, without the quality


class SCICoder:
    """Coder of the evaluation: encodes and decodes the features of recordings.

    Args:
        codec: The networks, with a codec.
        gop: Features per group of pictures.
        effort: Refinement of I-frames.
    """

    def __init__(self, codec: SCICodec, gop: int, effort: int = 0) -> None:
        self.codec, self.gop, self.effort = codec, gop, effort

    def prepared(self, scene: CodedScene) -> PreparedRecording:
        """Return the features of a recording."""
        planes, height, width = scene.spikes.shape
        digest = bytes(12)  # placeholder: the header is not written to a file
        header = Header(digest, height, width, planes, gop=self.gop)
        centers = [header.plane(number) for number in range(header.frames)]
        if not set(scene.planes) <= set(centers):
            raise ConfigError(
                f"{scene.name}: images at planes {scene.planes[:3]} ..., but features are at "
                f"{centers[:3]} ...; make an archive with 'python -m spike_zoo simulate --kind "
                "sequence'"
            )
        spikes = scene.spikes.cpu().numpy().astype(bool)
        recording = SpikeRecording.from_planes(spikes)
        stream = FeatureStream(self.codec, recording, scene.rate_scale, size=5)
        return PreparedRecording([stream.coded(center) for center in centers], header)

    def compress(self, prepared: PreparedRecording, point: int) -> CompressedRecording:
        """Encode a recording to payloads; the size is that of the complete file."""
        header = replace(prepared.header, quality=point)
        groups = list(payloads(self.codec, prepared.features, header, self.effort))
        n_payload = sum(len(payload) for payload in groups)
        return CompressedRecording(file_bytes(groups), (header, groups), n_payload, header.frames)

    def decompress(self, coded: CompressedRecording, scene: CodedScene) -> Tensor:
        """Return the decoded images at the planes of the scene's images."""
        header, encoded = coded.content
        groups = (
            DecodedBitstream.of_group(
                *decoded_group(self.codec, payload, header, number), number, header
            )
            for number, payload in enumerate(encoded)
        )
        return images_at(scene.planes, self.codec.reconstruct_stream(groups))

    def estimated(
        self, prepared: PreparedRecording, quality: int
    ) -> tuple[Tensor, list[DecodedBitstream]]:
        """Return the estimated bits per pixel of a feature, and the decoded groups."""
        header, coding = prepared.header, cast("CodecNetworks", self.codec.codec_networks)
        options: Any = {"estimation": self.codec.motion, "weight": self.codec.rd_weights[quality]}
        symbols, groups = RateEstimator(is_exact=True), []
        with torch.inference_mode():
            for group in range(header.groups):
                first = group * header.gop
                originals = prepared.features[first : first + header.gop]
                frames = list(encode_frames(coding, symbols, originals, quality, **options))
                features = torch.cat([frame.feature.clamp(0.0, 1.0) for frame in frames])
                motion = torch.cat([frame.motion for frame in frames])
                groups.append(DecodedBitstream.of_group(features, motion, group, header))
        return rate_of(symbols, prepared.features), groups


class CodingStage(Protocol):
    """Stage that is evaluated by rate and distortion."""

    coder: SCICoder

    def distortion(
        self, scene: CodedScene, prepared: PreparedRecording, groups: list[DecodedBitstream]
    ) -> Tensor:
        """Return the distortion of a scene in a validation."""
        ...


class CodingStageEvaluator(Evaluator[CodingStage, SceneBatch]):
    """Measure bitstreams in a test, and estimated rates in a validation.

    A validation measures the rate-distortion cost ``rd``, and ``rate_q0`` and ``feature_psnr_q0``
    for each quality. Both measure the motion that the decoder receives.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bitstreams = CodingEvaluator(range(QUALITIES), RATES)
        self.flow = FlowEvaluator()

    def check_data(self, method: CodingStage, datamodule: LightningDataModule, stage: str) -> None:
        """Raise ConfigError for data that cut recordings into clips."""
        self.bitstreams.check_data(method, datamodule, stage)

    def origins(self, batch: SceneBatch) -> list[results.Origin]:
        """Return recording and plane of every image."""
        return self.bitstreams.origins(batch)

    def predict(self, method: CodingStage, batch: SceneBatch) -> Tensor:
        """Return all images of a batch at the highest quality."""
        return self.bitstreams.predict(method.coder, batch)

    def profiled_calls(
        self, method: CodingStage, batch: SceneBatch
    ) -> Mapping[str, Callable[[], object]]:
        """Return the jobs of coding, and encoding and decoding of I- and P-frames."""
        window = batch["spikes"][:1, :WINDOW]
        return {
            **self.bitstreams.profiled_calls(method.coder, batch),
            **coding_calls(method.coder.codec, window, batch["rate_scale"][:1]),
        }

    def evaluate(
        self, method: CodingStage, batch: SceneBatch, split: Split, index: int
    ) -> results.Evaluation:
        """Measure bitstreams in a test; estimate rates in a validation."""
        coder = method.coder
        if split != "test":
            for scene in coded_scenes(batch):
                self._estimate(method, scene)
            return results.Evaluation(())
        for scene in coded_scenes(batch):
            if scene.flow is not None:
                _, best = coder.estimated(coder.prepared(scene), QUALITIES - 1)
                self._measure_flow(split, coder.gop, scene, best)
        return self.bitstreams.evaluate(coder, batch, split, index)

    def _estimate(self, method: CodingStage, scene: CodedScene) -> None:
        """Add estimated rates and distortions of a scene at all qualities to the validation."""
        coder = method.coder
        prepared = coder.prepared(scene)
        costs = []
        for quality, weight in enumerate(coder.codec.rd_weights):
            rate, groups = coder.estimated(prepared, quality)
            costs.append(rate + weight * method.distortion(scene, prepared, groups))
            decoded = torch.cat([group.features for group in groups])
            features = torch.cat(prepared.features).to(decoded.device)
            values = {"rate": rate.reshape(1), "feature_psnr": psnr(decoded, features)}
            self.add_means("val", {f"{name}_q{quality}": x for name, x in values.items()})
        if scene.flow is not None:
            self._measure_flow("val", coder.gop, scene, groups)
        self.add_means("val", {"rd": torch.stack(costs).mean().reshape(1)})

    def _measure_flow(
        self, split: Split, gop: int, scene: CodedScene, groups: list[DecodedBitstream]
    ) -> None:
        """Update the metrics with the errors and the directional spread of decoded motion."""
        frames = [(plane - WINDOW // 2) // STEP for plane in scene.planes]
        flow, motion = cast("Tensor", scene.flow), torch.cat([group.motion for group in groups])
        pairs = [
            number
            for number in range(1, len(frames))
            if scene.planes[number] - scene.planes[number - 1] == STEP
            and frames[number] % gop
            and bool(torch.isfinite(flow[number]).all(dim=0).any())
        ]
        if not pairs:
            return
        truth, decoded = flow[pairs], motion[[frames[number] for number in pairs]].to(flow.device)
        values = {
            "epe": flow_errors.end_point_error(decoded, truth),
            "epe_still": flow_errors.still_error(decoded, truth),
        }
        self.flow.add_errors(split, [scene.name] * len(pairs), values)
        self.flow.add_means(split, {"flow_spread": flow_errors.flow_spread(decoded)[None]})


def images_at(planes: Sequence[int], numbered: Iterable[tuple[int, Tensor]]) -> Tensor:
    """Stack the images at some planes of a recording, from index and image of each feature."""
    images = dict(numbered)
    return torch.stack([images[(plane - WINDOW // 2) // STEP] for plane in planes])
