"""Training crops per second from an archive, compared with a raw memory map read by numpy."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from benchmarks.row import Row
from spike_zoo.archive import build_archive
from spike_zoo.data import ReconstructionDataModule
from spike_zoo.spikes import SpikeRecording, Take
from spike_zoo.spikes.packing import unpack_bits

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def _packed_crop(raw: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    clip = int(generator.integers(raw.shape[0] - CLIP))
    top = int(generator.integers(HEIGHT - CROP))
    left = int(generator.integers((WIDTH - CROP) // 8))
    return raw[clip : clip + CLIP, top : top + CROP, left : left + CROP // 8]


def rows() -> list[Row]:
    """Measure crops as modules receive them: read, cropped, collated, unpacked."""
    with tempfile.TemporaryDirectory() as folder:
        names = {"train": [f"r{n}" for n in range(6)], "val": ["r0"]}
        jobs = {name: _Recording(seed) for seed, name in enumerate(names["train"])}
        archive = build_archive(Path(folder) / "bench.h5", jobs, splits=names)
        flat = Path(folder) / "raw.bin"
        raw = np.concatenate([_take(seed).recording.packed for seed in range(6)])
        raw.tofile(flat)
        windows = _MapWindows(flat, raw.shape)
        return [row for workers in (0, 2) for row in _with_workers(archive, windows, workers)]


def _with_workers(archive: Path, windows: _MapWindows, workers: int) -> list[Row]:
    """Return the rate compared with the memory map read in this process, and in torch's loader."""
    data = ReconstructionDataModule(
        str(archive), CLIP, crop=CROP, samples_per_epoch=CROPS, workers=workers, seed=0
    )
    data.setup("fit")
    loader = DataLoader(windows, batch_size=data.batch_size, num_workers=workers)
    ours, mapped, loaded = [], [], []
    for _ in range(REPEATS):
        mapped.append(_bare_rate(windows))
        loaded.append(_steady_rate(loader))
        packed = data.train_dataloader()
        packed.finish = None  # as a trainer receives them
        ours.append(_steady_rate(packed))
    rate, limit, peer = map(statistics.median, (ours, mapped, loaded))
    name = f"{CLIP}x{CROP}x{CROP} crops from an archive, {workers} workers, packed batches"
    unit, what = "windows/s", "memory map + numpy.unpackbits"
    peer_name = f"the map in torch's loader, {workers} workers"
    return [
        Row(name, rate, unit, limit, what, goal=0.5, at_least=True),
        Row(name, rate, unit, peer, peer_name),
    ]


class _MapWindows(Dataset[NDArray[np.uint8]]):
    """Dataset of packed crops of the raw memory map, for a loader with workers."""

    def __init__(self, file: Path, shape: tuple[int, ...]) -> None:
        self.raw: NDArray[np.uint8] = np.memmap(file, np.uint8, mode="r", shape=shape)
        self.generator = np.random.default_rng(0)

    def __len__(self) -> int:
        return CROPS

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        return np.array(_packed_crop(self.raw, self.generator))


def _bare_rate(windows: _MapWindows) -> float:
    """Return windows per second, read and unpacked in this process."""
    begin = time.perf_counter()
    for _ in range(CROPS):
        np.unpackbits(_packed_crop(windows.raw, windows.generator), axis=-1, bitorder="little")
    return CROPS / (time.perf_counter() - begin)


def _steady_rate(loader: Iterable[Any]) -> float:
    """Return windows per second without the start of the workers."""
    batches = iter(loader)
    next(batches)
    begin = time.perf_counter()
    count = 0
    for batch in batches:
        if isinstance(batch, dict):
            packed = batch["packed"]
            unpack_bits(packed.numpy(), CROP)
        else:
            packed = batch
            np.unpackbits(packed.numpy(), axis=-1, bitorder="little")
        count += int(packed.shape[0])
    return count / (time.perf_counter() - begin)
