"""Worker processes that end with the process that started them, however that ended."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

from joblib.parallel import BACKENDS, get_active_backend

_SECONDS = 1.0
_IDLE_SECONDS = 86_400
"""joblib's own are 300. One that ends by itself just as work comes leaves the caller waiting."""


def worker_options() -> dict[str, Any]:
    """Return joblib's arguments that make its own workers watch this process.

    Killed by SIGKILL it cannot stop them, and they would wait for work. Workers of another backend,
    as a cluster's, are not this process's children.
    """
    backend, _ = get_active_backend()
    if not isinstance(backend, BACKENDS["loky"]):
        return {}
    return {
        "initializer": end_with,
        "initargs": (os.getpid(),),
        "idle_worker_timeout": _IDLE_SECONDS,
    }


def end_with(parent: int) -> None:
    """Watch the parent from a thread of this worker, and end when it is gone."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS)
    os._exit(1)
