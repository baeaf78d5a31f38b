"""Progress lines for runs without a terminal."""

import math
import sys
import time
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.utilities import rank_zero_only


def progress_callbacks(settings: dict[str, Any]) -> list[Callback]:
    """Return progress callbacks for output without a terminal; they replace the progress bar.

    The option ``enable_progress_bar`` in a trainer's ``settings`` is then set to False.
    """
    if sys.stdout.isatty() or settings["enable_progress_bar"] is False:
        return []
    callbacks = settings["callbacks"] or []
    callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
    if any(isinstance(callback, ProgressBar) for callback in callbacks):
        return []  # Lightning rejects the user's bar if enable_progress_bar is False
    settings["enable_progress_bar"] = False
    return [ProgressLines()]


class ProgressLines(Callback):
    """Print epoch, metrics of the progress bar and remaining time every few seconds."""

    def __init__(self, every: float = 60.0) -> None:
        self.every = every

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Reset the clock, because a resumed run starts in the middle."""
        self._printed = time.monotonic()
        self._begin: float | None = None  # set after the first batch, which also compiles kernels

    def on_train_batch_end(self, trainer: Trainer, *arguments: Any) -> None:
        """Print a line if the last one is at least ``every`` seconds old."""
        now = time.monotonic()
        if self._begin is None:
            self._begin, self._first = now, trainer.global_step
        if now - self._printed >= self.every:
            self._printed = now
            self._print(trainer, now - self._begin)

    @rank_zero_only
    def _print(self, trainer: Trainer, seconds: float) -> None:
        of = f"/{trainer.max_epochs}" if (trainer.max_epochs or -1) > 0 else ""
        metrics = trainer.progress_bar_metrics.items()
        parts = [f"epoch {trainer.current_epoch + 1}{of}"]
        parts += [f"{name} {value:.4g}" for name, value in metrics if isinstance(value, float)]
        done, total = trainer.global_step, float(trainer.estimated_stepping_batches)
        if math.isfinite(total) and self._first < done < total:
            left = seconds * (total - done) / (done - self._first)
            parts.append(f"about {left / 60:.0f} min left" if left >= 90 else f"{left:.0f} s left")
        print(", ".join(parts), flush=True)
