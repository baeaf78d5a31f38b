"""Base class of the modules that train one stage of SCI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from spike_zoo.checkpoints import partial
from spike_zoo.errors import ConfigError
from spike_zoo.methods.sci.codec.codec import SCICodec
from spike_zoo.methods.sci.features.fem import STEP, WINDOW
from spike_zoo.methods.sci.inference import SCI
from spike_zoo.methods.sci.training.options import (
    CODING,
    TRAINED_PARTS,
    CodingOptions,
    NetworkOptions,
    Stage,
    StageSpec,
    Target,
    with_part,
)
from spike_zoo.metrics import flow as flow_errors
from spike_zoo.nn.options import options_of
from spike_zoo.nn.schedules import check_schedule
from spike_zoo.nn.tensor_cache import TensorCache
from spike_zoo.spikes import turning
from spike_zoo.tasks.base import MethodModule
from spike_zoo.tasks.batch import SceneBatch
from spike_zoo.utils.files import required_weights

WARMUP = 0.02
"""Fraction of a run in which the learning rate rises, by default."""
CHECKED_SPEEDS = ("medium", "fast")
"""Speeds of scenes whose motion errors are checked after training."""
MAX_RATIO = 0.4
"""Largest accepted ratio of the end-point error to that of zero motion."""
_WARPING = (
    *("motion.", "inter.analysis.motion.", "inter.entropy.motion.", "inter.motion_synthesis."),
    "fmvr.",
)  # parts whose gradients pass through warping


class FeatureBatch(NamedTuple):
    """Features of a batch of scenes, in order of time, with ground truth."""

    features: Tensor  # (B, N, 3, H, W)
    images: Tensor  # (B, N, 1, H, W)
    motion: Tensor | None  # backward, (B, N, 2, H, W) in pixels, NaN if unknown

    def patch(self, side: int, generator: torch.Generator) -> FeatureBatch:
        """Return a random square crop of each scene, randomly turned or flipped.

        A smaller scene is not cropped, and only turned if its shape does not change.
        """
        height, width = self.features.shape[-2:]
        rows, columns = min(side, height), min(side, width)
        modes = range(len(turning.MODES)) if rows == columns else turning.SHAPE_KEEPING_MODES
        cuts: list[list[Tensor]] = [[], [], []]
        for sample in range(len(self.features)):
            top, left, mode = (
                int(torch.randint(stop, (), generator=generator))
                for stop in (height - rows + 1, width - columns + 1, len(modes))
            )
            for cut, part in zip(cuts, self, strict=True):
                if part is not None:
                    cropped = part[sample, ..., top : top + rows, left : left + columns]
                    turn = turning.turn_flow if part is self.motion else turning.apply_mode
                    cut.append(turn(cropped, modes[mode]))
        return FeatureBatch(*(torch.stack(cut) if cut else None for cut in cuts))  # type: ignore[arg-type]  # only motion may be None

    def targets(self, kind: Target) -> Tensor:
        """Return the targets of decoded features, ``(B, N, 3, H, W)``."""
        return self.features if kind == "features" else self.clean_features()

    def clean_features(self) -> Tensor:
        """Return features without noise: the images, mapped to each channel of the features.

        The affine map of each channel is fitted by least squares over the batch.
        """
        dims = (0, 1, 3, 4)
        contrast = self.images - self.images.mean(dims, keepdim=True)
        mean = self.features.mean(dims, keepdim=True)
        slope = (self.features * contrast).mean(dims, keepdim=True)
        slope = slope / contrast.square().mean(dims, keepdim=True).clamp(min=1e-6)
        return mean + slope * contrast


class StagedModule(MethodModule):
    """Base class of modules that train a stage of SCI, for any task.

    A subclass saves its hyper-parameters and calls :meth:`train_stage` in its constructor.
    Hyper-parameters include the paths of the checkpoints that the stage starts from (``fem``,
    ``motion``, ...), and these options:

    - ``networks``: Architecture, see :class:`NetworkOptions`.
    - ``learning_rate``: Learning rate of Adam, betas 0.9 and 0.999.
    - ``schedule``: Schedule of the learning rate, see :func:`schedule_factor`.
    - ``warmup``: Fraction of the run in which the learning rate rises.
    """

    stage: Stage  #: name of the stage
    row: StageSpec  #: specification of the stage
    codec: SCICodec  #: the networks
    warmup = WARMUP
    margin, finalize, forward, _stream = SCI.margin, SCI.finalize, SCI.forward, SCI._stream
    _has_weights = False

    def train_stage(
        self, row: StageSpec, networks: NetworkOptions, coding: CodingOptions = CODING
    ) -> None:
        """Build the networks of a stage, and freeze the parts that it does not train.

        Args:
            row: Specification of the stage.
            networks: Architecture.
            coding: Options of the codec.
        """
        if (patch := self.hparams.get("patch")) is not None and patch < 16:
            raise ValueError(f"patch must be 16 pixels or more, got {patch}")
        if (cache_gib := self.hparams.get("cache_gib", 0.0)) < 0:
            raise ValueError(f"cache_gib must be 0 or more, got {cache_gib}")
        networks = options_of(NetworkOptions, networks)
        if not networks.fmvr and "fmvr" not in row.absent:
            row = with_part(row, "fmvr", "absent")
        if networks.estimation == "dis" and "motion" in row.learns:
            row = with_part(row, "motion", "frozen")  # it has no parameters
        schedule = self.hparams["schedule"], self.hparams["learning_rate"]
        check_schedule(*schedule, self.hparams.get("warmup", self.warmup))
        self.row, self.coding_options, self.clip_length = row, coding, row.clip_length
        inference = SCI(networks, row.absent, row.clip_length, coding)
        self.codec, self._inference = inference.codec, inference.hparams
        partial.learn_only(self.codec, row.learns)
        self.register_load_state_dict_post_hook(_note_weights)  # type: ignore[no-untyped-call]  # torch's
        self._features = TensorCache(0.0)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the trained parts; frozen parts stay in evaluation mode."""
        super().train(mode)
        partial.set_frozen_to_eval(self.codec, self.row.learns)
        return self

    def setup(self, stage: str) -> None:
        """Create the metrics; before a fit, read the parts that the stage starts from.

        Nothing is read if the run resumes from a checkpoint, or if weights are loaded already.
        """
        super().setup(stage)
        resumes = self._trainer is not None and self._trainer.ckpt_path
        if stage == "fit" and not (resumes or self._has_weights):
            self.begin()

    def begin(self) -> None:
        """Load the parts that the stage starts from, from the checkpoints of earlier stages.

        A fit calls this method. Without a fit, it combines separately trained parts.
        """
        for stage in self.row.starts_from:
            present = {part: getattr(self.codec, part) for part in TRAINED_PARTS[stage]}
            parts = {part: x for part, x in present.items() if x is not None and x.state_dict()}
            if not parts:
                continue
            path = self.hparams.get(stage)
            if path is None:
                raise ConfigError(
                    f"{stage}: this stage starts from a checkpoint of stage {stage!r}; name it in "
                    f"model.init_args.{stage}, as runs/sci/{stage}/checkpoints/best.ckpt, which "
                    f"configs/sci_{stage}.yaml trains"
                )
            advice = (
                f"'python -m spike_zoo fit --config configs/sci_{stage}.yaml --run_dir "
                f"runs/sci/{stage}' trains it"
            )
            file = required_weights(path, f"checkpoint of stage {stage!r}", advice)
            for part, module in parts.items():
                partial.load_part(module, file, f"codec.{part}")
        self._has_weights = True

    def inference_part(self) -> tuple[str, type[SCI], dict[str, Any]]:
        """Return ``""`` for all weights, and class and arguments of the module for inference."""
        return "", SCI, self._inference

    def on_train_start(self) -> None:
        """Start the schedules, and create the cache of features if scenes repeat.

        Frozen parts are set to evaluation mode; Lightning does not change the modes of modules.
        """
        super().on_train_start()
        self.train()
        if serves_whole_scenes(getattr(self.trainer, "datamodule", None)):
            self._features = TensorCache(self.hparams.get("cache_gib", 0.0))

    def feature_scenes(self, batch: SceneBatch) -> FeatureBatch:
        """Return scenes with the features that are coded, from the cache if possible.

        The key of a window is its recording and its plane, so cached scenes must not be cropped or
        turned. :meth:`training_scenes` crops and turns their features instead.
        """
        rows, starts, half = batch["planes"].tolist(), batch["start"].tolist(), WINDOW // 2
        last = batch["spikes"].shape[1] - 1 - half  # middle plane of the last window
        reach = self.codec.reach
        windows = [(sample, plane) for sample, row in enumerate(rows) for plane in row]
        keys = [(batch["name"][sample], starts[sample] + plane) for sample, plane in windows]

        def compute(indices: list[int]) -> Tensor:
            coded = []
            for sample, plane in (windows[index] for index in indices):
                before, after = (min(reach, x // STEP) for x in (plane - half, last - plane))
                clip = slice(plane - STEP * before - half, plane + STEP * after + half + 1)
                scale = batch["rate_scale"][sample : sample + 1]
                spikes = batch["spikes"][sample : sample + 1, clip]
                features = self.codec.features(spikes, scale)
                coded.append(self.codec.coded(features, None, before))
            return torch.cat(coded)

        with torch.no_grad():
            features = self._features(keys, compute, batch["spikes"].device)
        features = features.unflatten(0, (len(rows), len(rows[0])))
        return FeatureBatch(features, batch["images"], batch.get("flow"))

    def training_scenes(self, batch: SceneBatch) -> FeatureBatch:
        """Return training scenes, with random crops of side ``patch`` if it is set."""
        scenes, side = self.feature_scenes(batch), self.hparams["patch"]
        return scenes if side is None else scenes.patch(side, self.generator("patches"))

    def on_test_epoch_end(self) -> None:
        """Log the metrics, and warn of high ratios of motion errors to those of zero motion."""
        super().on_test_epoch_end()
        if failure := flow_failure(flow_errors.error_ratios(self.trainer.callback_metrics)):
            rank_zero_warn(failure)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the norm of the gradients of motion separately from the others.

        Gradients through warping are far larger. With a common limit, all other gradients were
        scaled down, and content was never coded.
        """
        if not gradient_clip_val or gradient_clip_algorithm == "value":
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        groups: dict[bool, list[Tensor]] = {True: [], False: []}
        for name, parameter in self.codec.named_parameters():
            if parameter.grad is not None:
                groups[name.startswith(_WARPING)].append(parameter)
        for parameters in groups.values():
            clip_grad_norm_(parameters, gradient_clip_val)


def check_scenes(batch: SceneBatch, stage: str, least: int = 2) -> None:
    """Raise ConfigError for a batch of single clips, or of scenes with too few images."""
    if "planes" not in batch or batch["planes"].shape[1] < least:
        raise ConfigError(
            f"{stage} takes neighbouring images of a scene: set data.class_path to "
            f"spike_zoo.data.SceneDataModule, images_per_sample to {least} or more, and "
            "full_sequence_splits to all splits"
        )


def flow_failure(ratios: Mapping[str, Tensor]) -> str:
    """Return a warning for the speeds at which motion was not learned; empty if it was.

    The ratios are those of :func:`error_ratios`.
    """
    failed = {
        speed: float(value)
        for name, value in ratios.items()
        for speed in CHECKED_SPEEDS
        if name.endswith(f"epe_ratio_{speed}") and value > MAX_RATIO
    }
    text = " and ".join(f"{ratio:.2f} on {speed} scenes" for speed, ratio in failed.items())
    return text and (
        "motion is not learned well enough: the ratio of its end-point error to that of zero "
        f"flow is {text}, above {MAX_RATIO}; networks that warp along it will gain little. "
        "Train longer"
    )


def _note_weights(module: Any, keys: Any) -> None:  # noqa: ANN401  (torch's hook)
    module._has_weights = not keys.missing_keys


def serves_whole_scenes(datamodule: object) -> bool:
    """Return whether a data module neither crops nor augments scenes, so that windows repeat."""
    return getattr(datamodule, "crop", None) is None and not getattr(datamodule, "augment", False)
