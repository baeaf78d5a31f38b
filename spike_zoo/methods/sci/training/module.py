"""Training and use of SCI: its stages, what they begin with, and reconstruction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_args

from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from spike_zoo.errors import ConfigError
from spike_zoo.methods.sci.analysis.alignment import Align
from spike_zoo.methods.sci.analysis.fam import FAM
from spike_zoo.methods.sci.codec.codec import SCICodec
from spike_zoo.methods.sci.codec.decoded import Boundary, IFrameMotion
from spike_zoo.methods.sci.codec.frames import CodecNetworks
from spike_zoo.methods.sci.codec.inter import Context, TemporalPrior
from spike_zoo.methods.sci.codec.quantization import Quantisation
from spike_zoo.methods.sci.codec.scale_net import QUALITIES
from spike_zoo.methods.sci.features.feature_cache import CachedFeatures
from spike_zoo.methods.sci.features.feature_stream import FeatureStream
from spike_zoo.methods.sci.features.fem import FEM, Fusion, Pathway
from spike_zoo.methods.sci.features.motion_estimation import MotionEstimation
from spike_zoo.methods.sci.training.codec import RATES, CodecStage, CodingStage, JointStage
from spike_zoo.methods.sci.training.feature_batches import come_whole, feature_batch_of
from spike_zoo.methods.sci.training.jobs import FAMStage, FEMStage
from spike_zoo.methods.sci.training.motion import MotionStage
from spike_zoo.methods.sci.training.stage_module import StagedModule
from spike_zoo.methods.sci.training.stage_table import Stage, row_of, without
from spike_zoo.nn.eval_mode import eval_mode
from spike_zoo.nn.schedules import ScheduleKind, check_schedule, total_updates
from spike_zoo.tasks.base import TaskModule
from spike_zoo.tasks.coding import CodingModule
from spike_zoo.tasks.reconstruction import ReconstructionModule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lightning import LightningDataModule
    from torch.optim import Optimizer
    from torchmetrics import MetricCollection

    from spike_zoo.batch import ReconstructionBatch, SceneBatch, Split
    from spike_zoo.methods.sci.training.feature_batches import FeatureBatch
    from spike_zoo.methods.sci.training.jobs import TrainingStage
    from spike_zoo.spikes import SpikeRecording
    from spike_zoo.tasks.coding import CodedScene, Compressed
    from spike_zoo.tasks.evaluation import Evaluation, Origin, SamplePrediction

JOBS: Mapping[Stage, type[TrainingStage]] = {
    "fem": FEMStage,
    "motion": MotionStage,
    "codec": CodecStage,
    "fam": FAMStage,
    "joint": JointStage,
}

MOVING = (
    "motion.",
    "inter.analysis.motion.",
    "inter.entropy.motion.",
    "inter.motion_synthesis.",
    "fmvr.",
)
"""Parts of a codec that learn through warping."""


class SCICodecModule(StagedModule, ReconstructionModule, CodingModule):
    """Train the parts of SCI stage by stage, and reconstruct with what there is.

    :data:`~spike_zoo.methods.sci.training.stage_table.STAGES` lists what a stage trains, freezes
    and starts from. In stage ``"fem"`` and ``"motion"`` a picture is
    the feature's mean over its channels, of 13 planes; in stage ``"fam"`` it is FAM's, of 41. In
    stage ``"codec"`` and ``"joint"`` whole recordings become bitstreams and pictures again.

    Args:
        stage: ``"fem"``, ``"motion"``, ``"codec"``, ``"fam"`` or ``"joint"``.
        fem: Checkpoint of stage ``"fem"`` to begin from; read when a fit begins.
        motion: Checkpoint of stage ``"motion"``, likewise.
        codec: Checkpoint of stage ``"codec"``, likewise; its motion estimation counts. In that
            stage itself, where ``motion`` is None: the codec that is trained on.
        fam: Checkpoint of stage ``"fam"``, likewise.
        fem_width: Width of FEM; 1 is the paper's, for all widths.
        codec_width: Width of motion estimation, and of the codec.
        fam_width: Width of FAM.
        pathway: See :class:`FEM`, and so up to ``binarize``.
        pfu: See there.
        attention: See there.
        binarize: See there.
        w_lap: Weight of the smoothness constraint in stage ``"fem"``.
        w_true: Weight of the true motion at the start of stage ``"motion"``; 0 is the paper's way.
        w_true_end: What of it is left at the end, to which it falls by the same at every update.
            Where it fell to 0 the warped feature's error unlearned slow and fast motion again.
        align: See :class:`FAM`.
        neighbors: See there.
        context: See :class:`Inter`.
        temporal_prior: See there.
        fmvr: Whether decoded motion is refined before it is analysed. Bitstreams do not change.
        quant: How rounding is trained: ``"mixed"`` begins with noise and goes on with rounding,
            ``"noise"`` and ``"ste"`` do one of both throughout.
        lambdas: Weight of distortion at each of the four qualities.
        phases: Parts of stage ``"codec"`` for I-frames, for one P-frame after each, and for all
            images of a sample.
        gop: Features of a group of pictures, where bitstreams are measured.
        boundary: Whether an analysis looks across groups of pictures: ``"sequence"`` or ``"gop"``.
        iframe_motion: Motion to an I-frame: ``"zero"``, or ``"decoder_me"`` estimates it.
        scale_input: See :class:`SCICodec`.
        cache_gib: Memory for the frozen FEM's features of scenes, as half floats, in the stages
            that learn from scenes: every epoch sees them again, if the data neither cut nor turn
            them. 0 makes them anew each time.
        patch: Side of the squares that those learn from, cut and turned once features are known;
            None takes scenes as they come.
        learning_rate: Of Adam, betas 0.9 and 0.999.
        schedule: How it moves over the run, see :func:`schedule_factor`.
        warmup: Fraction of the run in which it rises.
        lpips: See :class:`ReconstructionModule`.
        protocols: See there.

    Raises:
        ValueError: If an argument is outside its range.

    Source: *A Joint Visual Compression and Perception Framework for Neuralmorphic Spiking Camera*,
    Sec. IV; schedules and weights that it leaves open are this project's.
    """

    rates = RATES

    def __init__(
        self,
        stage: Stage = "fam",
        fem: str | None = None,
        motion: str | None = None,
        codec: str | None = None,
        fam: str | None = None,
        fem_width: float = 1.0,
        codec_width: float = 1.0,
        fam_width: float = 1.0,
        pathway: Pathway = "dual",
        pfu: Fusion = "pfu",
        attention: bool = True,
        binarize: bool = True,
        w_lap: float = 0.05,
        w_true: float = 1.0,
        w_true_end: float = 1.0,
        align: Align = "afr",
        neighbors: int = 4,
        context: Context = "condition",
        temporal_prior: TemporalPrior = "full",
        fmvr: bool = True,
        quant: Quantisation = "mixed",
        lambdas: Sequence[float] = (64.0, 128.0, 256.0, 512.0),
        phases: Sequence[float] = (0.45, 0.25, 0.3),
        gop: int = 8,
        boundary: Boundary = "sequence",
        iframe_motion: IFrameMotion = "zero",
        scale_input: bool = True,
        cache_gib: float = 0.0,
        patch: int | None = None,
        learning_rate: float = 2e-4,
        schedule: ScheduleKind = "cosine",
        warmup: float = 0.02,
        lpips: str = "auto",
        protocols: Sequence[str] = (),
    ) -> None:
        super().__init__(lpips=lpips, protocols=protocols)
        row = row_of(stage, goes_on=stage == "codec" and motion is None and codec is not None)
        check_schedule(schedule, learning_rate, warmup)
        check_weights(w_lap=w_lap, w_true=w_true, w_true_end=w_true_end)
        self.save_hyperparameters()
        check_coding(quant, lambdas, phases, gop)
        check_analysis(boundary, iframe_motion)
        codes = "intra" not in row.absent
        if not fmvr:
            row = without(row, "fmvr")
        coding = CodecNetworks.of_width(codec_width, context, temporal_prior, fmvr=fmvr)
        if "fmvr" in row.absent:
            coding = coding._replace(fmvr=None)
        networks = SCICodec(
            FEM(fem_width, pathway, pfu, attention=attention, binarize=binarize),
            None if "motion" in row.absent else MotionEstimation(codec_width),
            None if "fam" in row.absent else FAM(align, neighbors, fam_width),
            coding if codes else None,
            scale_input=scale_input,
        )
        networks.boundary, networks.iframe_motion = boundary, iframe_motion
        self.rate_points = tuple(range(QUALITIES)) if codes else ()
        self.train_stage(stage, row, networks)
        self.clip_length = row.clip_length
        check_patch(patch, cache_gib)
        self.job: TrainingStage = JOBS[stage](self)
        self.monitor, self.monitor_mode = self.job.monitor, self.job.monitor_mode
        self._features = CachedFeatures(0.0)
        self._updates = 0.0

    def check_data(self, served: LightningDataModule, stage: str) -> None:
        """Refuse data that the stage cannot take."""
        self.job.check_data(served, stage)

    def on_train_start(self) -> None:
        """Tell the schedules how long the run is, and begin to remember features."""
        super().on_train_start()
        self._updates = total_updates(self.trainer)
        if come_whole(getattr(self.trainer, "datamodule", None)):
            self._features = CachedFeatures(self.hparams["cache_gib"])

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Reconstruct the middle plane: ``(B, T, H, W)`` -> ``(B, 1, H, W)`` in [0, 1]."""
        return self.codec(spikes, rate_scale).clamp(0.0, 1.0)

    def training_step(self, batch: ReconstructionBatch | SceneBatch, batch_idx: int) -> Tensor:
        """Return the stage's loss and log every term of it."""
        terms = self.job.terms(batch)
        logged = {f"train/{name}": value for name, value in terms.items()}
        self.log_dict(logged, batch_size=len(batch["spikes"]))
        return terms["total"]

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Limit the gradients of motion by themselves.

        They come through warping and are far larger: under one limit for all, what else a codec
        learns would be scaled by them, and content was never coded.
        """
        if not gradient_clip_val or gradient_clip_algorithm == "value":
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        apart: dict[bool, list[Tensor]] = {True: [], False: []}
        for name, one in self.codec.named_parameters():
            if one.grad is not None:
                apart[name.startswith(MOVING)].append(one)
        for parameters in apart.values():
            clip_grad_norm_(parameters, gradient_clip_val)

    @property
    def progress(self) -> float:
        """How much of the run is done, from 0 to 1; 0 outside a run."""
        return min(self.trainer.global_step / self._updates, 1.0) if self._updates else 0.0

    @property
    def w_true(self) -> float:
        """Weight of the true motion now: it moves from its first to its last over the run."""
        first = float(self.hparams["w_true"])
        return first * (1.0 - self.progress * (1.0 - float(self.hparams["w_true_end"])))

    def feature_scenes(self, batch: SceneBatch) -> FeatureBatch:
        """Return scenes with the features of the frozen FEM, as they are."""
        return feature_batch_of(self._features(self.codec, batch), batch)

    def learned_scenes(self, batch: SceneBatch) -> FeatureBatch:
        """Return scenes to learn from: cut and turned, where ``patch`` says how large."""
        scenes, side = self.feature_scenes(batch), self.hparams["patch"]
        return scenes if side is None else scenes.patch(side, self.generator("patches"))

    def make_metrics(self) -> MetricCollection:
        """Return what the stage measures."""
        return self.job.make_metrics()

    def origins(self, batch: Any) -> list[Origin]:  # noqa: ANN401  (the stage's batch)
        """Return recording and plane of each sample."""
        return list(self.job.origins(batch))

    def predicted(self, batch: Any, found: Tensor) -> Sequence[SamplePrediction]:  # noqa: ANN401  (the stage's batch)
        """Return what files are written of a batch: pictures, of motion in colours."""
        return self.job.predicted(batch, found)

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:  # noqa: ANN401  (the stage's batch)
        """Return reconstructions ``(B, 1, H, W)``, or motions ``(P, 2, H, W)`` in that stage."""
        return self.job.predict(batch)

    def evaluate(self, batch: Any, split: Split, batch_idx: int) -> Evaluation:  # noqa: ANN401  (the stage's batch)
        """Add a batch to the metrics of a split and return what was found out."""
        return self.job.evaluate(batch, split, batch_idx)

    def on_validation_epoch_start(self) -> None:
        """Prepare a validation."""
        self.job.begin("val")

    def on_validation_epoch_end(self) -> None:
        """Log what is known at the end of a validation."""
        self.job.finish("val")

    def on_test_epoch_end(self) -> None:
        """Log what is known at the end of a test."""
        self.job.finish("test")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write what rebuilds the module; a codec is final in every checkpoint."""
        super().on_save_checkpoint(checkpoint)
        if self.stage == "codec":
            self.codec.update_tables()  # in place, so in the checkpoint's tensors too

    def prepared(self, scene: CodedScene) -> Any:  # noqa: ANN401  (the job's own)
        """Return what all qualities of a recording share: its features."""
        return self._coder.prepared(scene)

    def compress(self, prepared: Any, point: int) -> Compressed:  # noqa: ANN401  (the job's own)
        """Return a recording as bytes, see :meth:`CodingModule.compress`."""
        return self._coder.compress(prepared, point)

    def decompress(self, coded: Compressed, scene: CodedScene) -> Tensor:
        """Return the images of what was coded, see :meth:`CodingModule.decompress`."""
        return self._coder.decompress(coded, scene)

    @property
    def _coder(self) -> CodingStage:
        if not isinstance(self.job, CodingStage):
            raise ConfigError(f"stage {self.stage} has no codec; use stage codec or joint")
        return self.job

    def pictures(self, batch: ReconstructionBatch, index: int, image: Tensor) -> dict[str, Tensor]:
        """Return what stands side by side: playback, what networks saw, the image, the truth."""
        usual = super().pictures(batch, index, image)
        first = next(iter(usual))
        return {first: usual.pop(first), **self.job.seen(index), **usual}

    def profiled_calls(self, batch: Any) -> Mapping[str, Callable[[], object]]:  # noqa: ANN401  (the stage's batch)
        """Return what is measured: all of it, and the stage's parts of it."""
        # what every task measures: coding is measured by the stages that code
        return {**TaskModule.profiled_calls(self, batch), **self.job.profiled_calls(batch)}

    def _stream(
        self, recording: SpikeRecording, centers: Sequence[int], rate_scale: float
    ) -> Iterator[Tensor]:
        with eval_mode(self):
            yield from FeatureStream(self.codec, recording, rate_scale).images(centers)


