"""How far a run is where no terminal shows a bar: a line now and then."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Any

from lightning import Callback
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.utilities import rank_zero_only

if TYPE_CHECKING:
    from lightning import LightningModule, Trainer

EVERY = 60.0  # seconds from one line to the next


def lines_for_bar(settings: dict[str, Any]) -> list[Callback]:
    """Turn off a trainer's bar where no terminal shows it, and return its replacement.

    Args:
        settings: The trainer's, of which the bar's is changed; None, the default, wants a bar.
    """
    if sys.stdout.isatty() or settings["enable_progress_bar"] is False:
        return []
    given = settings["callbacks"] or []
    if any(isinstance(one, ProgressBar) for one in (given if isinstance(given, list) else [given])):
        return []  # the user's own bar, which Lightning rejects beside False
    settings["enable_progress_bar"] = False
    return [ProgressLines()]


class ProgressLines(Callback):
    """Print epoch, what a bar would show of metrics and the time left every some seconds."""

    def __init__(self, every: float = EVERY) -> None:
        self.every = every

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Reset the clock; a run that goes on begins in the middle."""
        self._printed = time.monotonic()
        self._begin: float | None = None  # after the first batch, which also compiles kernels

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  (Lightning's)
        batch: Any,  # noqa: ANN401
        batch_idx: int,
    ) -> None:
        """Print how far training is, if it was not printed lately."""
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
