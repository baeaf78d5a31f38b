"""Worker processes that end with the process that started them, however that ended."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any

from joblib.externals.loky.process_executor import TerminatedWorkerError
from joblib.parallel import BACKENDS, get_active_backend

from spike_zoo.errors import SpikeZooError

_SECONDS = 1.0
_REPLACED = "A worker stopped while some jobs were given to the executor"


def worker_options() -> dict[str, Any]:
    """Return joblib's arguments that make its own workers watch this process.

    Killed by SIGKILL it cannot stop them, and they would wait for work. Workers of another backend,
    as a cluster's, are not this process's children.
    """
    backend, _ = get_active_backend()
    if not isinstance(backend, BACKENDS["loky"]):
        return {}
    return {"initializer": end_with, "initargs": (os.getpid(),)}


@contextlib.contextmanager
def worker_faults_handled() -> Iterator[None]:
    """Ignore joblib's warning about a replaced worker, and explain one that was killed.

    joblib replaces a worker that has grown by 300 MB. Where warnings are errors, the warning would
    end joblib's own thread, and the caller would wait forever.

    Raises:
        SpikeZooError: If a worker was killed.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=_REPLACED, category=UserWarning)
        try:
            yield
        except TerminatedWorkerError as error:
            raise SpikeZooError(
                "a worker process was killed, which the system does when memory runs out; use "
                "fewer processes (--jobs 1) or free memory"
            ) from error


def end_with(parent: int) -> None:
    """Watch the parent from a thread of this worker, and end when it is gone."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS)
    os._exit(1)
