"""Training module of stage ``codec``."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from spike_zoo.methods.sci.codec.bitstream import DecodedBitstream
from spike_zoo.methods.sci.codec.frames import CodecNetworks, encode_frames
from spike_zoo.methods.sci.codec.inter import FrameMode
from spike_zoo.methods.sci.codec.scale_net import QUALITIES
from spike_zoo.methods.sci.codec.symbols import RateEstimator
from spike_zoo.methods.sci.features.blocks import warp_features
from spike_zoo.methods.sci.features.fem import NEIGHBOURS_PER_SIDE
from spike_zoo.methods.sci.training.coding import (
    CodingStageEvaluator,
    PreparedRecording,
    SCICoder,
    images_at,
)
from spike_zoo.methods.sci.training.losses import distortion_of, motion_error, rate_of
from spike_zoo.methods.sci.training.options import (
    CODING,
    NETWORKS,
    STAGES,
    CodingOptions,
    NetworkOptions,
    with_part,
)
from spike_zoo.methods.sci.training.stage_module import WARMUP, StagedModule, check_scenes
from spike_zoo.nn.options import options_of
from spike_zoo.nn.schedules import ScheduleKind
from spike_zoo.tasks.batch import SceneBatch
from spike_zoo.tasks.evaluators.coding import CodedScene
from spike_zoo.tasks.reconstruction import ReconstructionModule

Kind = Literal["intra", "pair", "rollout"]

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
_MOTION_CODER = (
    *("inter.analysis.motion", "inter.entropy.motion", "inter.motion_synthesis"),
    *("gains.encoder.motion", "gains.decoder.motion"),
)


class SCICodecModule(StagedModule, ReconstructionModule):
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
        networks: See :class:`StagedModule`.
        learning_rate: See :class:`StagedModule`.
        schedule: See :class:`StagedModule`.
        warmup: See :class:`StagedModule`.
        lpips: Not used.

    Source: Sec. IV-B of the paper; the phases are ours.
    """

    stage = "codec"
    monitor = "val/rd"
    monitor_mode = "min"

    def __init__(
        self,
        fem: str | None = None,
        motion: str | None = None,
        codec: str | None = None,
        fam: str | None = None,
        coding: CodingOptions = CODING,
        cache_gib: float = 0.0,
        patch: int | None = None,
        networks: NetworkOptions = NETWORKS,
        learning_rate: float = 2e-4,
        schedule: ScheduleKind = "cosine",
        warmup: float = WARMUP,
        lpips: str = "auto",
    ) -> None:
        super().__init__(lpips=lpips)
        coding = options_of(CodingOptions, coding)
        self.save_hyperparameters()
        row = STAGES["codec"]
        if codec is not None:
            others = ("motion",) if motion is not None else ()
            row = row._replace(starts_from=("fem", "codec", *others))
        if coding.freeze_motion:
            row = with_part(row, "motion", "frozen")
        if coding.analysis == "encoder":
            row = with_part(row, "fam", "frozen")
            row = row._replace(starts_from=(*row.starts_from, "fam"))
        self.train_stage(row, networks, coding)
        self.coder = SCICoder(self.codec, coding.gop)
        self.evaluator = CodingStageEvaluator()

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

    def rate_estimator(self, generator: torch.Generator) -> RateEstimator:
        """Return the rate estimator for the current progress of the run."""
        kind, progress = self.coding_options.quantization, self.progress
        is_noisy = kind == "noise" or (kind == "mixed" and progress < NOISY)
        return RateEstimator(generator, is_noisy=is_noisy, is_rounded=progress >= ROUNDED)

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
        both = torch.cat([scenes.features, scenes.targets(self.coding_options.target)], dim=2)
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
