"""Stages ``fem`` and ``fam``, which learn from single clips: features, and images from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import torch
from torchmetrics import Metric, MetricCollection

from spike_zoo.methods.sci.analysis.fam import surroundings
from spike_zoo.methods.sci.features.fem import REACH, STEP, WINDOW
from spike_zoo.methods.sci.training.losses import extraction_terms, reconstruction_terms
from spike_zoo.methods.sci.training.options import NETWORKS, NetworkOptions, check_weights
from spike_zoo.methods.sci.training.stage_module import WARMUP, SCIStageModule
from spike_zoo.methods.sci.training.stage_table import STAGES, trained
from spike_zoo.methods.sci.training.visualization import Intermediates
from spike_zoo.metrics import LaplacianNorms, frame_deviation, laplacian_norms
from spike_zoo.metrics.image import MeanOfValues
from spike_zoo.simulation.kinds.takes import simulate_take
from spike_zoo.simulation.scenes.scene import SceneSpec
from spike_zoo.tasks.reconstruction import ReconstructionModule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from spike_zoo.batch import ReconstructionBatch, Split
    from spike_zoo.methods.sci.analysis.fam import FAM
    from spike_zoo.nn.schedules import ScheduleKind
    from spike_zoo.tasks.evaluation import Evaluation
    from spike_zoo.tasks.protocols import Reconstructs

NORMS: Final = LaplacianNorms._fields
ANCHOR_WEIGHT: Final = 0.1  # of the feature's own image, where FEM is trained with FAM
AT_REST: Final = SceneSpec(name="at rest", height=64, width=64, planes=97, speed=0, object_speed=0)


class ClipStageModule(SCIStageModule, ReconstructionModule):
    """Base class of stages that are evaluated by the image of single clips."""

    _shown: Intermediates | None = None  # of the batch that was evaluated last

    def predict_step(self, batch: ReconstructionBatch, batch_idx: int) -> Tensor:
        """Return reconstructions ``(B, 1, H, W)`` in [0, 1]."""
        self.check_clip(batch["spikes"].shape[1])
        self._shown = Intermediates.of(self.codec, batch)
        return self._shown.image.float().clamp(0.0, 1.0)

    def pictures(self, batch: ReconstructionBatch, index: int, image: Tensor) -> dict[str, Tensor]:
        """Return playback, the networks' intermediate outputs, the image and ground truth."""
        usual = super().pictures(batch, index, image)
        first = next(iter(usual))
        between = {} if self._shown is None else self._shown.pictures(index)
        return {first: usual.pop(first), **between, **usual}

    def on_test_epoch_end(self) -> None:
        """Log how much images of a scene at rest flicker."""
        super().on_test_epoch_end()
        self.log("test/frame_deviation", deviation_at_rest(self))

    def profiled_calls(self, batch: ReconstructionBatch) -> Mapping[str, Callable[[], object]]:
        """Return the reconstruction and, by itself, one feature, as the camera computes it."""
        spikes, scale = batch["spikes"], batch["rate_scale"]
        middle = spikes.shape[1] // 2
        window = spikes[:, middle - 6 : middle + 7]
        extract = {"extract": lambda: self.codec.feature(window, scale)}
        return {**super().profiled_calls(batch), **extract}


class SCIFeaturesModule(ClipStageModule):
    """Stage ``fem``: train the feature extraction, whose features are smooth images.

    An image is the feature's mean over its channels, of 13 planes.

    Args:
        networks: Architecture, see :class:`NetworkOptions`.
        smoothness_weight: Weight of the smoothness constraint.
        learning_rate: Of Adam, betas 0.9 and 0.999.
        schedule: How the learning rate moves over the run, see :func:`schedule_factor`.
        warmup: Fraction of the run in which it rises.
        lpips: See :class:`ReconstructionModule`.
        protocols: See :class:`ReconstructionModule`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: *A Joint Visual Compression and Perception Framework for Neuralmorphic Spiking Camera*,
    Sec. IV-A.
    """

    stage = "fem"

    def __init__(
        self,
        networks: NetworkOptions = NETWORKS,
        smoothness_weight: float = 0.05,
        learning_rate: float = 2e-4,
        schedule: ScheduleKind = "cosine",
        warmup: float = WARMUP,
        lpips: str = "auto",
        protocols: Sequence[str] = (),
    ) -> None:
        super().__init__(lpips=lpips, protocols=protocols)
        check_weights(smoothness_weight=smoothness_weight)
        options, row = NetworkOptions.of(networks), STAGES["fem"]
        given = {"networks": options, "smoothness_weight": smoothness_weight}
        given |= {"learning_rate": learning_rate, "schedule": schedule, "warmup": warmup}
        self.train_stage(row, options.codec(row), **given, lpips=lpips, protocols=protocols)
        self.clip_length = row.clip_length
        self.norms = norm_metrics("test/")

    def terms(self, batch: ReconstructionBatch) -> dict[str, Tensor]:
        """Return the anchor and the smoothness constraint."""
        self.check_clip(batch["spikes"].shape[1])
        feature = self.codec.features(batch["spikes"], batch["rate_scale"])[:, 0]
        return extraction_terms(feature, batch["image"], self.hparams["smoothness_weight"])

    def evaluate(self, batch: ReconstructionBatch, split: Split, batch_idx: int) -> Evaluation:
        """Measure images, and in a test the features' Laplacians."""
        evaluation = super().evaluate(batch, split, batch_idx)
        if split == "test":
            add_norms(self.norms, cast("Intermediates", self._shown).feature)
        return evaluation

    def on_test_epoch_end(self) -> None:
        """Log smoothness, in space and time."""
        super().on_test_epoch_end()
        self.log_dict(self.norms.compute())
        self.norms.reset()


