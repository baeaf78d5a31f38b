"""Checkpoints of a run: when to save them, atomic writing, and state of resumed runs."""

import io
import math
import os
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.seed import isolate_rng
from scipy.special import stdtrit
from torch import Tensor

from spike_zoo.checkpoints.loading import rebuild
from spike_zoo.checkpoints.saved_model import plain, read_back, read_checkpoint
from spike_zoo.errors import ConfigError, SpikeZooError
from spike_zoo.nn.distributed import all_gather_objects
from spike_zoo.tasks.evaluation import Evaluation
from spike_zoo.tasks.evaluators.hidden_pixels import HELD_OUT_ERROR
from spike_zoo.training.folders import FOLDER, LAST
from spike_zoo.training.libraries import (
    checkpoint_in_memory,
    discard_loader,
    is_update_uncounted,
    step_plateau_schedules,
)
from spike_zoo.utils.files import link_or_copy, new_file, synchronise

PREVIOUS_LAST = "last.before.ckpt"
#: Key in this package's checkpoints: the first step that a resumed run logs.
LOG_STEP = "spike_zoo_log_step"
_VAL = "val/"
_CHANGE = f"{_VAL}heldout_change"  # of the mean error since the start, in standard errors
_LEVEL = 0.025  # of the one-sided test; two standard errors if there are many recordings
_LEAST_RECORDINGS = 2
_Errors = dict[str, dict[int | None, float]]  # recording -> plane -> error
STEPPED = "_batches_that_stepped"  # Lightning's key of the step counter for logging


