"""Peak memory of STIR or its reference, in a separate process.

Run as ``python -m benchmarks.stir_memory WHO WHAT``; prints bytes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from benchmarks.stir_calls import THREADS, Who, forward_pass, training_step

if TYPE_CHECKING:
    from collections.abc import Callable

What = Literal["forward", "step"]


def peak_bytes(who: Who, what: What) -> int:
    """Return the resident memory that one call adds in a new process."""
    command = [sys.executable, "-m", "benchmarks.stir_memory", who, what]
    process = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(process.stdout)


def _call(who: Who, what: What, height: int, width: int) -> Callable[[], object]:
    if what == "forward":
        return forward_pass(who, torch.float32, height, width)
    return training_step(who, torch.float32, 2, height)


def _main() -> None:
    who: Who = "ours" if sys.argv[1] == "ours" else "reference"
    what: What = "forward" if sys.argv[2] == "forward" else "step"
    side = 256 if what == "forward" else 96
    torch.set_num_threads(THREADS)
    _call(who, what, 32, 32)()  # loads libraries before the measurement
    call = _call(who, what, side, side)
    before = _peak()
    for _ in range(3):
        call()
    print(_peak() - before)


def _peak() -> int:
    """Return this process's peak memory in bytes; getrusage would include the parent process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))


if __name__ == "__main__":
    _main()
