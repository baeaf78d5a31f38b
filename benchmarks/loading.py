"""Training crops a second out of an archive, beside a raw memory map read with numpy."""

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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

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


def _crop_from_map(raw: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    return np.unpackbits(_packed_crop(raw, generator), axis=-1, bitorder="little")


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
            loader = DataLoader(_MapWindows(flat, raw.shape), batch_size=4, num_workers=workers)
            ours, bare, loaded = [], [], []
            for _ in range(REPEATS):
                bare.append(_per_second(CROPS, from_map))
                loaded.append(_steady_rate(loader))
                ours.append(_steady_rate(data.train_dataloader()))
            ours_rate, bare_rate, loaded_rate = map(statistics.median, (ours, bare, loaded))
            measured.append((workers, ours_rate, bare_rate, loaded_rate))
    title = f"{CLIP}x{CROP}x{CROP} crops from an archive"
    shown = []
    for workers, ours_rate, bare_rate, loaded_rate in measured:
        for limit, what in (
            (bare_rate, "memory map + numpy.unpackbits"),
            (loaded_rate, f"the same in torch's loader, {workers} workers"),
        ):
            shown.append(
                Row(
                    f"{title}, {workers} workers, packed batches",
                    ours_rate,
                    "windows/s",
                    limit,
                    what,
                    goal=0.5,
                    at_least=True,
                )
            )
    return shown


class _MapWindows(Dataset[NDArray[np.uint8]]):
    """The raw map's crops as a data set, still packed, for a loader with workers."""

    def __init__(self, file: Path, shape: tuple[int, ...]) -> None:
        self.raw: NDArray[np.uint8] = np.memmap(file, np.uint8, mode="r", shape=shape)
        self.generator = np.random.default_rng(0)

    def __len__(self) -> int:
        return CROPS

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        return np.array(_packed_crop(self.raw, self.generator))


def _steady_rate(loader: Iterable[Any]) -> float:
    """Return windows a second once the loader runs: starting workers is paid once an epoch."""
    batches = iter(loader)
    next(batches)
    begin = time.perf_counter()
    count = 0
    for batch in batches:
        packed = batch["packed"] if isinstance(batch, dict) else batch
        np.unpackbits(packed.numpy(), axis=-1, bitorder="little")
        count += int(packed.shape[0])
    return count / (time.perf_counter() - begin)