def check_weights(**weights: float) -> None:
    """Refuse weights of losses that are negative or no numbers.

    Raises:
        ValueError: Naming the first.
    """
    for name, weight in weights.items():
        if not 0 <= weight < float("inf"):
            raise ValueError(f"{name} must be 0 or more, got {weight}")


def check_patch(patch: int | None, cache_gib: float) -> None:
    """Refuse a patch that no network takes, or a memory that is none.

    Raises:
        ValueError: Naming the argument.
    """
    if patch is not None and patch < 16:
        raise ValueError(f"patch must be 16 pixels or more, got {patch}")
    if cache_gib < 0:
        raise ValueError(f"cache_gib must be 0 or more, got {cache_gib}")


def check_coding(quant: str, lambdas: Sequence[float], phases: Sequence[float], gop: int) -> None:
    """Refuse settings of the codec that are none.

    Raises:
        ValueError: Naming the argument.
    """
    if quant not in get_args(Quantisation):
        raise ValueError(f"quant must be one of {', '.join(get_args(Quantisation))}, got {quant!r}")
    if len(lambdas) != QUALITIES or not all(0 < one < float("inf") for one in lambdas):
        raise ValueError(f"lambdas must be {QUALITIES} weights above 0, got {list(lambdas)}")
    if len(phases) != 3 or min(phases) < 0 or sum(phases) <= 0:
        raise ValueError(f"phases must be 3 parts of the run, 0 or more, got {list(phases)}")
    if gop < 1:
        raise ConfigError(f"gop must be 1 or more, got {gop}")


def check_analysis(boundary: str, iframe_motion: str) -> None:
    """Refuse what says how decoded features are analysed and is none of the choices.

    Raises:
        ValueError: Naming the argument.
    """
    for name, value, choices in (
        ("boundary", boundary, get_args(Boundary)),
        ("iframe_motion", iframe_motion, get_args(IFrameMotion)),
    ):
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
