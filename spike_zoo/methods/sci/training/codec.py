"""Stage ``codec``: train the codec of features; what stage ``joint`` shares with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple, cast, get_args

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric, MetricCollection

from spike_zoo.batch import SceneBatch, Split
from spike_zoo.coding.sci.chunks import HEAD_BYTES
from spike_zoo.coding.sci.header import HEADER_BYTES, Header
from spike_zoo.errors import ConfigError
from spike_zoo.methods.sci.codec.bitstream import SCIDecoded, decoded_group, payloads
from spike_zoo.methods.sci.codec.costs import coding_calls
from spike_zoo.methods.sci.codec.frames import CodecNetworks, encode_frames
from spike_zoo.methods.sci.codec.scale_net import QUALITIES
from spike_zoo.methods.sci.codec.symbols import RateEstimator
from spike_zoo.methods.sci.features.blocks import warped
from spike_zoo.methods.sci.features.fem import REACH, STEP, WINDOW
from spike_zoo.methods.sci.training.losses import distortion_of, motion_error, rate_of
from spike_zoo.methods.sci.training.options import CODING, NETWORKS, CodingOptions, NetworkOptions
from spike_zoo.methods.sci.training.stage_module import (
    WARMUP,
    FeatureBatch,
    SCIStageModule,
    arguments_of,
    check_patch,
)
from spike_zoo.methods.sci.training.stage_table import STAGES, StageSpec, with_part
from spike_zoo.metrics.flow import end_point_error, motion_spread, still_error
from spike_zoo.metrics.image import MeanOfValues, psnr
from spike_zoo.nn.schedules import ScheduleKind
from spike_zoo.tasks.coding import CodedScene, CodingModule, Compressed
from spike_zoo.tasks.evaluation import Evaluation
from spike_zoo.tasks.reconstruction import ReconstructionModule
from spike_zoo.tasks.scene_training import check_scenes

Kind = Literal["intra", "pair", "rollout"]

RATES = ("bpp", "bpp_payload", "bpp_f")
"""What a test measures of bits: of files, of their symbols alone, and by feature."""
NOISY = 0.2
"""Part of a run in which values get noise and are not rounded, where ``quantization`` is mixed."""
FREE = 0.02
"""What a P-frame's bits cost when pairs begin, of what they cost at their end; in between it rises
by the same factor at every update. Where they cost all at once, content was never coded."""
ROUNDED = 0.9
"""Part of a run after which levels are rounded, as streams will have them."""
MOTION_LOSS_FALL = 0.8
"""Share of ``motion_loss_weight`` that is gone at the end of a run."""
ROLLOUT = 2 * REACH + 1
"""Frames of one sample in the last phase, and of one analysis."""
ESTIMATED = ("rd", *(f"{n}_q{q}" for n in ("rate", "feature_psnr") for q in range(QUALITIES)))
"""What a validation measures: rate and distortion together, and both at every quality."""
MOTION = ("epe", "epe_still", "motion_spread")
"""What is measured of decoded motion at the best quality, where the data have the truth."""
_MOTION_CODER = (
    *("inter.analysis.motion", "inter.entropy.motion", "inter.motion_synthesis"),
    *("gains.encoder.motion", "gains.decoder.motion"),
)


class PreparedRecording(NamedTuple):
    """What all qualities of a recording share.

    Attributes:
        features: Every feature, ``(1, 3, H, W)``.
        header: What its bitstreams begin with, but for the quality.
    """

    features: list[Tensor]
    header: Header


class CodingStageModule(SCIStageModule, CodingModule, ReconstructionModule):  # type: ignore[misc]  # batches differ
    """Base class of stages that are evaluated by bits and by what is decoded from them."""

    monitor = "val/rd"
    monitor_mode = "min"
    rates = RATES
    rate_points = tuple(range(QUALITIES))
    coding: CodingOptions

    def train_codec(self, row: StageSpec, arguments: Mapping[str, Any]) -> None:
        """Build the networks of a stage and take its options, see :meth:`train_stage`."""
        check_patch(arguments["patch"], arguments["cache_gib"])
        self.coding = CodingOptions.of(arguments["coding"])
        self.train_stage(row, {**arguments, "coding": self.coding})
        codec, options = self.codec, self.coding
        codec.boundary, codec.iframe_motion = options.boundary, options.iframe_motion
        codec.lambdas = tuple(options.lambdas)

    def rate_estimator(self, generator: torch.Generator) -> RateEstimator:
        """Return how symbols are counted at this time of the run."""
        if self.stage == "joint":  # the entropy model is frozen
            return RateEstimator(generator, is_rounded=True)
        kind, progress = self.coding.quantization, self.progress
        is_noisy = kind == "noise" or (kind == "mixed" and progress < NOISY)
        return RateEstimator(generator, is_noisy=is_noisy, is_rounded=progress >= ROUNDED)

    def targets(self, scenes: FeatureBatch) -> Tensor:
        """Return what decoded features are compared with, ``(B, N, 3, H, W)``."""
        return scenes.features if self.coding.target == "features" else scenes.clean_features()

    def make_metrics(self) -> MetricCollection:
        """Return rate and quality of real streams, and what a validation estimates of them."""
        names = (*ESTIMATED, *MOTION)
        metrics: dict[str, Metric | MetricCollection] = {name: MeanOfValues() for name in names}
        metrics |= dict(super().make_metrics().items())
        return MetricCollection(metrics, compute_groups=False)

    def profiled_calls(self, batch: SceneBatch) -> Mapping[str, Callable[[], object]]:
        """Return both ways of coding, and each kind of frame at either side."""
        parts = coding_calls(self.codec, batch["spikes"][:1, :WINDOW], batch["rate_scale"][:1])
        return {**super().profiled_calls(batch), **parts}

    def evaluate(self, batch: Any, split: Split, batch_idx: int) -> Evaluation:  # noqa: ANN401  (scenes)
        """Measure real streams in a test; estimate their bits in a validation."""
        if split != "test":
            for scene in self.scenes(batch):
                self._estimate(scene)
            return Evaluation(())
        for scene in self.scenes(batch):
            if scene.flow is not None:
                _, best = self._coded(self.prepared(scene), QUALITIES - 1)
                self._measure_flow(split, scene, best)
        return super().evaluate(batch, split, batch_idx)

    def prepared(self, scene: CodedScene) -> PreparedRecording:
        """Return the features of a recording.

        Raises:
            ConfigError: If images are asked for at planes that are no feature's.
        """
        planes, height, width = scene.spikes.shape
        digest = bytes(12)  # no file has this header
        header = Header(digest, height, width, planes, gop=self.coding.gop)
        centers = [header.plane(number) for number in range(header.frames)]
        if not set(scene.planes) <= set(centers):
            raise ConfigError(
                f"{scene.name}: images at planes {scene.planes[:3]} ..., and features lie at "
                f"{centers[:3]} ...; make an archive with 'python -m spike_zoo simulate --kind "
                "sequence'"
            )
        scale = scene.spikes.new_tensor([scene.rate_scale], dtype=torch.float32)
        codec, half = self.codec, WINDOW // 2
        with torch.inference_mode():
            windows = (scene.spikes[None, c - half : c + half + 1] for c in centers)
            features = [codec.feature(window, scale).float() for window in windows]
        return PreparedRecording(features, header)

    def compress(self, prepared: PreparedRecording, point: int) -> Compressed:
        """Return the payloads of a recording; the size is that of the whole file."""
        header = replace(prepared.header, quality=point)
        found = list(payloads(self.codec, prepared.features, header))
        n_payload = sum(len(payload) for payload in found)
        n_bytes = HEADER_BYTES + HEAD_BYTES * len(found) + n_payload
        return Compressed(n_bytes, (header, found), n_payload, header.frames)

    def decompress(self, coded: Compressed, scene: CodedScene) -> Tensor:
        """Return the images at the planes that are asked for."""
        header, found = coded.content
        groups = (
            SCIDecoded.of_group(*decoded_group(self.codec, payload, header, number), number, header)
            for number, payload in enumerate(found)
        )
        return images_at(scene.planes, self.codec.reconstruct_stream(groups))

    def judged(
        self, scene: CodedScene, prepared: PreparedRecording, groups: list[SCIDecoded]
    ) -> Tensor:
        """Return the distortion that a validation judges by."""
        raise NotImplementedError

    def _estimate(self, scene: CodedScene) -> None:
        """Add what the streams of a scene would take and leave to the metrics."""
        prepared = self.prepared(scene)
        metrics = cast("MetricCollection", self.split_metrics["val"])
        costs = []
        for quality, weight in enumerate(self.coding.lambdas):
            rate, groups = self._coded(prepared, quality)
            costs.append(rate + weight * self.judged(scene, prepared, groups))
            decoded = torch.cat([group.features for group in groups])
            features = torch.cat(prepared.features).to(decoded.device)
            metrics[f"rate_q{quality}"].update(rate.reshape(1))
            metrics[f"feature_psnr_q{quality}"].update(psnr(decoded, features))
        if scene.flow is not None:
            self._measure_flow("val", scene, groups)
        metrics["rd"].update(torch.stack(costs).mean().reshape(1))
        self.log_means("val", {name: cast("MeanOfValues", metrics[name]) for name in ESTIMATED})

    def _measure_flow(self, split: Split, scene: CodedScene, groups: list[SCIDecoded]) -> None:
        """Add the errors of decoded motion, and how many directions it has, to the metrics."""
        frames = [(plane - WINDOW // 2) // STEP for plane in scene.planes]
        flow, motion = cast("Tensor", scene.flow), torch.cat([group.motion for group in groups])
        pairs = [
            number
            for number in range(1, len(frames))
            if scene.planes[number] - scene.planes[number - 1] == STEP
            and frames[number] % self.coding.gop
            and bool(torch.isfinite(flow[number]).all(dim=0).any())
        ]
        if not pairs:
            return
        truth, decoded = flow[pairs], motion[[frames[number] for number in pairs]].to(flow.device)
        values = {"epe": end_point_error(decoded, truth), "epe_still": still_error(decoded, truth)}
        metrics = cast("MetricCollection", self.split_metrics[split])
        for name, value in {**values, "motion_spread": motion_spread(decoded)[None]}.items():
            metrics[name].update(value)
            self.log_means(split, {name: cast("MeanOfValues", metrics[name])})
        self.measure_speeds(split, [scene.name] * len(pairs), values)

    def _coded(self, prepared: PreparedRecording, quality: int) -> tuple[Tensor, list[SCIDecoded]]:
        """Return the bits of a feature's pixel, and the decoded groups, without writing any."""
        header, options = prepared.header, {"estimation": self.codec.motion}
        coding, weight = cast("CodecNetworks", self.codec.coding), self.codec.lambdas[quality]
        symbols, groups = RateEstimator(is_exact=True), []
        with torch.inference_mode():
            for group in range(header.groups):
                first = group * header.gop
                taken = prepared.features[first : first + header.gop]
                coded = encode_frames(coding, symbols, taken, quality, weight=weight, **options)
                frames = list(coded)
                features = torch.cat([frame.feature.clamp(0.0, 1.0) for frame in frames])
                motion = torch.cat([frame.motion for frame in frames])
                groups.append(SCIDecoded.of_group(features, motion, group, header))
        return rate_of(symbols, prepared.features), groups


