"""Stages ``codec`` and ``joint``: features that become bits, and pictures after them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, cast, get_args

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric, MetricCollection

from spike_zoo.coding.sci.chunks import HEAD_BYTES
from spike_zoo.coding.sci.header import HEADER_BYTES, Header
from spike_zoo.errors import ConfigError
from spike_zoo.methods.sci.analysis.inputs import surroundings
from spike_zoo.methods.sci.codec.bitstream import SCIDecoded, decoded_group, payloads
from spike_zoo.methods.sci.codec.costs import coding_calls
from spike_zoo.methods.sci.codec.frames import CodecNetworks, DecodedFrame, coded_frames, in_time
from spike_zoo.methods.sci.codec.scale_net import QUALITIES
from spike_zoo.methods.sci.codec.symbols import RateEstimator
from spike_zoo.methods.sci.features.blocks import warped
from spike_zoo.methods.sci.features.windows import REACH, STEP, WINDOW
from spike_zoo.methods.sci.training.feature_batches import check_scenes
from spike_zoo.methods.sci.training.jobs import TrainingStage
from spike_zoo.methods.sci.training.losses import distortion_of, rate_of, reconstruction_terms
from spike_zoo.metrics.image import MeanOfValues, psnr
from spike_zoo.tasks.coding import CodingModule, Compressed
from spike_zoo.tasks.evaluation import Evaluation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from lightning import LightningDataModule

    from spike_zoo.batch import SceneBatch, Split
    from spike_zoo.methods.sci.analysis.fam import FAM
    from spike_zoo.methods.sci.training.module import SCICodecModule
    from spike_zoo.tasks.coding import CodedScene
    from spike_zoo.tasks.evaluation import Origin, SamplePrediction

Kind = Literal["intra", "pair", "rollout"]

RATES = ("bpp", "bpp_payload", "bpp_f")
"""What a test measures of bits: of files, of their symbols alone, and by feature."""
NOISY = 0.2
"""Part of a run in which values get noise and are not rounded, where ``quant`` is mixed."""
FREE = 0.02
"""What a P-frame's bits cost when pairs begin, of what they cost at their end; in between it rises
by the same factor at every update. Where they cost all at once, content was never coded."""
ROUNDED = 0.9
"""Part of a run after which levels are rounded, as streams will have them."""
ROLLOUT = 2 * REACH + 1
"""Frames of one sample in the last phase, and of one analysis."""
FEATURE_WEIGHT = 0.1
CONSISTENCY_WEIGHT = 0.1
ESTIMATED = ("rd", *(f"{n}_q{q}" for n in ("rate", "feature_psnr") for q in range(QUALITIES)))
"""What a validation measures: rate and distortion together, and both at every quality."""
_DIGEST = bytes(12)  # of streams that only estimates are made of


class PreparedRecording(NamedTuple):
    """What all qualities of a recording share.

    Attributes:
        features: Every feature, ``(1, 3, H, W)``.
        header: What its bitstreams begin with, but for the quality.
    """

    features: list[Tensor]
    header: Header


class CodingStage(TrainingStage):
    """A stage that is judged by bits and by what is left after them."""

    monitor: ClassVar[str] = "val/rd"
    monitor_mode: ClassVar[str] = "min"

    def check_data(self, served: LightningDataModule, stage: str) -> None:
        """Refuse data that cut recordings into clips."""
        CodingModule.check_data(self.module, served, stage)

    def make_metrics(self) -> MetricCollection:
        """Return rate and quality of real streams, and what a validation estimates of them."""
        found: dict[str, Metric | MetricCollection] = {name: MeanOfValues() for name in ESTIMATED}
        real = CodingModule.make_metrics(self.module)
        return MetricCollection({**found, **dict(real.items())}, compute_groups=False)

    def origins(self, batch: SceneBatch) -> Sequence[Origin]:
        """Return recording and plane of every image."""
        return CodingModule.origins(self.module, batch)

    def predict(self, batch: SceneBatch) -> Tensor:
        """Return all images of a batch, decoded from its best bitstreams."""
        return CodingModule.predict_step(self.module, batch, 0)

    def predicted(self, batch: SceneBatch, found: Tensor) -> Sequence[SamplePrediction]:
        """Return the images of a batch."""
        return CodingModule.predicted(self.module, batch, found)

    def profiled_calls(self, batch: SceneBatch) -> Mapping[str, Callable[[], object]]:
        """Return both ways of coding, and each kind of frame at either side."""
        scale = batch["rate_scale"][:1]
        window = batch["spikes"][:1, :WINDOW]
        parts = coding_calls(self.module.codec, window, scale)
        return {**CodingModule.profiled_calls(self.module, batch), **parts}

    def evaluate(self, batch: SceneBatch, split: Split, batch_idx: int) -> Evaluation:
        """Measure real streams in a test; estimate their bits in a validation."""
        if split == "test":
            return CodingModule.evaluate(self.module, batch, split, batch_idx)
        for scene in CodingModule.scenes(self.module, batch):
            self._estimate(scene)
        return Evaluation(())

    def begin(self, split: Split) -> None:
        """Make the entropy model final, as it is now."""

    def finish(self, split: Split) -> None:
        """Keep the curves of a test."""
        if split == "test":
            CodingModule.on_test_epoch_end(self.module)

    def prepared(self, scene: CodedScene) -> PreparedRecording:
        """Return the features of a recording.

        Raises:
            ConfigError: If images are asked for at planes that are no feature's.
        """
        planes, height, width = scene.spikes.shape
        header = Header(
            _DIGEST, height, width, planes, gop=self.module.hparams["gop"], rate_scale=None
        )
        centers = [WINDOW // 2 + STEP * number for number in range(header.frames)]
        if not set(scene.planes) <= set(centers):
            raise ConfigError(
                f"{scene.name}: images at planes {scene.planes[:3]} ..., and features lie at "
                f"{centers[:3]} ...; make an archive with 'python -m spike_zoo simulate --kind "
                "sequence'"
            )
        scale = scene.spikes.new_tensor([scene.rate_scale], dtype=torch.float32)
        codec, half = self.module.codec, WINDOW // 2
        with torch.inference_mode():
            windows = (scene.spikes[None, c - half : c + half + 1] for c in centers)
            features = [codec.feature(window, scale).float() for window in windows]
        return PreparedRecording(features, header)

    def compress(self, prepared: PreparedRecording, point: int) -> Compressed:
        """Return the payloads of a recording; the size is that of the whole file."""
        header = _of_quality(prepared.header, point)
        found = list(payloads(self.module.codec, prepared.features, header))
        n_payload = sum(len(payload) for payload in found)
        n_bytes = HEADER_BYTES + HEAD_BYTES * len(found) + n_payload
        return Compressed(n_bytes, (header, found), n_payload, header.frames)

    def decompress(self, coded: Compressed, scene: CodedScene) -> Tensor:
        """Return the images at the planes that are asked for."""
        header, found = coded.content
        groups = (
            _decoded(header, number, *decoded_group(self.module.codec, payload, header, number))
            for number, payload in enumerate(found)
        )
        return images_at(scene.planes, self.module.codec.reconstruct_stream(groups))

    def judged(
        self, scene: CodedScene, prepared: PreparedRecording, groups: list[SCIDecoded]
    ) -> Tensor:
        """Return the distortion that a validation judges by."""
        raise NotImplementedError

    def _estimate(self, scene: CodedScene) -> None:
        """Add what the streams of a scene would take and leave to the metrics."""
        prepared = self.prepared(scene)
        metrics = cast("MetricCollection", self.module.split_metrics["val"])
        costs = []
        for quality, weight in enumerate(self.module.hparams["lambdas"]):
            rate, groups = self._coded(prepared, quality)
            costs.append(rate + weight * self.judged(scene, prepared, groups))
            decoded = torch.cat([group.features for group in groups])
            features = torch.cat(prepared.features).to(decoded.device)
            metrics[f"rate_q{quality}"].update(rate.reshape(1))
            metrics[f"feature_psnr_q{quality}"].update(psnr(decoded, features))
        metrics["rd"].update(torch.stack(costs).mean().reshape(1))
        logged = {f"val/{name}": metrics[name] for name in ESTIMATED}
        self.module.log_dict(logged, on_step=False, on_epoch=True, batch_size=1, prog_bar=False)

    def _coded(self, prepared: PreparedRecording, quality: int) -> tuple[Tensor, list[SCIDecoded]]:
        """Return the bits of a feature's pixel, and the decoded groups, without writing any."""
        codec, header = self.module.codec, _of_quality(prepared.header, quality)
        size, symbols, groups = (header.height, header.width), RateEstimator(is_exact=True), []
        with torch.inference_mode():
            for group in range(header.groups):
                first, count = group * header.gop, header.group_length(group)
                frames = coded_frames(
                    cast("CodecNetworks", codec.coding),
                    symbols,
                    size,
                    quality,
                    count=count,
                    features=prepared.features[first : first + count],
                    estimation=codec.motion,
                )
                found = list(frames)
                features = torch.cat([frame.feature.clamp(0.0, 1.0) for frame in found])
                groups.append(_decoded(header, group, features, _motions(found)))
        rate = torch.as_tensor(symbols.bits) / (header.frames * size[0] * size[1])
        return rate, groups