class RunCheckpoint(ModelCheckpoint):
    """Best or last checkpoint of a run, in addition to those of a configuration.

    Unless the run resumes in its own folder, the best checkpoint and its metrics are not restored,
    because they belong to another run.

    Attributes:
        best_metrics: Validation metrics at the time when the best checkpoint was saved, by log key.
    """

    def __init__(self, path: Path, *, is_resumed: bool, **options: Any) -> None:
        options["enable_version_counter"] = False
        super().__init__(path.parent, path.stem, **options)
        self.is_resumed = is_resumed
        self.best_metrics: dict[str, float] = {}
        self._validated: int | None = None  # step of the last evaluation
        self._is_stopping = False
        self._is_log_ahead = False  # whether rows may have been logged since a checkpoint

    def on_train_batch_start(self, trainer: Trainer, *arguments: Any) -> None:
        """Write the rows to disk that were logged after a checkpoint of the batch before."""
        super().on_train_batch_start(trainer, *arguments)
        if self._is_log_ahead:
            _save_logs(trainer)
        self._is_log_ahead = False

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Write the log to disk, and store the first step that a resumed run logs."""
        if not self.save_on_exception:  # Lightning calls this hook for all checkpoints; act once
            return
        _save_logs(trainer)
        self._is_log_ahead = True
        state = checkpoint["loops"]["fit_loop"]["epoch_loop.state_dict"]
        # Lightning's own checkpoints are saved before it counts and logs their last batch
        checkpoint[LOG_STEP] = state[STEPPED] + (trainer.validating or is_update_uncounted(trainer))
        if self._is_stopping and self._validated == trainer.global_step:
            # Lightning counts a batch a second time if it resumes after the batch's evaluation.
            state[STEPPED] -= 1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read back a checkpoint in memory, before hours of training depend on it."""
        super().on_train_start(trainer, pl_module)
        if not self.save_on_exception:  # one checkpoint of a run is sufficient
            return
        content = checkpoint_in_memory(trainer)
        if not trainer.is_global_zero:
            return
        content = read_back(plain(content))
        try:
            with isolate_rng():
                rebuild(content)
        except SpikeZooError as error:
            rank_zero_warn(
                f"{error.message}. The run can be resumed and tested with its configuration, but "
                "no other command can load its checkpoints. Make all layers in the constructor and "
                "save its arguments with save_hyperparameters()"
            )

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the best checkpoint, and store its metrics."""
        self._validated = trainer.global_step
        measured = trainer.callback_metrics
        is_best = self.monitor in measured and not trainer.sanity_checking
        if is_best and self.check_monitor_top_k(trainer, measured[str(self.monitor)]):
            self.best_metrics = {
                name: float(value) for name, value in measured.items() if name.startswith(_VAL)
            }
        super().on_validation_end(trainer, pl_module)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Save the state of a stopped run if a batch is complete and its epoch is not.

        At other times weights, schedule, gradients and the loader's position are inconsistent; the
        previous checkpoint is kept.
        """
        progress = trainer.fit_loop.epoch_loop.batch_progress
        done: int = progress.current.processed  # type: ignore[attr-defined]  # of its subclass
        is_complete = done == progress.current.ready and done % trainer.accumulate_grad_batches == 0
        self._is_stopping = trainer.training and is_complete and not progress.is_last_batch
        if self._is_stopping:
            super().on_exception(trainer, pl_module, exception)

    def state_dict(self) -> dict[str, Any]:
        """Return the path of the best checkpoint and its metrics."""
        return {**super().state_dict(), "best_metrics": self.best_metrics}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best checkpoint's path and metrics, also if the run's folder was moved."""
        if not self.is_resumed:
            return
        self.best_metrics = state_dict.get("best_metrics", {})
        here, before = str(self.dirpath), str(state_dict.get("dirpath"))
        super().load_state_dict(_moved(state_dict, before, here))


class HeldOutCheckpoint(RunCheckpoint):
    """Checkpoint of the state at the start, or of that at the end if its error is smaller.

    The error is that of held-out spikes. The state at the end is kept if a paired t-test over the
    recordings is significant; planes of a recording are not independent, because their clips
    overlap. There is one test, at the end of the fit. Lightning's sanity check measures the errors
    at the start, so it covers the whole split.

    Attributes:
        at_start: Recording -> plane of a sample -> its error at the start.
    """

    def __init__(self, path: Path, *, is_resumed: bool) -> None:
        monitored = {"monitor": f"{_VAL}{HELD_OUT_ERROR}", "mode": "min"}
        super().__init__(path, is_resumed=is_resumed, **monitored)
        self.at_start: _Errors = {}
        self._errors: _Errors = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Extend the sanity check to the whole validation split."""
        super().setup(trainer, pl_module, stage)
        trainer.num_sanity_val_steps = math.inf  # Lightning's value for -1

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Clear the errors of an earlier evaluation."""
        self._errors = {}

    def on_validation_batch_end(self, trainer: Trainer, *arguments: Any) -> None:
        """Keep the error of each sample with hidden pixels."""
        _, outputs, *_ = arguments
        if isinstance(outputs, Evaluation) and outputs.measured:
            errors = outputs.values[HELD_OUT_ERROR].tolist()
            for sample, error in zip(outputs.measured, errors, strict=True):
                if not math.isnan(error):
                    planes = self._errors.setdefault(sample.origin.name, {})
                    planes[sample.origin.plane] = error

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the change of the mean error of a recording since the start, in standard errors.

        Raises ConfigError if too few recordings have samples with hidden pixels.
        """
        errors: _Errors = {}
        for share in all_gather_objects(self._errors):
            for name, planes in share.items():
                errors.setdefault(name, {}).update(planes)
        if len(errors) < _LEAST_RECORDINGS:
            raise ConfigError(
                f"validation: spikes can be held out in {len(errors)} recordings of the split val, "
                f"but at least {_LEAST_RECORDINGS} recordings are needed, in which something "
                "moves. Put more or longer recordings into val, or raise "
                "trainer.limit_val_batches if it is smaller"
            )
        self.at_start = self.at_start or errors
        changes = [
            statistics.fmean(error - self.at_start[name][plane] for plane, error in planes.items())
            for name, planes in errors.items()
        ]
        deviation = statistics.stdev(changes) / math.sqrt(len(changes))
        change = statistics.fmean(changes) / deviation if deviation else 0.0
        pl_module.log(_CHANGE, change, sync_dist=True)  # the same in all processes

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the state at the start of a run as its best one."""
        super().on_train_start(trainer, pl_module)
        if self.at_start and not self.best_model_path:
            error = statistics.fmean(e for each in self.at_start.values() for e in each.values())
            self.best_metrics = {str(self.monitor): error, _CHANGE: 0.0}
            self._update_best_and_save(
                torch.tensor(error), trainer, self._monitor_candidates(trainer)
            )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the state at the end if it was validated and is better."""
        super().on_train_end(trainer, pl_module)
        measured = {n: float(x) for n, x in trainer.callback_metrics.items() if n.startswith(_VAL)}
        if self._validated == trainer.global_step and self.is_better(measured):
            self.best_metrics = measured
            current = torch.tensor(measured[str(self.monitor)])
            self._update_best_and_save(current, trainer, self._monitor_candidates(trainer))

    @property
    def threshold(self) -> float:
        """Standard errors of a significant change: one-sided t-test over the recordings."""
        return float(stdtrit(len(self.at_start) - 1, 1 - _LEVEL))

    def is_better(self, measured: Mapping[str, float]) -> bool:
        """Return whether a state is better than the best one, and significantly than the start."""
        best = self.best_metrics[str(self.monitor)]
        return measured[str(self.monitor)] < best and measured[_CHANGE] < -self.threshold

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        """Return False: no state is saved before the end."""
        return False

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print whether the weights at the start were improved."""
        if not (self.at_start and trainer.is_global_zero):
            return
        before = statistics.fmean(e for each in self.at_start.values() for e in each.values())
        after, change = (self.best_metrics[name] for name in (str(self.monitor), _CHANGE))
        count = f"over {len(self.at_start)} recordings"
        result = (
            f"{before:.5f} -> {after:.5f} ({-change:.1f} standard errors {count}): the trained "
            "weights are kept"
            if change
            else f"{before:.5f}, and at the end not better by {self.threshold:.1f} standard errors "
            f"{count}: the weights of the start are kept"
        )
        targets = trainer.datamodule.targets  # type: ignore[attr-defined]  # set by its connector
        print(f"squared error minus that of {targets}, by held-out spikes: {result}")

    def state_dict(self) -> dict[str, Any]:
        """Return the errors at the start, too."""
        return {**super().state_dict(), "at_start": self.at_start}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the errors at the start of the same run."""
        super().load_state_dict(state_dict)
        if self.is_resumed:
            self.at_start = state_dict["at_start"]


