"""Training crops a second out of an archive, beside a raw memory map read with numpy."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.row import Row
from spike_zoo.archive import build_archive
from spike_zoo.data import ReconstructionDataModule
from spike_zoo.spikes import SpikeRecording, Take

if TYPE_CHECKING:
    from collections.abc import Callable

PLANES, HEIGHT, WIDTH, CROP, CLIP = 301, 250, 400, 96, 61
CROPS = 2000
REPEATS = 5


def _take(seed: int) -> Take:
    generator = np.random.default_rng(seed)
    packed = generator.integers(0, 256, (PLANES, HEIGHT, WIDTH // 8), dtype=np.uint8)
    planes = np.arange(100, 200, 10)
    images = generator.integers(0, 256, (len(planes), HEIGHT, WIDTH), dtype=np.uint8)
    recording = SpikeRecording(packed, WIDTH, rate_scale=0.6)
    return Take(recording, images=images, image_index=planes)


class _Recording:
    """A picklable job of the archive's builder."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __call__(self) -> Take:
        return _take(self.seed)


def _crop_from_map(raw: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    clip = int(generator.integers(raw.shape[0] - CLIP))
    top = int(generator.integers(HEIGHT - CROP))
    left = int(generator.integers((WIDTH - CROP) // 8))
    packed = raw[clip : clip + CLIP, top : top + CROP, left : left + CROP // 8]
    return np.unpackbits(packed, axis=-1, bitorder="little")


def _per_second(count: int, call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return count / (time.perf_counter() - begin)


def rows() -> list[Row]:
    """Measure crops as modules get them: read, cut, collated, unpacked and turned."""
    with tempfile.TemporaryDirectory() as folder:
        names = {"train": [f"r{n}" for n in range(6)], "val": ["r0"]}
        jobs = {name: _Recording(seed) for seed, name in enumerate(names["train"])}
        archive = build_archive(Path(folder) / "bench.h5", jobs, splits=names)
        flat = Path(folder) / "raw.bin"
        raw = np.concatenate([_take(seed).recording.packed for seed in range(6)])
        raw.tofile(flat)
        mapped = np.memmap(flat, np.uint8, mode="r", shape=raw.shape)
        generator = np.random.default_rng(0)

        def from_map() -> None:
            for _ in range(CROPS):
                _crop_from_map(mapped, generator)

        measured = []
        for workers in (0, 2):
            data = ReconstructionDataModule(
                str(archive), CLIP, crop=CROP, samples_per_epoch=CROPS, workers=workers, seed=0
            )
            data.setup("fit")
            ours, limits = [], []
            for _ in range(REPEATS):
                limits.append(_per_second(CROPS, from_map))
                ours.append(_steady_rate(data))
            measured.append((workers, float(np.median(ours)), float(np.median(limits))))
    return [
        Row(
            f"{CLIP}x{CROP}x{CROP} crops from an archive, {workers} workers, packed batches",
            ours,
            "windows/s",
            limit,
            "memory map + numpy.unpackbits",
            goal=0.5,
            at_least=True,
        )
        for workers, ours, limit in measured
    ]


def _steady_rate(data: ReconstructionDataModule) -> float:
    """Return windows a second once the loader runs: starting workers is paid once an epoch."""
    batches = iter(data.train_dataloader())
    next(batches)
    begin, count = time.perf_counter(), 0
    for batch in batches:
        np.unpackbits(batch["packed"].numpy(), axis=-1, bitorder="little")
        count += len(batch["packed"])
    return count / (time.perf_counter() - begin)
