"""Data loaders of evaluation and of training; the position of the latter can be saved."""

import itertools
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from lightning.fabric.utilities.seed import pl_worker_init_function
from torch.utils.data import DataLoader

from spike_zoo.data.sampling import SeededSampler
from spike_zoo.errors import VersionError

_EPOCH, _BATCHES = "epoch", "batches"


class EvalLoader(DataLoader[Any]):
    """Load samples in order.

    All processes of a run take the same number of steps: a process with fewer samples than others
    yields empty batches, ``{}``, at the end. For predictions Lightning creates a loader again from
    the arguments of its constructor.

    Args:
        *arguments: Those of torch's loader.
        check: Called at the start of an epoch.
        finish: Applied to each batch; None if Lightning calls the batch hooks.
        batches: Number of batches of every process; by default that of the samples.
        **options: Those of torch's loader.
    """

    def __init__(
        self,
        *arguments: Any,
        check: Callable[[], None] | None = None,
        finish: Callable[[Any], Any] | None = None,
        batches: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self.check, self.finish, self.batches = check, finish, batches

    def __iter__(self) -> Any:  # noqa: ANN401  (torch's, or one around it)
        """Return an iterator over finished batches."""
        if self.check is not None:
            self.check()
        iterator = super().__iter__()
        if missing := len(self) - super().__len__():
            return itertools.chain(iterator, ({} for _ in range(missing)))
        return iterator if self.finish is None else map(self.finish, iterator)

    def __len__(self) -> int:
        return super().__len__() if self.batches is None else self.batches


class TrainingLoader(DataLoader[Any]):
    """Load samples by key.

    Its state is the epoch and the number of batches of that epoch that were returned. The order of
    samples follows from seed and epoch, so a loader with another number of workers continues at
    the same batch. Workers stay alive between epochs, with the recordings they have opened.
    """

    check: Callable[[], None] | None = None  #: called at the start of an epoch
    sampler: SeededSampler
    batch_size: int
    #: applied to each batch; None if Lightning calls the batch hooks
    finish: Callable[[Any], Any] | None = None
    _position: tuple[int, int] | None = None  # epoch, number of returned batches

    def __iter__(self) -> Any:  # noqa: ANN401  (torch says: its own iterator)
        """Yield the batches of an epoch, which is determined when the first batch is requested."""
        if self.check is not None:
            self.check()
        for number, batch in enumerate(super().__iter__(), 1):
            done = self.sampler.skipped // self.batch_size + number
            self._position = self.sampler.epoch, done
            yield batch if self.finish is None else self.finish(batch)

    def state_dict(self) -> dict[str, int]:
        """Return the position, for a checkpoint; after the last batch, that of the next epoch."""
        epoch, done = self._position or (self.sampler.epoch, 0)
        if done >= len(self):
            epoch, done = epoch + 1, 0
        return {_EPOCH: epoch, _BATCHES: done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Set the position from which the next iteration continues."""
        if state.keys() != {_EPOCH, _BATCHES}:
            raise VersionError(
                "the checkpoint was written by an older version, and its position in the epoch "
                "cannot be read; start a new run from its weights with --init_from FILE"
            )
        self._position = state[_EPOCH], state[_BATCHES]
        self.sampler.resume(state[_EPOCH], state[_BATCHES] * self.batch_size)


def outlive_signals(worker: int) -> None:
    """Ignore Ctrl-C and SIGHUP in a worker, and on Linux SIGTERM unless its parent sends it.

    A terminal and SLURM send signals to all processes; the training process then saves and stops.
    """
    pl_worker_init_function(worker)  # Lightning sets it for loaders without a function
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):  # Windows does not have it
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # it states the sender; macOS does not have it
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_exit_at_sigterm_of, args=(os.getppid(),), daemon=True).start()


def _exit_at_sigterm_of(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