class CodecStage(CodingStage):
    """Stage ``codec``: features through bits and back."""

    def terms(self, batch: SceneBatch) -> dict[str, Tensor]:
        """Return rate and distortion at a quality that is drawn anew for every batch.

        I-frames alone at first, then one P-frame after each, then all images of a sample. P-frames
        begin almost free, see :data:`FREE`, after I-frames that do not change meanwhile.
        """
        check_scenes(batch, "codec")
        module, generator = self.module, self.module.generator("coding")
        quality = int(torch.randint(QUALITIES, (), generator=generator))
        weight = float(module.hparams["lambdas"][quality])
        kind, done = phase_of(module.progress, module.hparams["phases"])
        group = drawn_group(module.learned_scenes(batch).features, kind, generator)
        symbols = counted(module, generator)
        coded = coded_frames(
            cast("CodecNetworks", module.codec.coding),
            symbols,
            (group[0].shape[-2], group[0].shape[-1]),
            quality,
            count=len(group),
            features=group,
            estimation=module.codec.motion,
        )
        with torch.set_grad_enabled(kind != "pair"):
            frames = [next(coded)]
            first = rate_of(symbols, group)
        frames += coded
        rate, distortion = rate_of(symbols, group), distortion_of(frames, group)
        terms = {"rate": rate, "distortion": distortion, "total": rate + weight * distortion}
        if kind == "pair":  # else decoded motion is noise, and contexts learn to do without
            warp = F.mse_loss(warped(group[0], cast("Tensor", frames[1].motion)), group[1])
            total = FREE ** (1 - done) * (rate - first) + weight * (distortion + warp)
            terms |= {"warp": warp, "total": total}
        return terms

    def begin(self, split: Split) -> None:
        """Make the entropy model final, as it is now: a validation measures what will be coded."""
        if split == "val":
            self.module.codec.update_tables()

    def judged(
        self, scene: CodedScene, prepared: PreparedRecording, groups: list[SCIDecoded]
    ) -> Tensor:
        """Return the mean square error of features."""
        found = torch.cat([group.features for group in groups])
        return F.mse_loss(found, torch.cat(prepared.features))