def _save_logs(trainer: Trainer) -> None:
    for logger in trainer.loggers:
        logger.save()


def with_best(trainer: Trainer) -> tuple[str, dict[str, Any]]:
    """Return the path of the best checkpoint of a fit, and its metrics.

    If nothing was validated, the path is that of the last checkpoint, or empty. In the metrics,
    those of validation are replaced by the best checkpoint's.
    """
    metrics, callbacks = trainer.callback_metrics, trainer.checkpoint_callbacks
    checkpoints = [callback for callback in callbacks if isinstance(callback, RunCheckpoint)]
    saved = [checkpoint for checkpoint in checkpoints if checkpoint.best_model_path]
    best = next((checkpoint for checkpoint in saved if checkpoint.monitor), None)
    if best is None:
        return saved[0].best_model_path if saved else "", {**metrics}
    others = {name: value for name, value in metrics.items() if not name.startswith(_VAL)}
    return best.best_model_path, {**others, **best.best_metrics}


def checkpoints_of(
    run_dir: Path, monitored: LightningModule | None, *, is_resumed: bool, has_images: bool = True
) -> list[Callback]:
    """Return callbacks that save the last state and, if ``monitored`` is validated, the best one.

    The last state is saved after every epoch and if the run is stopped. Without images the best
    state is that of :class:`HeldOutCheckpoint`.
    """
    folder = run_dir / FOLDER
    moments = {"save_on_train_epoch_end": True, "save_on_exception": True}
    last = RunCheckpoint(folder / LAST, is_resumed=is_resumed, **moments)
    if monitored is None or not hasattr(monitored, "monitor"):
        return [last]
    best = folder / "best.ckpt"
    if not has_images:
        return [HeldOutCheckpoint(best, is_resumed=is_resumed), last]
    chosen = {"monitor": monitored.monitor, "mode": monitored.monitor_mode}
    return [RunCheckpoint(best, is_resumed=is_resumed, **chosen), last]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write checkpoints atomically, and keep the previous one of ``last.ckpt``."""

    def load_checkpoint(self, path: str | os.PathLike[str], *args: Any, **options: Any) -> Any:  # noqa: ANN401  (Lightning's)
        """Read a checkpoint; an exported weights file is read as a checkpoint of weights alone."""
        if Path(path).suffix != ".safetensors":
            return super().load_checkpoint(Path(path), *args, **options)
        return {**read_checkpoint(Path(path)), "pytorch-lightning_version": lightning.__version__}

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | os.PathLike[str],
        storage_options: Any = None,  # noqa: ANN401  (Lightning's)
    ) -> None:
        """Write a checkpoint; if that fails, the previous one is unchanged."""
        target, content = Path(path), io.BytesIO()
        # in memory: torch's error does not mention a full disk
        torch.save(plain(checkpoint), content)
        with new_file(target, overwrite=True) as temporary:
            with temporary.open("wb") as file:
                file.write(content.getbuffer())
                synchronise(file)
            if target.name == LAST and target.is_file():
                part = target.with_name(f".{PREVIOUS_LAST}.part")
                part.unlink(missing_ok=True)
                link_or_copy(target, part)
                part.replace(target.with_name(PREVIOUS_LAST))


class ExactResume(Callback):
    """Correct two deviations of a run that Lightning resumes from an uninterrupted one.

    Many modules read ``trainer.estimated_stepping_batches`` in ``configure_optimizers``. Lightning
    then sets up the loader before it restores the position. Schedules that monitor a metric do not
    step after the first epoch.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Discard the loader; Lightning creates it again and restores its position."""
        if trainer.ckpt_path:
            discard_loader(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Step all schedules at the end of this epoch."""
        step_plateau_schedules(trainer)


class WallClock(Callback):
    """Count the seconds of a run over all its sessions, up to their last checkpoints.

    Args:
        begin: Start of this session, a value of ``time.perf_counter``.
    """

    def __init__(self, begin: float) -> None:
        self.begin = begin
        self.before = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return the seconds of this session and the earlier ones."""
        return {"seconds": self.before + time.perf_counter() - self.begin}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the seconds of earlier sessions."""
        self.before = float(state_dict["seconds"])


def _moved(state: Any, before: str, here: str) -> Any:  # noqa: ANN401  (plain values)
    """Return a checkpoint's state with the paths in folder ``before`` moved to folder ``here``."""
    if isinstance(state, dict):
        return {
            _moved(name, before, here): _moved(value, before, here) for name, value in state.items()
        }
    if isinstance(state, str) and (state == before or state.startswith(f"{before}{os.sep}")):
        return here + state.removeprefix(before)
    return state
