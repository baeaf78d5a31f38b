"""Decoding of recordings, compared with unpacking the same bytes by numpy."""

from __future__ import annotations

import tempfile
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.row import Row, alternate
from spike_zoo import read_recording

if TYPE_CHECKING:
    from collections.abc import Callable

WHOLE = ((1000, 250, 400), (400, 1000, 1000))
CLIP = (301, 250, 400)
WINDOW, WINDOWS = (130, 171), 20
DECODE_GOAL, WINDOW_GOAL, MEMORY_GOAL = 2.0, 1.0, 1.2


def _random_file(folder: Path, shape: tuple[int, int, int]) -> Path:
    planes, height, width = shape
    path = folder / f"{planes}x{height}x{width}.dat"
    path.write_bytes(np.random.default_rng(0).bytes(planes * height * width // 8))
    return path


def _peak_bytes(call: Callable[[], object]) -> int:
    tracemalloc.start()
    call()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def _decode(folder: Path, shape: tuple[int, int, int]) -> list[Row]:
    """Measure decoding of a whole file to upright bool planes, including opening it."""
    path = _random_file(folder, shape)
    stored = np.fromfile(path, np.uint8)
    size = "x".join(map(str, shape))

    def ours() -> object:
        return read_recording(path, height=shape[1], width=shape[2])[:]

    def limit() -> object:
        return np.unpackbits(stored, bitorder="little")

    duration, least = alternate([ours, limit], repeats=9)
    pixels = stored.size * 8
    return [
        Row(f"decode .dat {size}", duration, "s", least, "numpy.unpackbits", DECODE_GOAL),
        Row(
            f"peak memory decoding {size}",
            _peak_bytes(ours) / 1e6,
            "MB",
            pixels / 1e6,
            "the planes themselves",
            MEMORY_GOAL,
        ),
    ]


def _window(folder: Path) -> Row:
    """Measure opening a clip and decoding its 41 middle planes; 20 repetitions per timing."""
    path = _random_file(folder, CLIP)
    first, last = WINDOW
    plane = CLIP[1] * CLIP[2] // 8

    def ours() -> object:
        return read_recording(path, height=CLIP[1], width=CLIP[2])[first:last]

    def limit() -> object:
        with path.open("rb") as stream:
            stream.seek(first * plane)
            part = np.frombuffer(stream.read((last - first) * plane), np.uint8)
        return np.unpackbits(part, bitorder="little")

    duration, least = alternate([lambda: _times(ours), lambda: _times(limit)], repeats=9)
    seconds = duration / WINDOWS, "s", least / WINDOWS
    return Row("41 planes of 301", *seconds, "read and unpackbits", WINDOW_GOAL)


def _times(call: Callable[[], object]) -> None:
    for _ in range(WINDOWS):
        call()


def rows() -> list[Row]:
    """Measure whole files and a window."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = [row for shape in WHOLE for row in _decode(folder, shape)]
        return [*whole, _window(folder)]