class SCIAnalysisModule(ClipStageModule):
    """Stage ``fam``: train the analysis, which makes images of five features and their motion.

    An image is made of 41 planes.

    Args:
        fem: Checkpoint of stage ``"fem"`` to start from; read when a fit begins.
        motion: Checkpoint of stage ``"motion"``, likewise.
        networks: Architecture, see :class:`NetworkOptions`.
        train_fem: Train the feature extraction too, by the error of the image. The mean of a
            feature's channels stays an image by a term of the loss. The paper freezes it.
        learning_rate: Of Adam, betas 0.9 and 0.999.
        schedule: How the learning rate moves over the run, see :func:`schedule_factor`.
        warmup: Fraction of the run in which it rises.
        lpips: See :class:`ReconstructionModule`.
        protocols: See :class:`ReconstructionModule`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: *A Joint Visual Compression and Perception Framework for Neuralmorphic Spiking Camera*,
    Sec. IV-C.
    """

    stage = "fam"

    def __init__(
        self,
        fem: str | None = None,
        motion: str | None = None,
        networks: NetworkOptions = NETWORKS,
        train_fem: bool = False,
        learning_rate: float = 2e-4,
        schedule: ScheduleKind = "cosine",
        warmup: float = WARMUP,
        lpips: str = "auto",
        protocols: Sequence[str] = (),
    ) -> None:
        super().__init__(lpips=lpips, protocols=protocols)
        options, row = NetworkOptions.of(networks), STAGES["fam"]
        if train_fem:
            row = trained(row, "fem")
        given: dict[str, Any] = {"fem": fem, "motion": motion, "networks": options}
        given |= {"train_fem": train_fem}
        given |= {"learning_rate": learning_rate, "schedule": schedule, "warmup": warmup}
        self.train_stage(row, options.codec(row), **given, lpips=lpips, protocols=protocols)
        self.clip_length = row.clip_length

    def terms(self, batch: ReconstructionBatch) -> dict[str, Tensor]:
        """Return the errors of the image, of the preliminary ones, and of a trained feature."""
        self.check_clip(batch["spikes"].shape[1])
        with torch.set_grad_enabled(self.hparams["train_fem"]):
            features = self.codec.features(batch["spikes"], batch["rate_scale"])
        with torch.no_grad():
            motion = self.codec.links(features)
        output = self._fam.branches(*surroundings(features, motion, REACH))
        terms = reconstruction_terms(output, batch["image"])
        if self.hparams["train_fem"]:
            anchor = extraction_terms(features[:, REACH], batch["image"], 0.0)["total"]
            terms |= {"anchor": anchor, "total": terms["total"] + ANCHOR_WEIGHT * anchor}
        return terms

    def profiled_calls(self, batch: ReconstructionBatch) -> Mapping[str, Callable[[], object]]:
        """Return the reconstruction, one feature, and the analysis alone."""
        fam = self._fam
        analysed = self.codec.analysed(batch["spikes"], batch["rate_scale"])
        return {**super().profiled_calls(batch), "analyse": lambda: fam(*analysed)}

    @property
    def _fam(self) -> FAM:
        return cast("FAM", self.codec.fam)


def norm_metrics(prefix: str) -> MetricCollection:
    """Return the means of the norms of features' Laplacians, raw and by their own contrast."""
    means: dict[str, Metric | MetricCollection] = {name: MeanOfValues() for name in NORMS}
    return MetricCollection(means, compute_groups=False, prefix=prefix)


def add_norms(metrics: MetricCollection, features: Tensor) -> None:
    """Add the norms of features ``(B, 3, H, W)`` to their means.

    Source: the paper's Table II.
    """
    norms = laplacian_norms(features.float())
    for name, values in norms._asdict().items():
        metrics[name].update(values)


def deviation_at_rest(method: Reconstructs) -> Tensor:
    """Return how much a method's pictures of a still scene flicker, see :func:`frame_deviation`.

    The paper says of the dual pathway that it lowers the deviation of light from frame to frame.
    The scene is simulated, the same for every method: dead leaves, no noise but the camera's own.
    """
    recording = simulate_take(AT_REST, image_stride=AT_REST.planes, margin=0).recording
    margin = WINDOW // 2 + REACH * STEP
    centers = list(range(margin, len(recording) - margin, STEP))
    return frame_deviation(method.reconstruct(recording, centers))
