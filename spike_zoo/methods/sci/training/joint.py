"""Training module of stage ``joint``: decoder and analysis, without change of bitstreams."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from spike_zoo.methods.sci.analysis.fam import FAM, gather_analysis_input
from spike_zoo.methods.sci.codec.frames import CodecNetworks, encode_frames, stack_frames
from spike_zoo.methods.sci.codec.scale_net import QUALITIES
from spike_zoo.methods.sci.features.blocks import warp_features
from spike_zoo.methods.sci.features.fem import NEIGHBOURS_PER_SIDE
from spike_zoo.methods.sci.training.codec import (
    ROLLOUT,
    CodingStageModule,
    PreparedRecording,
    images_at,
)
from spike_zoo.methods.sci.training.losses import distortion_of, rate_of, reconstruction_terms
from spike_zoo.methods.sci.training.options import CODING, STAGES, CodingOptions
from spike_zoo.methods.sci.training.stage_module import arguments_of
from spike_zoo.tasks.batch import SceneBatch
from spike_zoo.tasks.coding import CodedScene
from spike_zoo.tasks.protocols import DecodedBitstream
from spike_zoo.tasks.scene_training import check_scenes

FEATURE_WEIGHT = 0.1
CONSISTENCY_WEIGHT = 0.1


class SCIJointModule(CodingStageModule):
    """Stage ``joint``: train decoder and analysis for images; the encoder is frozen.

    Args:
        fem: Checkpoint of stage ``"fem"`` to start from; read at the start of a fit.
        codec: Checkpoint of stage ``"codec"``, likewise; its motion estimation is used.
        fam: Checkpoint of stage ``"fam"``, likewise.
        coding: Rate-distortion weights, see :class:`CodingOptions`; the phases are not used.
        cache_gib: See :class:`SCIMotionModule`.
        patch: See :class:`SCIMotionModule`.
        options: Options of :class:`SCIStageModule`.

    Source: Sec. IV-D, Eq. (6) of the paper.
    """

    stage = "joint"

    def __init__(
        self,
        fem: str | None = None,
        codec: str | None = None,
        fam: str | None = None,
        coding: CodingOptions = CODING,
        cache_gib: float = 0.0,
        patch: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.train_codec(STAGES["joint"], arguments_of(locals()))

    def terms(self, batch: SceneBatch) -> dict[str, Tensor]:
        """Return rate, errors of image and features, consistency of motion, and loss (Eq. 6)."""
        check_scenes(batch, "stage joint", ROLLOUT)
        generator = self.generator("coding")
        quality = int(torch.randint(QUALITIES, (), generator=generator))
        weight = float(self.coding_options.rd_weights[quality])
        scenes = self.training_scenes(batch)
        group = list(scenes.features[:, :ROLLOUT].unbind(1))
        targets = self.targets(scenes)[:, :ROLLOUT].unbind(1)
        coding, symbols = (
            cast("CodecNetworks", self.codec.codec_networks),
            self.rate_estimator(generator),
        )
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
