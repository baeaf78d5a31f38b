"""Training modules of stages ``fem`` and ``fam``, which are trained on clips of one image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

import torch
from torch import Tensor

from spike_zoo.media import flow as flow_media
from spike_zoo.methods.sci.analysis.fam import (
    AROUND,
    CENTRE,
    FAM,
    AnalysisInput,
    gather_analysis_input,
)
from spike_zoo.methods.sci.codec.codec import SCICodec
from spike_zoo.methods.sci.features.fem import CLIP, NEIGHBOURS_PER_SIDE, STEP
from spike_zoo.methods.sci.training.losses import extraction_terms, reconstruction_terms
from spike_zoo.methods.sci.training.options import (
    NETWORKS,
    STAGES,
    NetworkOptions,
    check_weights,
    with_part,
)
from spike_zoo.methods.sci.training.stage_module import WARMUP, StagedModule
from spike_zoo.metrics import smoothness
from spike_zoo.nn.schedules import ScheduleKind
from spike_zoo.simulation.kinds.takes import simulate_take
from spike_zoo.simulation.scenes.scene import SceneSpec
from spike_zoo.tasks import evaluation as results
from spike_zoo.tasks.batch import ReconstructionBatch, Split
from spike_zoo.tasks.evaluators.base import Evaluator
from spike_zoo.tasks.evaluators.reconstruction import ReconstructionEvaluator
from spike_zoo.tasks.protocols import Reconstructs
from spike_zoo.tasks.reconstruction import ReconstructionModule

ANCHOR_WEIGHT: Final = 0.1  # weight of the anchor of features, if FEM is trained with FAM
PREVIOUS = 1  # index of the previous neighbour in the five features

STATIC_SCENE: Final = SceneSpec(
    name="at rest", height=64, width=64, planes=97, speed=0, object_speed=0
)


class Intermediates(NamedTuple):
    """Intermediate outputs of a batch, shown as images."""

    codec: SCICodec
    feature: Tensor  # of the middle plane, (B, 3, H, W)
    image: Tensor  # (B, 1, H, W), not clamped
    analysis: AnalysisInput | None  # None in stage ``fem``

    @classmethod
    def of(cls, codec: SCICodec, batch: ReconstructionBatch) -> Intermediates:
        """Reconstruct the images of a batch, and return them with intermediate outputs."""
        spikes, scale = batch["spikes"], batch["rate_scale"]
        if not isinstance(codec.fam, FAM):
            features = codec.features(spikes, scale)
            middle = features[:, features.shape[1] // 2]
            return cls(codec, middle, codec.feature_image(middle), None)
        analysis = codec.analysis_input(spikes, scale)
        return cls(codec, analysis.features[:, CENTRE], codec.fam(*analysis), analysis)

    def captioned_images(self, index: int) -> dict[str, Tensor]:
        """Return images of the feature of one sample and of the alignment of the previous one.

        Warped, deformed and fused features are means over channels, scaled to [0, 1]. Source:
        Figs. 15 and 17 of the paper.
        """
        feature = {"feature": self.feature[index]}
        if self.analysis is None or not isinstance(self.codec.fam, FAM):
            return feature
        features, motions = (part[index : index + 1] for part in self.analysis)
        motion = motions[0, AROUND.index(PREVIOUS)].float()
        return {
            **feature,
            **flow_media.flow_images(motion),
            **self._alignment_images(self.codec.fam, features, motion),
        }

    @staticmethod
    def _alignment_images(fam: FAM, features: Tensor, motion: Tensor) -> dict[str, Tensor]:
        height, width = features.shape[-2:]
        rows, columns = height - height % 2, width - width % 2  # alignment needs even sides
        cropped = features[..., :rows, :columns]
        neighbour, centre = (fam.embed(cropped[:, index]) for index in (PREVIOUS, CENTRE))
        steps = fam.alignment.steps(neighbour, centre, motion[None, :, :rows, :columns])
        names = ["embedded" if fam.alignment.warp is None else "warped", "deformed", "fused"]
        return {
            name: stretch_contrast(maps[0].float().mean(dim=0))
            for name, maps in zip(names, steps, strict=False)
        }


class ClipStageEvaluator(ReconstructionEvaluator):
    """Measure the images of single clips and, in stage ``fem``, the smoothness of features.

    Images also show the intermediate outputs of the networks. A test measures the flicker of the
    images of a static scene as ``test/frame_deviation``.
    """

    def __init__(self, *, lpips: str = "auto", protocols: Sequence[str] = ()) -> None:
        super().__init__(lpips=lpips, protocols=protocols)
        self.smoothness = Evaluator[Any, Any]()  # of features in space (Table II of the paper)

    def measure_batch(
        self, method: ReconstructionModule, batch: ReconstructionBatch, split: Split, index: int
    ) -> results.Evaluation:
        """Measure images, and add images of intermediate outputs."""
        method.check_clip(batch["spikes"].shape[1])
        outputs = Intermediates.of(cast("StagedModule", method).codec, batch)
        images = outputs.image.float().clamp(0.0, 1.0)
        evaluation = self.measure_clips(split, batch, images)
        if split == "test" and outputs.analysis is None:
            norms = smoothness.laplacian_norms(outputs.feature.float())._asdict()
            self.smoothness.add_means(split, norms)
            evaluation = evaluation._replace(values={**evaluation.values, **norms})
        samples = []
        for number, sample in enumerate(evaluation.samples):
            first = dict([next(iter(sample.images.items()))])
            by_caption = {**first, **outputs.captioned_images(number), **sample.images}
            samples.append(sample._replace(images=by_caption))
        return evaluation._replace(samples=samples)

    def epoch_values(self, method: ReconstructionModule, split: Split) -> dict[str, Tensor]:
        """Return the metrics and, in a test, the flicker of the images of a static scene."""
        values = super().epoch_values(method, split)
        if split == "test":
            values["frame_deviation"] = static_scene_deviation(method)
        return values

    def profiled_calls(
        self, method: ReconstructionModule, batch: ReconstructionBatch
    ) -> Mapping[str, Callable[[], object]]:
        """Return the extraction of one feature."""
        spikes, scale = batch["spikes"], batch["rate_scale"]
        window = spikes[:, spikes.shape[1] // 2 - 6 : spikes.shape[1] // 2 + 7]
        return {"extract": lambda: cast("StagedModule", method).codec.feature(window, scale)}


class SCIFeaturesModule(StagedModule, ReconstructionModule):
    """Stage ``fem``: train the feature extraction.

    The image is the mean over the channels of a feature of 13 planes.

    Args:
        smoothness_weight: Weight of the smoothness constraint.
        networks: See :class:`StagedModule`.
        learning_rate: See :class:`StagedModule`.
        schedule: See :class:`StagedModule`.
        warmup: See :class:`StagedModule`.
        lpips: See :class:`ReconstructionModule`.
        protocols: See :class:`ReconstructionModule`.

    Source: Sec. IV-A of the paper.
    """

    stage = "fem"
    evaluator_class = ClipStageEvaluator

    def __init__(
        self,
        smoothness_weight: float = 0.05,
        networks: NetworkOptions = NETWORKS,
        learning_rate: float = 2e-4,
        schedule: ScheduleKind = "cosine",
        warmup: float = WARMUP,
        lpips: str = "auto",
        protocols: Sequence[str] = (),
    ) -> None:
        super().__init__(lpips=lpips, protocols=protocols)
        check_weights(smoothness_weight=smoothness_weight)
        self.save_hyperparameters()
        self.train_stage(STAGES["fem"], networks)

    def terms(self, batch: ReconstructionBatch) -> dict[str, Tensor]:
        """Return the anchor and the smoothness constraint."""
        self.check_clip(batch["spikes"].shape[1])
        feature = self.codec.features(batch["spikes"], batch["rate_scale"])[:, 0]
        return extraction_terms(feature, batch["image"], self.hparams["smoothness_weight"])


class SCIAnalysisModule(StagedModule, ReconstructionModule):
    """Stage ``fam``: train the analysis, which reconstructs images from features and motion.

    An image is reconstructed from 41 planes.

    Args:
        fem: Checkpoint of stage ``"fem"`` to start from; read at the start of a fit.
        motion: Checkpoint of stage ``"motion"``, likewise.
        train_fem: Whether the feature extraction is trained too, by the error of the image. The
            anchor of stage ``fem`` is then added to the loss. The paper freezes it.
        networks: See :class:`StagedModule`.
        learning_rate: See :class:`StagedModule`.
        schedule: See :class:`StagedModule`.
        warmup: See :class:`StagedModule`.
        lpips: See :class:`ReconstructionModule`.
        protocols: See :class:`ReconstructionModule`.

    Source: Sec. IV-C of the paper.
    """

    stage = "fam"
    evaluator_class = ClipStageEvaluator

    def __init__(
        self,
        fem: str | None = None,
        motion: str | None = None,
        train_fem: bool = False,
        networks: NetworkOptions = NETWORKS,
        learning_rate: float = 2e-4,
        schedule: ScheduleKind = "cosine",
        warmup: float = WARMUP,
        lpips: str = "auto",
        protocols: Sequence[str] = (),
    ) -> None:
        super().__init__(lpips=lpips, protocols=protocols)
        self.save_hyperparameters()
        row = STAGES["fam"]
        self.train_stage(with_part(row, "fem", "learns") if train_fem else row, networks)

    def terms(self, batch: ReconstructionBatch) -> dict[str, Tensor]:
        """Return the errors of the image and of the preliminary images, and the anchor if used."""
        self.check_clip(batch["spikes"].shape[1])
        with torch.set_grad_enabled(self.hparams["train_fem"]):
            features = self.codec.features(batch["spikes"], batch["rate_scale"])
        with torch.no_grad():
            motion = self.codec.backward_flow(features)
        output = self._fam.branches(*gather_analysis_input(features, motion, NEIGHBOURS_PER_SIDE))
        terms = reconstruction_terms(output, batch["image"])
        if self.hparams["train_fem"]:
            centre = features[:, NEIGHBOURS_PER_SIDE]
            anchor = extraction_terms(centre, batch["image"], 0.0)["anchor"]
            terms |= {"anchor": anchor, "total": terms["total"] + ANCHOR_WEIGHT * anchor}
        return terms

    def profiled_calls(self, batch: ReconstructionBatch) -> Mapping[str, Callable[[], object]]:
        """Return the reconstruction, the extraction of one feature, and the analysis."""
        fam = self._fam
        inputs = self.codec.analysis_input(batch["spikes"], batch["rate_scale"])
        return {**super().profiled_calls(batch), "analyse": lambda: fam(*inputs)}

    @property
    def _fam(self) -> FAM:
        return cast("FAM", self.codec.fam)


def stretch_contrast(values: Tensor) -> Tensor:
    """Scale values to [0, 1]; return zeros if all values are equal."""
    least, largest = torch.aminmax(values)
    return (values - least) / (largest - least).clamp(min=torch.finfo(values.dtype).tiny)


def static_scene_deviation(method: Reconstructs) -> Tensor:
    """Measure the flicker of a method's images of a static scene, see :func:`frame_deviation`.

    The scene is simulated and equal for all methods: dead leaves, with the camera's noise only.
    """
    recording = simulate_take(STATIC_SCENE, image_stride=STATIC_SCENE.planes, margin=0).recording
    margin = CLIP // 2
    centers = list(range(margin, len(recording) - margin, STEP))
    return smoothness.frame_deviation(method.reconstruct(recording, centers))
