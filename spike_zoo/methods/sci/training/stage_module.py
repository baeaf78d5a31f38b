"""Base classes of the modules that train one stage of SCI."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any, NamedTuple, Self

import torch
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from spike_zoo.batch import SceneBatch
from spike_zoo.checkpoints.partial import learn_only, load_part, set_frozen_to_eval
from spike_zoo.errors import ConfigError, MissingFileError
from spike_zoo.files import weights_file
from spike_zoo.methods.sci.codec.codec import SCICodec
from spike_zoo.methods.sci.features.feature_stream import FeatureStream
from spike_zoo.methods.sci.features.fem import WINDOW
from spike_zoo.methods.sci.training.options import NetworkOptions
from spike_zoo.methods.sci.training.stage_table import GIVES, Stage, StageSpec, as_table
from spike_zoo.metrics.flow import error_ratios
from spike_zoo.nn.eval_mode import eval_mode
from spike_zoo.nn.optimizers import scheduled_adam
from spike_zoo.nn.schedules import check_schedule, total_updates
from spike_zoo.nn.tensor_cache import TensorCache
from spike_zoo.spikes import SpikeRecording
from spike_zoo.spikes.turning import MODES, SHAPE_KEEPING_MODES, apply_mode, turn_motion
from spike_zoo.tasks.base import TaskModule

WARMUP = 0.02
"""Fraction of a run in which the learning rate rises, by default."""
JUDGED = ("medium", "fast")
LARGEST_RATIO = 0.4
"""Error over that of no motion above which the stage has failed, on medium and fast scenes."""
_WARPING = (
    *("motion.", "inter.analysis.motion.", "inter.entropy.motion.", "inter.motion_synthesis."),
    "fmvr.",
)  # parts of a codec that learn through warping


class FeatureBatch(NamedTuple):
    """A batch of scenes after the frozen FEM.

    Shape:
        - features: ``(B, N, 3, H, W)``, in order of time.
        - images: ``(B, N, 1, H, W)``, the truth at their times.
        - motion: ``(B, N, 2, H, W)``, backward motion in pixels, NaN where unknown; None without.
    """

    features: Tensor
    images: Tensor
    motion: Tensor | None

    def patch(self, side: int, generator: torch.Generator) -> FeatureBatch:
        """Return a random square of each scene, turned or flipped at random.

        Args:
            side: Of the square in pixels; a smaller scene is not cut, and only turned where that
                keeps its shape.
            generator: Draws, on the CPU.
        """
        height, width = self.features.shape[-2:]
        rows, columns = min(side, height), min(side, width)
        modes = range(len(MODES)) if rows == columns else SHAPE_KEEPING_MODES
        drawn = []
        for sample in range(len(self.features)):
            top, left, turned = (
                int(torch.randint(stop, (), generator=generator))
                for stop in (height - rows + 1, width - columns + 1, len(modes))
            )
            here = slice(top, top + rows), slice(left, left + columns)
            drawn.append((sample, *here, modes[turned]))
        parts = (
            None if part is None else torch.stack([cut(part, *one) for one in drawn])
            for part, cut in (
                (self.features, _cut),
                (self.images, _cut),
                (self.motion, _cut_motion),
            )
        )
        return FeatureBatch(*parts)  # type: ignore[arg-type]  # only motion may be None

    def clean_features(self) -> Tensor:
        """Return features without noise: the images, scaled to each channel of the features.

        Brightness and contrast of a channel are those of the least squares over the batch.
        """
        dims = (0, 1, 3, 4)
        contrast = self.images - self.images.mean(dims, keepdim=True)
        mean = self.features.mean(dims, keepdim=True)
        slope = (self.features * contrast).mean(dims, keepdim=True)
        slope = slope / contrast.square().mean(dims, keepdim=True).clamp(min=1e-6)
        return mean + slope * contrast


class StagedModule(TaskModule):
    """Base class of modules that train a stage of SCI, whatever its task.

    A subclass calls :meth:`train_stage` in its constructor. Its hyper-parameters name the
    checkpoints that the stage starts from (``fem``, ``motion``, ...).

    Attributes:
        stage: Name of the stage.
        row: What it trains, freezes and starts from.
        codec: The networks.
    """

    stage: Stage
    row: StageSpec
    codec: SCICodec
    clip_length: int
    _has_weights = False

    def train_stage(
        self, row: StageSpec, arguments: Mapping[str, Any], classes: int | None = None
    ) -> None:
        """Build the networks of a stage, train its parts and freeze the others.

        Args:
            row: The stage.
            arguments: The constructor's arguments, saved as hyper-parameters; options are saved
                as plain mappings.
            classes: See :meth:`NetworkOptions.codec`.
        """
        networks = NetworkOptions.of(arguments["networks"])
        plain: dict[str, Any] = {
            name: asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
            for name, value in {**arguments, "networks": networks}.items()
        }
        self.save_hyperparameters(plain)
        check_schedule(plain["schedule"], plain["learning_rate"], plain.get("warmup", 0.0))
        self.row, self.codec, self.clip_length = row, networks.codec(row, classes), row.clip_length
        learn_only(self.codec, row.learns)
        self.register_load_state_dict_post_hook(_note_weights)  # type: ignore[no-untyped-call]  # torch's

    def train(self, mode: bool = True) -> Self:
        """Set the mode of what learns; frozen parts stay in evaluation mode."""
        super().train(mode)
        set_frozen_to_eval(self.codec, self.row.learns)
        return self

    def setup(self, stage: str) -> None:
        """Make the metrics; before a fit, read the parts that the stage starts from.

        A checkpoint's weights come before theirs, so that it needs none of these files. Errors
        are those of :meth:`begin`.
        """
        super().setup(stage)
        resumes = self._trainer is not None and self._trainer.ckpt_path
        if stage == "fit" and not (resumes or self._has_weights):
            self.begin()

    def begin(self) -> None:
        """Load the parts that the stage starts from, from the checkpoints of the stages before it.

        A fit does it; by itself it puts trained parts together, without training them together.

        Raises:
            ConfigError: If a path is missing; names the setting.
            MissingFileError: If there is no such file.
            WeightsError: If it holds another network, as one of another width.
        """
        for stage in self.row.starts_from:
            path = self.hparams.get(stage)
            if path is None:
                raise ConfigError(
                    f"{stage}: this stage starts from a checkpoint of stage {stage!r}; name it in "
                    f"model.init_args.{stage}, as runs/sci/{stage}/checkpoints/best.ckpt, which "
                    f"configs/sci_{stage}.yaml trains"
                )
            file = weights_file(path)
            if not file.is_file():
                raise MissingFileError(
                    f"{file}: there is no such checkpoint of stage {stage!r}; train it with "
                    f"'python -m spike_zoo fit --config configs/sci_{stage}.yaml --run_dir "
                    f"runs/sci/{stage}', or name another in model.init_args.{stage}",
                    path=str(file),
                )
            for part in GIVES[stage]:
                if getattr(self.codec, part) is not None:
                    load_part(self.codec.get_submodule(part), file, f"codec.{part}")
        self._has_weights = True

    def finalize(self) -> None:
        """Make the entropy model final, where there is one, of the weights as they are."""
        if self.codec.coding is not None:
            self.codec.update_tables()

    def on_fit_start(self) -> None:
        """Write the schedule into the log, with what has how many parameters in this stage."""
        counts = "\n".join(
            f"| {name} | {sum(one.numel() for one in part.parameters()):,} | "
            f"{sum(one.numel() for one in part.parameters() if one.requires_grad):,} |"
            for name, part in self.codec.named_children()
        )
        rank_zero_info(
            f"{as_table()}\n\nstage {self.stage}:\n| module | params | trainable |\n"
            f"|---|---|---|\n{counts}"
        )

    def on_train_start(self) -> None:
        """Put frozen parts into evaluation mode: a trainer takes modes as it finds them."""
        super().on_train_start()
        self.train()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return Adam over exactly what the stage trains."""
        learning = (one for one in self.codec.parameters() if one.requires_grad)
        return scheduled_adam(self, learning, warmup=WARMUP)


