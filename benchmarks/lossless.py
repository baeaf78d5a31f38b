"""The lossless codec: bits per pixel compared with general compressors, and megabits per second.

The others get planes packed along time, eight of one pixel in a byte and pixel after pixel, which
suits them best; zstd by its level 19.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zstandard

from benchmarks.row import Row, alternate
from spike_zoo import read_recording
from spike_zoo.coding.spl import codec as lossless
from spike_zoo.simulation import default_scenes, simulate_take
from spike_zoo.simulation.kinds.sequences import sequence_scenes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

SIZE_GOAL, RATE_GOAL = 0.9, 2.0
CLIPS = ("data.dat", "base/test/spike/203_part1_key_id151.dat")
TIMED = 41


def _clips() -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield simulated recordings, and the sample clips if they exist."""
    scenes = default_scenes("test", 2, height=96, width=96, planes=161)
    for scene in [*scenes, *sequence_scenes("test", 3)]:
        yield scene.name, simulate_take(scene, margin=0).recording.read()
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("SPIKE_ZOO_SHARED", root.parent / "shared")) / "data"
    for clip in CLIPS:
        if (folder / clip).exists():
            yield Path(clip).stem, read_recording(folder / clip, height=250, width=400).read()


def _by_time(planes: NDArray[np.bool_]) -> bytes:
    return np.packbits(planes, axis=0, bitorder="little").transpose(1, 2, 0).tobytes()


def _size(name: str, planes: NDArray[np.bool_]) -> list[Row]:
    """Measure bits per pixel and plane."""
    ours, packed = len(lossless.encode(planes)), _by_time(planes)
    theirs = len(zstandard.ZstdCompressor(level=19).compress(packed))
    bits = 8 / planes.size
    reference = bits * theirs, "zstd-19 by time", SIZE_GOAL
    results = [Row(f"lossless {name}", bits * ours, "bpp", *reference)]
    if importlib.util.find_spec("blosc2") is not None:
        blosc: Any = importlib.import_module("blosc2")
        other = len(blosc.compress2(packed, typesize=1, clevel=9, codec=blosc.Codec.ZSTD))
        results.append(Row(f"lossless {name}", bits * ours, "bpp", bits * other, "blosc2 by time"))
    return results


def _rate(planes: NDArray[np.bool_]) -> list[Row]:
    """Measure encoding and decoding of the first planes of a recording, compared with zstd-19."""
    data, packed = lossless.encode(planes), _by_time(planes)
    calls = (
        lambda: lossless.encode(planes),
        lambda: lossless.decode(data),
        lambda: zstandard.ZstdCompressor(level=19).compress(packed),
    )
    writing, reading, theirs = (planes.size / seconds / 1e6 for seconds in alternate(calls))
    size = "x".join(map(str, planes.shape))
    return [
        Row(f"encode lossless {size}", writing, "Mbit/s", goal=RATE_GOAL, at_least=True),
        Row(f"decode lossless {size}", reading, "Mbit/s", goal=RATE_GOAL, at_least=True),
        Row(f"zstd-19 by time {size}", theirs, "Mbit/s"),
    ]


def rows() -> list[Row]:
    """Measure bits of simulated and sample recordings, and the speed on the largest."""
    results, largest = [], np.zeros((0, 0, 0), np.bool_)
    for name, planes in _clips():
        results += _size(name, planes)
        largest = max(largest, planes, key=np.size)
    return [*results, *_rate(largest[:TIMED])]
