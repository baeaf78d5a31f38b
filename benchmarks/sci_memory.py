"""The most memory a deformable convolution asks for, alone in a process of its own.

Run as ``python -m benchmarks.sci_memory WHO``; prints bytes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.sci_calls import Who, picture
from benchmarks.stir_calls import THREADS

CHANNELS, SIDE = 64, 256


def peak_bytes(who: Who) -> int:
    """Return by how much a convolution for a picture raises the memory of a new process."""
    command = [sys.executable, "-m", "benchmarks.sci_memory", who]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _main() -> None:
    who: Who = "ours" if sys.argv[1] == "ours" else "reference"
    torch.set_num_threads(THREADS)
    picture(who, CHANNELS, 64)()  # libraries are loaded before it counts
    call = picture(who, CHANNELS, SIDE)
    # what making the arguments took for a while does not count: the peak begins anew
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _status("VmRSS")
    for _ in range(3):
        call()
    print(_status("VmHWM") - before)


def _status(field: str) -> int:
    """Return bytes of memory that this program holds (VmRSS), or held at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(field)))


if __name__ == "__main__":
    _main()
