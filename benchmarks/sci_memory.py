"""Peak memory of a deformable convolution, and of coding a recording.

Each is measured in a separate process: ``python -m benchmarks.sci_memory NAME``, or a number of
planes to code, prints bytes.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import torch

from benchmarks.memory import added_bytes, printed_number
from benchmarks.sci_calls import Who, image, noise, untrained_codec
from benchmarks.stir_calls import THREADS

if TYPE_CHECKING:
    from collections.abc import Callable

CHANNELS, SIDE = 64, 256


def peak_bytes(who: str) -> int:
    """Return the memory that a convolution of one image adds in a new process."""
    return printed_number("sci_memory", who)


def coding_bytes(planes: int) -> int:
    """Return the memory that coding ``planes`` of 128 x 128 adds in a new process."""
    return peak_bytes(str(planes))


def _main() -> None:
    torch.set_num_threads(THREADS)
    call = _coding(int(sys.argv[1])) if sys.argv[1].isdigit() else _image(sys.argv[1])
    print(added_bytes(call))


def _image(who: str) -> Callable[[], object]:
    chosen: Who = "ours" if who == "ours" else "reference"
    image(chosen, CHANNELS, 64)()  # loads libraries before the measurement
    call = image(chosen, CHANNELS, SIDE)

    def thrice() -> None:
        for _ in range(3):
            call()

    return thrice


def _coding(planes: int) -> Callable[[], object]:
    codec = untrained_codec()
    codec.compress(noise(20, 128, 128))
    recording = noise(planes, 128, 128)

    def coded() -> None:
        for payload in codec.compress_stream(recording, codec.header(recording)):
            assert payload

    return coded


if __name__ == "__main__":
    _main()
