"""What each stage of SCI's training does with a batch; here those of single clips."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch

from spike_zoo.methods.sci.features.smoothness import add_norms, deviation_at_rest, norm_metrics
from spike_zoo.methods.sci.training.losses import extraction_terms, reconstruction_terms
from spike_zoo.methods.sci.training.visualization import Intermediates
from spike_zoo.tasks.reconstruction import ReconstructionModule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lightning import LightningDataModule
    from torch import Tensor
    from torchmetrics import MetricCollection

    from spike_zoo.batch import ReconstructionBatch, Split
    from spike_zoo.methods.sci.analysis.fam import FAM
    from spike_zoo.methods.sci.training.module import SCICodecModule
    from spike_zoo.tasks.evaluation import Evaluation, Origin, SamplePrediction


class TrainingStage:
    """One stage's part of a module: its loss, and how it is evaluated and shown.

    Args:
        module: What it belongs to; its hyper-parameters are the settings.

    Attributes:
        monitor: By which a run's best checkpoint is chosen.
        monitor_mode: Whether its ``"max"`` or ``"min"`` is the best.
    """

    monitor: ClassVar[str] = "val/psnr"
    monitor_mode: ClassVar[str] = "max"

    def __init__(self, module: SCICodecModule) -> None:
        self.module = module

    def check_data(self, served: LightningDataModule, stage: str) -> None:
        """Refuse data that do not fit; see :meth:`TaskModule.check_data`."""
        ReconstructionModule.check_data(self.module, served, stage)

    def terms(self, batch: Any) -> dict[str, Tensor]:  # noqa: ANN401  (the stage's batch)
        """Return the terms of the loss, ``"total"`` among them."""
        raise NotImplementedError

    def make_metrics(self) -> MetricCollection:
        """Return what is measured."""
        return ReconstructionModule.make_metrics(self.module)

    def origins(self, batch: Any) -> Sequence[Origin]:  # noqa: ANN401  (the stage's batch)
        """Return where each sample comes from."""
        return ReconstructionModule.origins(self.module, batch)

    def predict(self, batch: Any) -> Tensor:  # noqa: ANN401  (the stage's batch)
        """Return what ``predict_step`` does."""
        raise NotImplementedError

    def predicted(self, batch: Any, found: Tensor) -> Sequence[SamplePrediction]:  # noqa: ANN401  (the stage's batch)
        """Return what files are written of a batch."""
        return ReconstructionModule.predicted(self.module, batch, found)

    def evaluate(self, batch: Any, split: Split, batch_idx: int) -> Evaluation:  # noqa: ANN401  (the stage's batch)
        """Add a batch to the metrics of a split and return what was found out."""
        return ReconstructionModule.evaluate(self.module, batch, split, batch_idx)

    def begin(self, split: Split) -> None:
        """Do what must be done before a split is evaluated."""

    def finish(self, split: Split) -> None:
        """Log what is known once all of a split was evaluated."""

    def seen(self, index: int) -> dict[str, Tensor]:
        """Return pictures of what the networks saw of a sample of the batch evaluated last."""
        return {}

    def profiled_calls(self, batch: Any) -> Mapping[str, Callable[[], object]]:  # noqa: ANN401  (the stage's batch)
        """Return what is measured beside ``"forward"``, see :meth:`TaskModule.cost_jobs`."""
        return {}


class ClipStage(TrainingStage):
    """A stage that is judged by the picture of single clips."""

    def __init__(self, module: SCICodecModule) -> None:
        super().__init__(module)
        self._seen: Intermediates | None = None  # of the batch that was evaluated last

    def predict(self, batch: ReconstructionBatch) -> Tensor:
        """Return reconstructions ``(B, 1, H, W)`` in [0, 1]."""
        self.module.check_clip(batch["spikes"].shape[1])
        self._seen = Intermediates.of(self.module.codec, batch)
        return self._seen.image.float().clamp(0.0, 1.0)

    def seen(self, index: int) -> dict[str, Tensor]:
        """Return the feature of a sample, and how neighbours were brought to its time."""
        return {} if self._seen is None else self._seen.pictures(index)

    def finish(self, split: Split) -> None:
        """Log how much pictures of a scene at rest flicker."""
        if split == "test":
            self.module.log("test/frame_deviation", deviation_at_rest(self.module))

    def profiled_calls(self, batch: ReconstructionBatch) -> Mapping[str, Callable[[], object]]:
        """Return the work of one feature, at the camera's side."""
        spikes, scale = batch["spikes"], batch["rate_scale"]
        middle = spikes.shape[1] // 2
        window = spikes[:, middle - 6 : middle + 7]
        return {"extract": lambda: self.module.codec.feature(window, scale)}


class FEMStage(ClipStage):
    """Stage ``fem``: features that are pictures, and smooth."""

    def __init__(self, module: SCICodecModule) -> None:
        super().__init__(module)
        self.norms = module.norms = norm_metrics("test/")  # of the module, so on its device

    def terms(self, batch: ReconstructionBatch) -> dict[str, Tensor]:
        """Return the anchor and the smoothness constraint."""
        self.module.check_clip(batch["spikes"].shape[1])
        feature = self.module.codec.features(batch["spikes"], batch["rate_scale"])[:, 0]
        return extraction_terms(feature, batch["image"], self.module.hparams["w_lap"])

    def evaluate(self, batch: ReconstructionBatch, split: Split, batch_idx: int) -> Evaluation:
        """Measure pictures, and in a test the features' Laplacians."""
        evaluation = super().evaluate(batch, split, batch_idx)
        if split == "test":
            add_norms(self.norms, cast("Intermediates", self._seen).feature)
        return evaluation

    def finish(self, split: Split) -> None:
        """Log smoothness, in space and time."""
        super().finish(split)
        if split == "test":
            self.module.log_dict(self.norms.compute())
            self.norms.reset()


class FAMStage(ClipStage):
    """Stage ``fam``: pictures from five features and the motion between them."""

    def terms(self, batch: ReconstructionBatch) -> dict[str, Tensor]:
        """Return the errors of the image and of the preliminary ones."""
        self.module.check_clip(batch["spikes"].shape[1])
        with torch.no_grad():
            analysis = self.module.codec.analysed(batch["spikes"], batch["rate_scale"])
        return reconstruction_terms(self._fam.branches(*analysis), batch["image"])

    def profiled_calls(self, batch: ReconstructionBatch) -> Mapping[str, Callable[[], object]]:
        """Return the work of a feature, and of the analysis alone."""
        fam = self._fam
        analysed = self.module.codec.analysed(batch["spikes"], batch["rate_scale"])
        return {**super().profiled_calls(batch), "analyse": lambda: fam(*analysed)}

    @property
    def _fam(self) -> FAM:
        return cast("FAM", self.module.codec.fam)