class JointStage(CodingStage):
    """Stage ``joint``: the decoder learns what pictures need; what is written stays as it was."""

    def terms(self, batch: SceneBatch) -> dict[str, Tensor]:
        """Return rate, the picture's error, the features' and that of refined motion (Eq. 6)."""
        check_scenes(batch, "joint", ROLLOUT)
        module, generator = self.module, self.module.generator("coding")
        quality = int(torch.randint(QUALITIES, (), generator=generator))
        weight = float(module.hparams["lambdas"][quality])
        scenes = module.learned_scenes(batch)
        group = list(scenes.features[:, :ROLLOUT].unbind(1))
        coding, symbols = cast("CodecNetworks", module.codec.coding), counted(module, generator)
        size = group[0].shape[-2], group[0].shape[-1]
        frames = list(
            coded_frames(
                coding,
                symbols,
                size,
                quality,
                count=len(group),
                features=group,
                estimation=module.codec.motion,
            )
        )
        decoded, motion = in_time(coding, frames)
        around = surroundings(decoded, motion, REACH)
        fam = cast("FAM", module.codec.fam)
        task = reconstruction_terms(fam.branches(*around), scenes.images[:, REACH])
        rate, distortion = rate_of(symbols, group), distortion_of(frames, group)
        moved = warped(decoded[:, :-1].flatten(0, 1), motion[:, 1:].flatten(0, 1))
        consistency = (moved - decoded[:, 1:].flatten(0, 1)).abs().mean()
        total = (
            rate
            + weight * task["total"]
            + FEATURE_WEIGHT * weight * distortion
            + CONSISTENCY_WEIGHT * consistency
        )
        return {
            "rate": rate,
            "image": task["image"],
            "distortion": distortion,
            "consistency": consistency,
            "total": total,
        }

    def judged(
        self, scene: CodedScene, prepared: PreparedRecording, groups: list[SCIDecoded]
    ) -> Tensor:
        """Return the mean square error of pictures."""
        found = images_at(scene.planes, self.module.codec.reconstruct_stream(groups))
        return F.mse_loss(found, scene.images.to(found.device))


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


def counted(module: SCICodecModule, generator: torch.Generator) -> RateEstimator:
    """Return how symbols are counted at this time of the run."""
    quant, progress = module.hparams["quant"], module.progress
    is_noisy = quant == "noise" or (quant == "mixed" and progress < NOISY)
    frozen = module.stage == "joint"
    return RateEstimator(
        generator,
        is_noisy=is_noisy and not frozen,
        is_rounded=frozen or progress >= ROUNDED,
    )


def images_at(planes: Sequence[int], found: Iterable[tuple[int, Tensor]]) -> Tensor:
    """Return the images at some planes of a recording, of those of every feature."""
    images = dict(found)
    return torch.stack([images[(plane - WINDOW // 2) // STEP] for plane in planes])


def _of_quality(header: Header, quality: int) -> Header:
    return Header(
        header.digest, header.height, header.width, header.planes, quality=quality, gop=header.gop
    )


def _motions(frames: Sequence[DecodedFrame]) -> Tensor:
    still = torch.zeros_like(frames[0].feature[:, :2])
    return torch.cat([still if frame.motion is None else frame.motion for frame in frames])


def _decoded(header: Header, group: int, features: Tensor, motion: Tensor) -> SCIDecoded:
    first = group * header.gop
    return SCIDecoded(features, motion, tuple(range(first, first + len(features))), header)