class SCIStageModule(StagedModule):
    """Base class of the modules that train SCI for images: features, motion, codec, analysis."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._features = TensorCache(0.0)
        self._updates = 0.0

    def terms(self, batch: Any) -> dict[str, Tensor]:  # noqa: ANN401  (the stage's batch)
        """Return the terms of the loss, ``"total"`` among them."""
        raise NotImplementedError

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Reconstruct the middle plane: ``(B, T, H, W)`` -> ``(B, 1, H, W)`` in [0, 1]."""
        return self.codec(spikes, rate_scale).clamp(0.0, 1.0)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:  # noqa: ANN401  (the stage's batch)
        """Return the stage's loss and log each of its terms."""
        terms = self.terms(batch)
        logged = {f"train/{name}": value for name, value in terms.items()}
        self.log_dict(logged, batch_size=len(batch["spikes"]))
        return terms["total"]

    def on_train_start(self) -> None:
        """Set the length of the run, and cache features where scenes repeat."""
        super().on_train_start()
        self._updates = total_updates(self.trainer)
        if come_whole(getattr(self.trainer, "datamodule", None)):
            self._features = TensorCache(self.hparams.get("cache_gib", 0.0))

    @property
    def progress(self) -> float:
        """How much of the run is done, from 0 to 1; 0 outside a run."""
        return min(self.trainer.global_step / self._updates, 1.0) if self._updates else 0.0

    def feature_scenes(self, batch: SceneBatch) -> FeatureBatch:
        """Return scenes with the features of the frozen FEM, each window's computed once.

        A window is known by its recording and its plane, so scenes must come whole and unturned
        where they are cached; :meth:`learned_scenes` cuts and turns their features instead.
        """
        rows, starts, half = batch["planes"].tolist(), batch["start"].tolist(), WINDOW // 2
        windows = [(sample, plane) for sample, row in enumerate(rows) for plane in row]
        keys = [(batch["name"][sample], starts[sample] + plane) for sample, plane in windows]

        def compute(places: list[int]) -> Tensor:
            taken = [windows[place] for place in places]
            spikes = [batch["spikes"][n, plane - half : plane + half + 1] for n, plane in taken]
            scales = batch["rate_scale"][[sample for sample, _ in taken]]
            return self.codec.feature(torch.stack(spikes), scales)

        with torch.no_grad():
            features = self._features(keys, compute, batch["spikes"].device)
        features = features.unflatten(0, (len(rows), len(rows[0])))
        return FeatureBatch(features, batch["images"], batch.get("flow"))

    def learned_scenes(self, batch: SceneBatch) -> FeatureBatch:
        """Return scenes to learn from: cut and turned, where ``patch`` says how large."""
        scenes, side = self.feature_scenes(batch), self.hparams["patch"]
        return scenes if side is None else scenes.patch(side, self.generator("patches"))

    def on_validation_epoch_end(self) -> None:
        """Log how the errors of motion, where it is measured, compare with those of no motion."""
        super().on_validation_epoch_end()
        self.log_dict(error_ratios(self.trainer.callback_metrics))

    def on_test_epoch_end(self) -> None:
        """Log the same, and warn where motion was not learned."""
        super().on_test_epoch_end()
        ratios = error_ratios(self.trainer.callback_metrics)
        self.log_dict(ratios)
        if failure := failed_motion(ratios):
            rank_zero_warn(failure)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Limit the gradients of motion separately.

        They pass through warping and are far larger: under a common limit, all other gradients
        would be scaled down by them, and content was never coded.
        """
        if not gradient_clip_val or gradient_clip_algorithm == "value":
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        apart: dict[bool, list[Tensor]] = {True: [], False: []}
        for name, one in self.codec.named_parameters():
            if one.grad is not None:
                apart[name.startswith(_WARPING)].append(one)
        for parameters in apart.values():
            clip_grad_norm_(parameters, gradient_clip_val)

    def _stream(
        self, recording: SpikeRecording, centers: Sequence[int], rate_scale: float
    ) -> Iterator[Tensor]:
        with eval_mode(self):
            stream = FeatureStream(self.codec, recording, rate_scale)
            yield from map(stream.image, centers)


def arguments_of(names: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a constructor, from its ``locals()`` at its beginning."""
    return {name: value for name, value in names.items() if name not in ("self", "__class__")}


