"""Worker processes that end with the process that started them, however that ended."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from joblib.externals.loky.process_executor import TerminatedWorkerError
from joblib.parallel import BACKENDS, get_active_backend

from spike_zoo.errors import SpikeZooError

_SECONDS = 1.0
_REPLACED = "A worker stopped while some jobs were given to the executor"


def worker_options() -> dict[str, Any]:
    """Return joblib's arguments that initialize its own workers.

    Workers end when this process is killed by SIGKILL, which gives it no time to stop them, and
    print warnings in its format. Workers of another backend, such as a cluster's, are not children
    of this process.
    """
    backend, _ = get_active_backend()
    if not isinstance(backend, BACKENDS["loky"]):
        return {}
    return {"initializer": start_worker, "initargs": (os.getpid(), warnings.formatwarning)}


@contextlib.contextmanager
def worker_faults_handled() -> Iterator[None]:
    """Ignore joblib's warning about a replaced worker, and explain one that was killed.

    joblib replaces a worker that has grown by 300 MB. Where warnings are errors, the warning would
    end joblib's own thread, and the caller would wait forever.
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


def start_worker(parent: int, format_warning: Callable[..., str]) -> None:
    """Print warnings in the parent's format; watch the parent and exit when it has ended."""
    warnings.formatwarning = format_warning
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS)
    os._exit(1)
