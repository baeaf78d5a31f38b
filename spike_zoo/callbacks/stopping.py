"""Ctrl-C and SIGTERM end a fit where nothing is half done, so that it resumes exactly."""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import torch
from lightning import Callback
from lightning.pytorch.utilities.exceptions import SIGTERMException

from spike_zoo.records.run_start import is_child

if TYPE_CHECKING:
    from types import FrameType

    from lightning import LightningModule, Trainer

    Handler = Any  # what signal.signal takes and returns

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopBetweenBatches(Callback):
    """Hold a signal back until weights, schedule and log of a batch are complete.

    Processes that train together agree at the end of each batch, so that all of them stop at the
    same one, whichever of them received the signal. Lightning then stops as it does after SIGTERM,
    and restores the signal handlers. A second Ctrl-C ends the run at once; what was saved before
    stays.

    Attributes:
        received: The signal that asked to stop, None before one arrives.
        has_begun: Whether training has begun; it does not where no epoch is left.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.has_begun = False
        self._before: dict[int, Handler] = {}

    @property
    def is_interrupted(self) -> bool:
        """Whether it was Ctrl-C that asked to stop."""
        return self.received == signal.SIGINT

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take over the signals."""
        self.has_begun = True
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  (Lightning's signature)
        batch: Any,  # noqa: ANN401  (any batch)
        batch_idx: int,
    ) -> None:
        """Stop after this batch if a signal came and no gradient waits for further batches."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            self._stop_if_asked(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop if a signal came during an evaluation."""
        if not trainer.sanity_checking:
            self._stop_if_asked(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the signals back; one that came after the last batch stops the run before its test.

        Raises:
            SIGTERMException: If there is one.
        """
        self._agree(trainer)
        self._give_back()
        if self.received is not None:
            raise SIGTERMException

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            self._give_back()
            raise KeyboardInterrupt
        self.received = number
        if not is_child():
            print("stopping after this batch; Ctrl-C ends it at once", file=sys.stderr)

    def _stop_if_asked(self, trainer: Trainer) -> None:
        self._agree(trainer)
        if self.received is not None:
            trainer._signal_connector.received_sigterm = True

    def _agree(self, trainer: Trainer) -> None:
        """Take over a signal that any of the processes received."""
        if trainer.world_size > 1:
            own = torch.tensor(self.received or 0, device=trainer.strategy.root_device)
            self.received = int(trainer.strategy.reduce(own, reduce_op="max")) or None

    def _give_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: not one of Python's
        self._before = {}
