"""Training module of stage ``joint``: decoder and analysis, without change of bitstreams."""

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from spike_zoo.methods.sci.analysis.fam import FAM, gather_analysis_input
from spike_zoo.methods.sci.codec.bitstream import DecodedBitstream
from spike_zoo.methods.sci.codec.frames import CodecNetworks, encode_frames, stack_frames
from spike_zoo.methods.sci.codec.scale_net import QUALITIES
from spike_zoo.methods.sci.codec.symbols import RateEstimator
from spike_zoo.methods.sci.features.blocks import warp_features
from spike_zoo.methods.sci.features.fem import NEIGHBOURS_PER_SIDE
from spike_zoo.methods.sci.training.codec import ROLLOUT
from spike_zoo.methods.sci.training.coding import (
    CodingStageEvaluator,
    PreparedRecording,
    SCICoder,
    images_at,
)
from spike_zoo.methods.sci.training.losses import distortion_of, rate_of, reconstruction_terms
from spike_zoo.methods.sci.training.options import (
    CODING,
    NETWORKS,
    STAGES,
    CodingOptions,
    NetworkOptions,
)
from spike_zoo.methods.sci.training.stage_module import WARMUP, StagedModule, check_scenes
from spike_zoo.nn.options import options_of
from spike_zoo.nn.schedules import ScheduleKind
from spike_zoo.tasks.batch import SceneBatch
from spike_zoo.tasks.evaluators.coding import CodedScene
from spike_zoo.tasks.reconstruction import ReconstructionModule

FEATURE_WEIGHT = 0.1
CONSISTENCY_WEIGHT = 0.1


class SCIJointModule(StagedModule, ReconstructionModule):
    """Stage ``joint``: train decoder and analysis for images; the encoder is frozen.

    Args:
        fem: Checkpoint of stage ``"fem"`` to start from; read at the start of a fit.
        codec: Checkpoint of stage ``"codec"``, likewise; its motion estimation is used.
        fam: Checkpoint of stage ``"fam"``, likewise.
        coding: Rate-distortion weights, see :class:`CodingOptions`; the phases are not used.
        cache_gib: See :class:`SCIMotionModule`.
        patch: See :class:`SCIMotionModule`.
        networks: See :class:`StagedModule`.
        learning_rate: See :class:`StagedModule`.
        schedule: See :class:`StagedModule`.
        warmup: See :class:`StagedModule`.
        lpips: Not used.

    Source: Sec. IV-D, Eq. (6) of the paper.
    """

    stage = "joint"
    monitor = "val/rd"
    monitor_mode = "min"

    def __init__(
        self,
        fem: str | None = None,
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
        self.train_stage(STAGES["joint"], networks, coding)
        self.coder = SCICoder(self.codec, coding.gop)
        self.evaluator = CodingStageEvaluator()

    def rate_estimator(self, generator: torch.Generator) -> RateEstimator:
        """Return a rate estimator that rounds as bitstreams do: the entropy model is frozen."""
        return RateEstimator(generator, is_rounded=True)

    def terms(self, batch: SceneBatch) -> dict[str, Tensor]:
        """Return rate, errors of image and features, consistency of motion, and loss (Eq. 6)."""
        check_scenes(batch, "stage joint", ROLLOUT)
        generator = self.generator("coding")
        quality = int(torch.randint(QUALITIES, (), generator=generator))
        weight = float(self.coding_options.rd_weights[quality])
        scenes = self.training_scenes(batch)
        group = list(scenes.features[:, :ROLLOUT].unbind(1))
        targets = scenes.targets(self.coding_options.target)[:, :ROLLOUT].unbind(1)
        coding = cast("CodecNetworks", self.codec.codec_networks)
        symbols = self.rate_estimator(generator)
        frames = list(encode_frames(coding, symbols, group, quality, estimation=self.codec.motion))
        decoded, motion = stack_frames(coding, frames)
        around = gather_analysis_input(decoded, motion, NEIGHBOURS_PER_SIDE)
        fam = cast("FAM", self.codec.fam)
        task = reconstruction_terms(fam.branches(*around), scenes.images[:, NEIGHBOURS_PER_SIDE])
        rate, distortion = rate_of(symbols, group), distortion_of(frames, targets)
        moved = warp_features(decoded[:, :-1].flatten(0, 1), motion[:, 1:].flatten(0, 1))
        consistency = (moved - decoded[:, 1:].flatten(0, 1)).abs().mean()
        total = (
            rate
            + weight * task["total"]
            + FEATURE_WEIGHT * weight * distortion
            + CONSISTENCY_WEIGHT * consistency
        )
        terms = {"rate": rate, "image": task["image"], "distortion": distortion}
        return {**terms, "consistency": consistency, "total": total}

    def distortion(
        self, scene: CodedScene, prepared: PreparedRecording, groups: list[DecodedBitstream]
    ) -> Tensor:
        """Return the mean square error of images."""
        images = images_at(scene.planes, self.codec.reconstruct_stream(groups))
        return F.mse_loss(images, scene.images.to(images.device))
