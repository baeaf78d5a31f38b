"""Checkpoints of a run: saved where nothing is half done, written whole, found again."""

from __future__ import annotations

import io
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning
import torch
from lightning import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from spike_zoo.checkpoints.saved_model import read_checkpoint
from spike_zoo.files import new_file
from spike_zoo.tasks.protocols import Monitored

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lightning import LightningModule, Trainer

FOLDER = "checkpoints"
BEST, LAST = "best.ckpt", "last.ckpt"
BEFORE_LAST = "last.before.ckpt"
#: Entry of our checkpoints: the first step that a resumed run logs.
LOG_STEP = "spike_zoo_log_step"
_VAL = "val/"
STEPPED = "_batches_that_stepped"  # Lightning's count of what it logs by


class RunCheckpoint(ModelCheckpoint):
    """A run's own checkpoint, beside those that a configuration may ask for.

    Args:
        path: The file.
        is_resumed: Whether the run goes on in the folder where it was; else what the checkpoint
            says of the best one before is about another run.
        options: Of Lightning's callback.

    Attributes:
        best_metrics: Everything that was measured when the best checkpoint was saved, by log key.
    """

    def __init__(self, path: Path, *, is_resumed: bool, **options: Any) -> None:
        options["enable_version_counter"] = False
        super().__init__(path.parent, path.stem, **options)
        self.is_resumed = is_resumed
        self.best_metrics: dict[str, float] = {}
        self._validated: int | None = None  # the step after which an evaluation ended
        self._is_stopping = False

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Bring the log to disk, and note the step with which a resumed run goes on writing it."""
        if not self.save_on_exception:  # the hook of every callback is called for every checkpoint
            return
        for logger in trainer.loggers:
            logger.save()
        state = checkpoint["loops"]["fit_loop"]["epoch_loop.state_dict"]
        checkpoint[LOG_STEP] = state[STEPPED] + trainer.validating
        if self._is_stopping and self._validated == trainer.global_step:
            state[STEPPED] -= 1  # Lightning counts a batch again that it resumes after evaluating

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the best checkpoint, and note where it was measured."""
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
        """Save the state of a stopped run where a batch is complete and its epoch goes on.

        Elsewhere weights, schedule, gradients and the loader's position would not fit together; the
        checkpoint before does.
        """
        progress = trainer.fit_loop.epoch_loop.batch_progress
        done: int = progress.current.processed  # type: ignore[attr-defined]  # its kind has it
        is_complete = done == progress.current.ready and done % trainer.accumulate_grad_batches == 0
        self._is_stopping = trainer.training and is_complete and not progress.is_last_batch
        if self._is_stopping:
            super().on_exception(trainer, pl_module, exception)

    def state_dict(self) -> dict[str, Any]:
        """Return which checkpoint is the best, and what was measured with it."""
        return {**super().state_dict(), "best_metrics": self.best_metrics}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over which checkpoint was the best, also where the run's folder was moved."""
        if not self.is_resumed:
            return
        self.best_metrics = state_dict.get("best_metrics", {})
        here, before = str(self.dirpath), str(state_dict.get("dirpath"))
        super().load_state_dict(_moved(state_dict, before, here))


def with_best(metrics: Mapping[str, Any], callbacks: Sequence[Any]) -> tuple[str, dict[str, Any]]:
    """Return the best checkpoint of a run and its metrics, those of validation being that one's.

    Args:
        metrics: The last values of everything that was logged.
        callbacks: The run's checkpoints.

    Returns:
        The file, empty where nothing was validated, and the metrics.
    """
    kept = [one for one in callbacks if isinstance(one, RunCheckpoint)]
    best = next((one for one in kept if one.monitor and one.best_model_path), None)
    if best is None:
        return next((one.best_model_path for one in kept if one.best_model_path), ""), {**metrics}
    others = {name: value for name, value in metrics.items() if not name.startswith(_VAL)}
    return best.best_model_path, {**others, **best.best_metrics}


def checkpoints_of(
    run_dir: Path, monitored: LightningModule | None, *, is_resumed: bool
) -> list[Callback]:
    """Keep the last state of every epoch and of a stopped run, and the best one validated.

    Args:
        run_dir: The run's folder.
        monitored: Returns the metric that chooses the best; None where nothing is validated.
        is_resumed: See :class:`RunCheckpoint`.
    """
    last = RunCheckpoint(
        run_dir / FOLDER / LAST,
        is_resumed=is_resumed,
        save_on_train_epoch_end=True,
        save_on_exception=True,
    )
    if not isinstance(monitored, Monitored):
        return [last]
    chosen = {"monitor": monitored.monitor, "mode": monitored.monitor_mode}
    return [RunCheckpoint(run_dir / FOLDER / BEST, is_resumed=is_resumed, **chosen), last]


class WholeCheckpoints(TorchCheckpointIO):
    """Write checkpoints beside their target and rename them, keeping the last one before."""

    def load_checkpoint(self, path: str | os.PathLike[str], *args: Any, **options: Any) -> Any:  # noqa: ANN401  (Lightning's)
        """Read a checkpoint; weights that were exported are one without anything else."""
        if Path(path).suffix != ".safetensors":
            return super().load_checkpoint(Path(path), *args, **options)
        return {**read_checkpoint(Path(path)), "pytorch-lightning_version": lightning.__version__}

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | os.PathLike[str],
        storage_options: Any = None,  # noqa: ANN401  (Lightning's)
    ) -> None:
        """Write one checkpoint; if that fails, the one before is untouched.

        Raises:
            RecordingError: If it cannot be written, as on a full disk.
        """
        target, content = Path(path), io.BytesIO()
        torch.save(checkpoint, content)  # torch's own error on a full disk does not say so
        with new_file(target, overwrite=True) as temporary:
            with temporary.open("wb") as file:
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            if target.name == LAST and target.is_file():
                _keep_before(target)


class RestoredData(Callback):
    """Let the loader of a resumed run be restored, whatever its module asked for too early.

    A module that asks in ``configure_optimizers`` for ``trainer.estimated_stepping_batches``, as
    many do, makes Lightning set the loader up before it knows where the run was.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget a loader that is there already; Lightning makes it again, and restores it."""
        if trainer.ckpt_path:
            trainer.fit_loop._combined_loader = None


class WallClock(Callback):
    """Count the seconds of a run over all of its legs, as far as checkpoints kept their work.

    Args:
        begin: When this leg began, by ``time.perf_counter``.
    """

    def __init__(self, begin: float) -> None:
        self.begin = begin
        self.before = 0.0

    @property
    def seconds(self) -> float:
        """Seconds of this leg and of those before."""
        return self.before + time.perf_counter() - self.begin

    def state_dict(self) -> dict[str, Any]:
        """Return the seconds so far."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what a checkpoint says."""
        self.before = float(state_dict["seconds"])


def _keep_before(last: Path) -> None:
    """Give a checkpoint that is about to be replaced its second name, whole at every moment."""
    before = last.with_name(BEFORE_LAST)
    part = before.with_name(f".{before.name}.part")
    part.unlink(missing_ok=True)
    try:
        part.hardlink_to(last)
    except OSError:  # not on every file system
        shutil.copyfile(last, part)
    part.replace(before)


def _moved(state: Any, before: str, here: str) -> Any:  # noqa: ANN401  (plain values)
    """Return what a checkpoint says about files as it would say it in another folder."""
    if isinstance(state, dict):
        return {
            _moved(name, before, here): _moved(one, before, here) for name, one in state.items()
        }
    if isinstance(state, str) and (state == before or state.startswith(f"{before}{os.sep}")):
        return here + state.removeprefix(before)
    return state
