"""Handling of signals during a fit: stop between batches, so that it resumes exactly."""

import signal
import sys
import threading
from types import FrameType
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

from spike_zoo.training.folders import is_child
from spike_zoo.training.libraries import is_gradient_pending, is_validation_due, stop_after_batch
from spike_zoo.utils.signals import drop_closed_streams, handled_signals


class StopBetweenBatches(Callback):
    """Delay Ctrl-C, SIGTERM or SIGHUP until weights, schedule and log of a batch are complete.

    The processes of distributed training exchange the signal at the end of each batch, so that all
    of them stop at the same batch. Lightning then stops as after SIGTERM and restores the signal
    handlers. A second Ctrl-C ends the run immediately; saved checkpoints are kept.

    Attributes:
        received: Number of the received signal; None before a signal arrives.
        has_begun: Whether training has started; False if no epoch is left.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.has_begun = False
        self._before: dict[int, Any] = {}  # handlers

    @property
    def is_interrupted(self) -> bool:
        """Whether the received signal is Ctrl-C."""
        return self.received == signal.SIGINT

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install the signal handlers."""
        self.has_begun = True
        if threading.current_thread() is threading.main_thread():
            signals = (signal.SIGINT, *handled_signals())
            self._before = {number: signal.signal(number, self._on_signal) for number in signals}

    def on_train_batch_end(self, trainer: Trainer, *arguments: Any) -> None:
        """Stop after this batch if a signal arrived; if a validation follows, after it.

        Lightning would break off the validation, and then the batch could not be saved.
        """
        if not is_validation_due(trainer):
            self._stop_if_signalled(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop if a signal arrived during an evaluation."""
        if not trainer.sanity_checking:
            self._stop_if_signalled(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the signal handlers; stop the run before its test if a signal arrived."""
        self._synchronise(trainer)
        self._restore_handlers()
        if self.received is not None:
            raise SIGTERMException

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            self._restore_handlers()
            raise KeyboardInterrupt
        self.received = number
        drop_closed_streams()  # SIGHUP: the terminal is closed
        if not is_child():
            print("stopping after this batch; press Ctrl-C to stop immediately", file=sys.stderr)

    def _stop_if_signalled(self, trainer: Trainer) -> None:
        if is_gradient_pending(trainer):
            return
        self._synchronise(trainer)
        if self.received is not None:
            stop_after_batch(trainer)

    def _synchronise(self, trainer: Trainer) -> None:
        """Set :attr:`received` to the signal that any of the processes received."""
        if trainer.world_size > 1:
            own = torch.tensor(self.received or 0, device=trainer.strategy.root_device)
            self.received = int(trainer.strategy.reduce(own, reduce_op="max")) or None

    def _restore_handlers(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: not installed by Python
        self._before = {}