def check_patch(patch: int | None, cache_gib: float) -> None:
    """Raise unless a patch is large enough and the cache's limit is not negative.

    Raises:
        ValueError: Naming the argument.
    """
    if patch is not None and patch < 16:
        raise ValueError(f"patch must be 16 pixels or more, got {patch}")
    if cache_gib < 0:
        raise ValueError(f"cache_gib must be 0 or more, got {cache_gib}")


def failed_motion(ratios: Mapping[str, Tensor]) -> str:
    """Return in words on which scenes motion was not learned; empty where it was.

    Args:
        ratios: Of errors, see :func:`error_ratios`.
    """
    missed = {
        pace: float(value)
        for name, value in ratios.items()
        for pace in JUDGED
        if name.endswith(f"epe_ratio_{pace}") and value > LARGEST_RATIO
    }
    shares = " and ".join(f"{ratio:.2f} on {pace} scenes" for pace, ratio in missed.items())
    return shares and (
        f"motion is not learned well enough: its error is {shares} of that of no motion, above "
        f"{LARGEST_RATIO}; what warps along it will gain little. Train longer"
    )


def _note_weights(module: Any, keys: Any) -> None:  # noqa: ANN401  (torch's hook)
    module._has_weights = not keys.missing_keys


def come_whole(served: object) -> bool:
    """Return whether scenes come whole and unturned, so that a window is the same every time."""
    return getattr(served, "crop", None) is None and not getattr(served, "augment", False)


def _cut(part: Tensor, sample: int, rows: slice, columns: slice, mode: int) -> Tensor:
    return apply_mode(part[sample, ..., rows, columns], mode)


def _cut_motion(part: Tensor, sample: int, rows: slice, columns: slice, mode: int) -> Tensor:
    return turn_motion(part[sample, ..., rows, columns], mode)