class SCICodecModule(CodingStageModule):
    """Stage ``codec``: train the codec of features, from features to bits and back.

    Args:
        fem: Checkpoint of stage ``"fem"`` to start from; read when a fit begins.
        motion: Checkpoint of stage ``"motion"``, likewise; its motion estimation is trained on.
        codec: Checkpoint of this stage to train on, in place of ``motion``. With both, motion
            estimation is that of ``motion``, and the coder of motion starts untrained.
        networks: Architecture, see :class:`NetworkOptions`.
        coding: Rate-distortion weights and phases, see :class:`CodingOptions`.
        cache_gib: Memory for the frozen FEM's features of scenes, as half floats, which every
            epoch repeats where the data neither cut nor turn them; 0 computes them each time.
        patch: Side of the squares that are cut from features and turned; None takes whole scenes.
        learning_rate: Of Adam, betas 0.9 and 0.999.
        schedule: How the learning rate moves over the run, see :func:`schedule_factor`.
        warmup: Fraction of the run in which it rises.
        lpips: See :class:`ReconstructionModule`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: *A Joint Visual Compression and Perception Framework for Neuralmorphic Spiking Camera*,
    Sec. IV-B; the phases are ours.
    """

    stage = "codec"

    def __init__(
        self,
        fem: str | None = None,
        motion: str | None = None,
        codec: str | None = None,
        networks: NetworkOptions = NETWORKS,
        coding: CodingOptions = CODING,
        cache_gib: float = 0.0,
        patch: int | None = None,
        learning_rate: float = 2e-4,
        schedule: ScheduleKind = "cosine",
        warmup: float = WARMUP,
        lpips: str = "auto",
    ) -> None:
        arguments = arguments_of(locals())
        super().__init__(lpips=lpips)
        row = STAGES["codec"]
        if codec is not None:
            others = ("motion",) if motion is not None else ()
            row = row._replace(starts_from=("fem", "codec", *others))
        if CodingOptions.of(coding).freeze_motion:
            row = with_part(row, "motion", "frozen")
        self.train_codec(row, arguments)

    def begin(self) -> None:
        """Read the parts that the stage starts from; a coder of motion only with its estimation."""
        untrained = {
            name: value.clone()
            for name, value in self.codec.state_dict().items()
            if name.startswith(_MOTION_CODER)
        }
        super().begin()
        if "motion" in self.row.starts_from:
            self.codec.load_state_dict(untrained, strict=False)

    def terms(self, batch: SceneBatch) -> dict[str, Tensor]:
        """Return rate and distortion at a quality that is drawn for every batch.

        I-frames alone at first, then one P-frame after each, then all images of a sample. P-frames
        of an untrained codec begin almost free, see :data:`FREE`, after I-frames that do not
        change meanwhile.
        """
        check_scenes(batch, "stage codec")
        generator = self.generator("coding")
        quality = int(torch.randint(QUALITIES, (), generator=generator))
        weight = float(self.coding.lambdas[quality])
        kind, done = phase_of(self.progress, self.coding.phase_fractions)
        scenes = self.learned_scenes(batch)
        both = torch.cat([scenes.features, self.targets(scenes)], dim=2)
        drawn = drawn_group(both, kind, generator)
        group, targets = zip(*(frame.chunk(2, dim=1) for frame in drawn), strict=True)
        symbols = self.rate_estimator(generator)
        coding = cast("CodecNetworks", self.codec.coding)
        coded = encode_frames(coding, symbols, group, quality, estimation=self.codec.motion)
        with torch.set_grad_enabled(kind != "pair"):
            frames = [next(coded)]
            first = rate_of(symbols, group)
        frames += coded
        rate, distortion = rate_of(symbols, group), distortion_of(frames, targets)
        terms = {"rate": rate, "distortion": distortion, "total": rate + weight * distortion}
        if kind == "pair":  # else decoded motion is noise, and contexts learn to do without
            warp = F.mse_loss(warped(group[0], frames[1].motion), group[1])
            free = FREE ** (1 - done) if self.hparams["codec"] is None else 1.0
            total = free * (rate - first) + weight * (distortion + warp)
            terms |= {"warp": warp, "total": total}
        if kind != "intra":
            terms["motion"] = motion_error(frames)
            share = self.coding.motion_loss_weight * (1 - MOTION_LOSS_FALL * self.progress)
            terms["total"] = terms["total"] + share * terms["motion"]
        return terms

    def on_validation_epoch_start(self) -> None:
        """Update the entropy model's tables: a validation measures what will be coded."""
        self.codec.update_tables()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write what rebuilds the module, with current tables of the entropy model."""
        super().on_save_checkpoint(checkpoint)
        self.codec.update_tables()  # in place, so in the checkpoint's tensors too

    def judged(
        self, scene: CodedScene, prepared: PreparedRecording, groups: list[SCIDecoded]
    ) -> Tensor:
        """Return the mean square error of features, or of images where these are the target."""
        found = torch.cat([group.features for group in groups])
        if self.coding.target == "features":
            return F.mse_loss(found, torch.cat(prepared.features))
        images = images_at(scene.planes, enumerate(self.codec.picture(found)))
        return F.mse_loss(images, scene.images.to(found.device))


def phase_of(progress: float, phases: Sequence[float]) -> tuple[Kind, float]:
    """Return what is learned at a time of the run, and how much of that is done, from 0 to 1.

    Args:
        progress: From 0 to 1.
        phases: Parts of the run for I-frames, for one P-frame after each, and for all of a sample.
    """
    kinds, now = get_args(Kind), progress * sum(phases)
    for kind, part in zip(kinds, phases, strict=True):
        if now < part:
            return kind, now / part
        now -= part
    return kinds[-1], 1.0


def drawn_group(features: Tensor, kind: Kind, generator: torch.Generator) -> list[Tensor]:
    """Return the frames of a group of pictures, each of many scenes.

    Args:
        features: ``(B, N, 3, H, W)``, N at least 2.
        kind: I-frames: half of the images of each scene, drawn. Pairs: as many as do not overlap.
            Rollouts: up to five in a row.
        generator: Draws, on the CPU.

    Returns:
        ``(S, 3, H, W)`` each, in order of time.
    """
    count = features.shape[1]
    if kind == "rollout":
        return list(features[:, :ROLLOUT].unbind(1))
    if kind == "intra":
        chosen = torch.randperm(count, generator=generator)[: max(1, count // 2)]
        return [features[:, chosen].flatten(0, 1)]
    start = int(torch.randint(1 + count % 2, (), generator=generator))
    pairs = features[:, start : start + count // 2 * 2]
    return [pairs[:, 0::2].flatten(0, 1), pairs[:, 1::2].flatten(0, 1)]


def images_at(planes: Sequence[int], found: Iterable[tuple[int, Tensor]]) -> Tensor:
    """Return the images at some planes of a recording, of those of every feature."""
    images = dict(found)
    return torch.stack([images[(plane - WINDOW // 2) // STEP] for plane in planes])
