"""Peak memory of STIR or its reference, in a separate process.

Run as ``python -m benchmarks.stir_memory WHO WHAT``; prints bytes.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

import torch

from benchmarks.memory import added_bytes, printed_number
from benchmarks.stir_calls import THREADS, Who, forward_pass, training_step

if TYPE_CHECKING:
    from collections.abc import Callable

What = Literal["forward", "step"]


def peak_bytes(who: Who, what: What) -> int:
    """Return the resident memory that one call adds in a new process."""
    return printed_number("stir_memory", who, what)


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
    print(added_bytes(lambda: [call() for _ in range(3)]))


if __name__ == "__main__":
    _main()
