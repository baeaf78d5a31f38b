"""Worker processes that end with the process that started them, however that ended."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any

from joblib.parallel import BACKENDS, get_active_backend

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
def replaced_in_silence() -> Iterator[None]:
    """Keep joblib from warning of a worker that it replaces, as when one has grown by 300 MB.

    Where warnings are errors it would end joblib's own thread, and the caller would wait for ever.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=_REPLACED, category=UserWarning)
        yield


def end_with(parent: int) -> None:
    """Watch the parent from a thread of this worker, and end when it is gone."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS)
    os._exit(1)
