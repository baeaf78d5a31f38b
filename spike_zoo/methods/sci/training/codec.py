"""Training module of stage ``codec``, and the base class of stages ``codec`` and ``joint``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple, cast, get_args

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric, MetricCollection

from spike_zoo.coding.header import Header, file_bytes
from spike_zoo.errors import ConfigError
from spike_zoo.methods.sci.codec.bitstream import decoded_group, payloads
from spike_zoo.methods.sci.codec.frames import CodecNetworks, encode_frames
from spike_zoo.methods.sci.codec.inter import FrameMode
from spike_zoo.methods.sci.codec.networks import FeatureStream, coding_calls
from spike_zoo.methods.sci.codec.scale_net import QUALITIES
from spike_zoo.methods.sci.codec.symbols import RateEstimator
from spike_zoo.methods.sci.features.blocks import warp_features
from spike_zoo.methods.sci.features.fem import NEIGHBOURS_PER_SIDE, STEP, WINDOW
from spike_zoo.methods.sci.training.losses import distortion_of, motion_error, rate_of
from spike_zoo.methods.sci.training.options import (
    CODING,
    STAGES,
    CodingOptions,
    StageSpec,
    with_part,
)
from spike_zoo.methods.sci.training.stage_module import (
    FeatureBatch,
    SCIStageModule,
    arguments_of,
    check_patch,
)
from spike_zoo.metrics import flow as flow_errors
from spike_zoo.metrics.image import MeanOfValues, psnr
from spike_zoo.nn.options import options_of
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.tasks import evaluation as results
from spike_zoo.tasks.batch import SceneBatch, Split
from spike_zoo.tasks.coding import CodedScene, CodingModule, CompressedRecording
from spike_zoo.tasks.protocols import DecodedBitstream
from spike_zoo.tasks.reconstruction import ReconstructionModule
from spike_zoo.tasks.scene_training import check_scenes

Kind = Literal["intra", "pair", "rollout"]

RATES = ("bpp", "bpp_payload", "bpp_f")
"""Rates of a test: bits of files and of symbols per pixel and plane, and of files per feature."""
NOISY = 0.2
"""Fraction of a run with noise in place of rounding, if ``quantization`` is ``"mixed"``."""
FREE = 0.02
"""Initial weight of the bits of P-frames in phase ``"pair"``. It rises exponentially to 1 at the
end of the phase. With a weight of 1 from the start, content was never coded."""
ROUNDED = 0.9
"""Fraction of a run after which scale indexes are rounded, as in bitstreams."""
MOTION_LOSS_FALL = 0.8
"""Relative decrease of ``motion_loss_weight`` over a run."""
ROLLOUT = 2 * NEIGHBOURS_PER_SIDE + 1
"""Frames of one sample in phase ``"rollout"``, and of one analysis."""
CODED_SHARES = 0.45, 0.9
"""Shares of P-frames with dense motion and with content in phase ``"rollout"``, with ``skip``."""
ESTIMATED = ("rd", *(f"{n}_q{q}" for n in ("rate", "feature_psnr") for q in range(QUALITIES)))
"""Metrics of a validation: rate-distortion cost, and rate and PSNR of features per quality."""
_MOTION_CODER = (
    *("inter.analysis.motion", "inter.entropy.motion", "inter.motion_synthesis"),
    *("gains.encoder.motion", "gains.decoder.motion"),
)


class PreparedRecording(NamedTuple):
    """Features of a recording, shared by all qualities."""

    features: list[Tensor]  # ``(1, 3, H, W)`` each
    header: Header  # of the bitstreams, without the quality


class CodingStageModule(SCIStageModule, CodingModule, ReconstructionModule):  # type: ignore[misc]  # batches differ
    """Base class of stages that are evaluated by rate and distortion."""

    monitor = "val/rd"
    monitor_mode = "min"
    rates = RATES
    rate_points = tuple(range(QUALITIES))
    effort = 0  #: refinement of I-frames in a test
    coding: CodingOptions

    def train_codec(self, row: StageSpec, arguments: Mapping[str, Any]) -> None:
        """Build the networks of a stage and set its coding options, see :meth:`train_stage`."""
        check_patch(arguments["patch"], arguments["cache_gib"])
        self.coding_options = options_of(CodingOptions, arguments["coding"])
        self.train_stage(row, {**arguments, "coding": self.coding_options})
        codec, options = self.codec, self.coding_options
        codec.boundary, codec.iframe_motion = options.boundary, options.iframe_motion
        codec.analysis = options.analysis
        codec.rd_weights = tuple(options.rd_weights)

    def rate_estimator(self, generator: torch.Generator) -> RateEstimator:
        """Return the rate estimator for the current progress of the run."""
        if self.stage == "joint":  # the entropy model is frozen
            return RateEstimator(generator, is_rounded=True)
        kind, progress = self.coding_options.quantization, self.progress
        is_noisy = kind == "noise" or (kind == "mixed" and progress < NOISY)
        return RateEstimator(generator, is_noisy=is_noisy, is_rounded=progress >= ROUNDED)

    def targets(self, scenes: FeatureBatch) -> Tensor:
        """Return the targets of decoded features, ``(B, N, 3, H, W)``."""
        return (
            scenes.features if self.coding_options.target == "features" else scenes.clean_features()
        )

    def make_metrics(self) -> MetricCollection:
        """Return the metrics of bitstreams (test) and of estimated rates (validation)."""
        metrics: dict[str, Metric | MetricCollection] = {n: MeanOfValues() for n in ESTIMATED}
        metrics |= dict(super().make_metrics().items())
        return MetricCollection(metrics, compute_groups=False)

    def profiled_calls(self, batch: SceneBatch) -> Mapping[str, Callable[[], object]]:
        """Return the usual jobs, and encoding and decoding of I- and P-frames."""
        parts = coding_calls(self.codec, batch["spikes"][:1, :WINDOW], batch["rate_scale"][:1])
        return {**super().profiled_calls(batch), **parts}

    def evaluate(self, batch: Any, split: Split, batch_idx: int) -> results.Evaluation:  # noqa: ANN401  (scenes)
        """Measure bitstreams in a test; estimate rates in a validation."""
        if split != "test":
            for scene in self.scenes(batch):
                self._estimate(scene)
            return results.Evaluation(())
        for scene in self.scenes(batch):
            if scene.flow is not None:
                _, best = self._coded(self.prepared(scene), QUALITIES - 1)
                self._measure_flow(split, scene, best)
        return super().evaluate(batch, split, batch_idx)

    def prepared(self, scene: CodedScene) -> PreparedRecording:
        """Return the features of a recording."""
        planes, height, width = scene.spikes.shape
        digest = bytes(12)  # placeholder: the header is not written to a file
        header = Header(digest, height, width, planes, gop=self.coding_options.gop)
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

    def distortion(
        self, scene: CodedScene, prepared: PreparedRecording, groups: list[DecodedBitstream]
    ) -> Tensor:
        """Return the distortion of a scene in a validation."""
        raise NotImplementedError

    def _estimate(self, scene: CodedScene) -> None:
        """Update the metrics with estimated rates and distortions of a scene at all qualities."""
        prepared = self.prepared(scene)
        metrics = cast("MetricCollection", self.split_metrics["val"])
        costs = []
        for quality, weight in enumerate(self.coding_options.rd_weights):
            rate, groups = self._coded(prepared, quality)
            costs.append(rate + weight * self.distortion(scene, prepared, groups))
            decoded = torch.cat([group.features for group in groups])
            features = torch.cat(prepared.features).to(decoded.device)
            metrics[f"rate_q{quality}"].update(rate.reshape(1))
            metrics[f"feature_psnr_q{quality}"].update(psnr(decoded, features))
        if scene.flow is not None:
            self._measure_flow("val", scene, groups)
        metrics["rd"].update(torch.stack(costs).mean().reshape(1))
        self.log_means("val", {name: cast("MeanOfValues", metrics[name]) for name in ESTIMATED})

    def _measure_flow(
        self, split: Split, scene: CodedScene, groups: list[DecodedBitstream]
    ) -> None:
        """Update the metrics with the errors and the directional spread of decoded motion."""
        frames = [(plane - WINDOW // 2) // STEP for plane in scene.planes]
        flow, motion = cast("Tensor", scene.flow), torch.cat([group.motion for group in groups])
        pairs = [
            number
            for number in range(1, len(frames))
            if scene.planes[number] - scene.planes[number - 1] == STEP
            and frames[number] % self.coding_options.gop
            and bool(torch.isfinite(flow[number]).all(dim=0).any())
        ]
        if not pairs:
            return
        truth, decoded = flow[pairs], motion[[frames[number] for number in pairs]].to(flow.device)
        values = {
            "epe": flow_errors.end_point_error(decoded, truth),
            "epe_still": flow_errors.still_error(decoded, truth),
        }
        self.log_means(split, {**values, "flow_spread": flow_errors.flow_spread(decoded)[None]})
        self.measure_speeds(split, [scene.name] * len(pairs), values)

    def _coded(
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


class SCICodecModule(CodingStageModule):
    """Stage ``codec``: train the codec of features.

    Args:
        fem: Checkpoint of stage ``"fem"`` to start from; read at the start of a fit.
        motion: Checkpoint of stage ``"motion"``; its motion estimation is trained further.
        codec: Checkpoint of this stage to start from, in place of ``motion``. With both, motion
            estimation is that of ``motion``, and the coder of motion is not initialised.
        fam: Checkpoint of stage ``"fam"``, if the encoder analyses features.
        coding: Rate-distortion weights and phases, see :class:`CodingOptions`.
        cache_gib: See :class:`SCIMotionModule`.
        patch: See :class:`SCIMotionModule`.
        options: Options of :class:`SCIStageModule`.

    Source: Sec. IV-B of the paper; the phases are ours.
    """

    stage = "codec"

    def __init__(
        self,
        fem: str | None = None,
        motion: str | None = None,
        codec: str | None = None,
        fam: str | None = None,
        coding: CodingOptions = CODING,
        cache_gib: float = 0.0,
        patch: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        arguments, row = arguments_of(locals()), STAGES["codec"]
        if codec is not None:
            others = ("motion",) if motion is not None else ()
            row = row._replace(starts_from=("fem", "codec", *others))
        if options_of(CodingOptions, coding).freeze_motion:
            row = with_part(row, "motion", "frozen")
        if options_of(CodingOptions, coding).analysis == "encoder":
            row = with_part(row, "fam", "frozen")
            row = row._replace(starts_from=(*row.starts_from, "fam"))
        self.train_codec(row, arguments)

    def begin(self) -> None:
        """Read the initial parts; the coder of motion only together with motion estimation."""
        untrained = {
            name: value.clone()
            for name, value in self.codec.state_dict().items()
            if name.startswith(_MOTION_CODER)
        }
        super().begin()
        if "motion" in self.row.starts_from:
            self.codec.load_state_dict(untrained, strict=False)

    def terms(self, batch: SceneBatch) -> dict[str, Tensor]:
        """Return rate, distortion and loss at a random quality for each batch.

        The phases are I-frames, pairs of an I-frame and a P-frame, and all images of a sample. In
        the second phase, I-frames are not trained, and the weight of the bits of P-frames rises
        from :data:`FREE`, unless training starts from a checkpoint of this stage.
        """
        check_scenes(batch, "stage codec")
        generator = self.generator("coding")
        quality = int(torch.randint(QUALITIES, (), generator=generator))
        weight = float(self.coding_options.rd_weights[quality])
        kind, done = phase_of(self.progress, self.coding_options.phase_fractions)
        scenes = self.training_scenes(batch)
        both = torch.cat([scenes.features, self.targets(scenes)], dim=2)
        sampled = sample_group(both, kind, generator)
        group, targets = zip(*(frame.chunk(2, dim=1) for frame in sampled), strict=True)
        symbols = self.rate_estimator(generator)
        coding = cast("CodecNetworks", self.codec.codec_networks)
        options: Any = {"estimation": self.codec.motion}
        if kind == "rollout" and coding.inter.skip:
            options["modes"] = sample_modes(generator)
        coded = encode_frames(coding, symbols, group, quality, **options)
        with torch.set_grad_enabled(kind != "pair"):
            frames = [next(coded)]
            first = rate_of(symbols, group)
        frames += coded
        rate, distortion = rate_of(symbols, group), distortion_of(frames, targets)
        terms = {"rate": rate, "distortion": distortion, "total": rate + weight * distortion}
        if kind == "pair":
            # without the term "warp", decoded motion was noise, and contexts did not use it
            warp = F.mse_loss(warp_features(group[0], frames[1].motion), group[1])
            rate_weight = FREE ** (1 - done) if self.hparams["codec"] is None else 1.0
            total = rate_weight * (rate - first) + weight * (distortion + warp)
            terms |= {"warp": warp, "total": total}
        if kind != "intra":
            terms["motion"] = motion_error(frames)
            share = self.coding_options.motion_loss_weight * (1 - MOTION_LOSS_FALL * self.progress)
            terms["total"] = terms["total"] + share * terms["motion"]
        return terms

    def on_validation_epoch_start(self) -> None:
        """Update the entropy model's tables, so that a validation measures the exact rates."""
        self.codec.update_tables()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the module with updated tables of the entropy model."""
        super().on_save_checkpoint(checkpoint)
        self.codec.update_tables()  # in place; the checkpoint shares these tensors

    def distortion(
        self, scene: CodedScene, prepared: PreparedRecording, groups: list[DecodedBitstream]
    ) -> Tensor:
        """Return the mean square error of features, or of images if these are the target."""
        decoded = torch.cat([group.features for group in groups])
        if self.coding_options.target == "features":
            return F.mse_loss(decoded, torch.cat(prepared.features))
        images = images_at(scene.planes, enumerate(self.codec.feature_image(decoded)))
        return F.mse_loss(images, scene.images.to(decoded.device))


def phase_of(progress: float, phases: Sequence[float]) -> tuple[Kind, float]:
    """Return the phase at a progress of the run, and the progress in this phase, from 0 to 1.

    ``phases`` are the relative lengths of the phases ``"intra"``, ``"pair"`` and ``"rollout"``.
    """
    kinds, now = get_args(Kind), progress * sum(phases)
    for kind, part in zip(kinds, phases, strict=True):
        if now < part:
            return kind, now / part
        now -= part
    return kinds[-1], 1.0


def sample_group(features: Tensor, kind: Kind, generator: torch.Generator) -> list[Tensor]:
    """Return the frames of a training group of pictures.

    Args:
        features: ``(B, N, C, H, W)``, N at least 2.
        kind: ``"intra"``: one frame, of a random half of the images of each scene. ``"pair"``: two
            frames, of all pairs that do not overlap. ``"rollout"``: five images at a random
            distance; with 9 images, neighbours or every second.
        generator: Random generator on the CPU.

    Returns:
        The frames in order of time, ``(S, C, H, W)`` each.
    """
    count = features.shape[1]
    if kind == "rollout":
        length = min(count, ROLLOUT)
        largest = (count - 1) // (length - 1)
        step = 1 + int(torch.randint(largest, (), generator=generator)) if largest > 1 else 1
        span = step * (length - 1)
        start = int(torch.randint(count - span, (), generator=generator)) if count > span + 1 else 0
        return list(features[:, start : start + span + 1 : step].unbind(1))
    if kind == "intra":
        chosen = torch.randperm(count, generator=generator)[: max(1, count // 2)]
        return [features[:, chosen].flatten(0, 1)]
    start = int(torch.randint(1 + count % 2, (), generator=generator))
    pairs = features[:, start : start + count // 2 * 2]
    return [pairs[:, 0::2].flatten(0, 1), pairs[:, 1::2].flatten(0, 1)]


def sample_modes(generator: torch.Generator) -> Iterator[FrameMode]:
    """Yield the parts of P-frames that are coded, about as often as by an encoder."""
    while True:
        is_coded = torch.rand(len(CODED_SHARES), generator=generator) < torch.tensor(CODED_SHARES)
        yield FrameMode(True, *is_coded.tolist())


def images_at(planes: Sequence[int], numbered: Iterable[tuple[int, Tensor]]) -> Tensor:
    """Stack the images at some planes of a recording, from index and image of each feature."""
    images = dict(numbered)
    return torch.stack([images[(plane - WINDOW // 2) // STEP] for plane in planes])
