"""Memory that a call adds, measured in a separate process (Linux)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def printed_number(module: str, *arguments: str) -> int:
    """Return the number that a module of the benchmarks prints in a new process."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def added_bytes(call: Callable[[], object]) -> int:
    """Return the peak of this process's memory during a call, above its memory before."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # sets the peak to the present
    before = _status("VmRSS")
    call()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    """Return memory in bytes: present (VmRSS) or peak (VmHWM); getrusage includes the parent's."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(field)))
