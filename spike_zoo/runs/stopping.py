"""Ctrl-C and SIGTERM end a fit where nothing is half done, so that it resumes exactly."""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from lightning import Callback
from lightning.pytorch.utilities.exceptions import SIGTERMException

if TYPE_CHECKING:
    from types import FrameType

    from lightning import LightningModule, Trainer

    Handler = Any  # what signal.signal takes and returns

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopBetweenBatches(Callback):
    """Hold a signal back until weights, schedule and log of a batch are complete.

    Lightning then stops by its own handling of SIGTERM. A second Ctrl-C ends the run at once; what
    was saved before stays. Processes that train together keep Lightning's handling.

    Attributes:
        received: The signal that asked to stop, None while nobody has.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Handler] = {}

    @property
    def is_interrupted(self) -> bool:
        """Whether it was Ctrl-C that asked to stop."""
        return self.received == signal.SIGINT

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take over the signals."""
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and trainer.world_size == 1:
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  (Lightning's signature)
        batch: Any,  # noqa: ANN401  (any batch)
        batch_idx: int,
    ) -> None:
        """Pass a signal on where no gradient waits for further batches."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            self._pass_on()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Pass on a signal that came during an evaluation."""
        self._pass_on()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the signals back; one that came after the last batch stops the run before its test.

        Raises:
            SIGTERMException: If there is one.
        """
        self._give_back()
        if self.received is not None:
            raise SIGTERMException

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Give the signals back."""
        self._give_back()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            self._give_back()
            raise KeyboardInterrupt
        self.received = number
        print("stopping after this batch; Ctrl-C ends it at once", file=sys.stderr)

    def _pass_on(self) -> None:
        handler = self._before.get(signal.SIGTERM)
        if self.received is not None and callable(handler):
            handler(signal.SIGTERM, None)

    def _give_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: not one of Python's
        self._before = {}
