"""Small archives for tests."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from spike_zoo.archive import ArchiveWriter
from spike_zoo.spikes import SpikeRecording, Take
from tests.helpers.streams import random_spikes


def make_take(
    seed: int = 0, *, planes: int = 37, height: int = 12, width: int = 21, **changes: Any
) -> Take:
    """Return a take with every part: sharp images, one blurry image at twice the size, a label."""
    generator = np.random.default_rng(seed)
    recording = SpikeRecording.from_planes(
        random_spikes(planes, height, width, seed=seed),
        fps=20_000.0,
        threshold=1.0,
        rate_scale=0.6,
        meta={"source": f"scene{seed}", "source_format": "simulated", "simulator": "test"},
    )
    parts: dict[str, Any] = {
        "recording": recording,
        "images": generator.integers(0, 256, (3, height, width), dtype=np.uint8),
        "image_index": np.array([5, 15, 15]),
        "blur": generator.random((1, 2 * height, 2 * width, 3)).astype(np.float32),
        "blur_span": np.array([[4, 30]]),
        "label": seed,
    }
    return Take(**{**parts, **changes})


def make_motion(seed: int = 0, *, images: int = 3, height: int = 12, width: int = 21) -> Any:
    """Return random motion of the images of ``make_take``; NaN in the first image and one pixel."""
    generator = np.random.default_rng(seed + 100)
    motion = generator.normal(size=(images, 2, height, width)).astype(np.float16)
    motion[0], motion[1:, :, 2, 3] = np.nan, np.nan
    return motion


def make_two_sided_motion(
    seed: int = 0, *, images: int = 3, height: int = 12, width: int = 21
) -> Any:
    """Return random motion of the images of ``make_take`` to two planes each, and these planes."""
    generator = np.random.default_rng(seed + 200)
    motion = generator.normal(size=(images, 2, 2, height, width)).astype(np.float16)
    motion[1:, :, :, 2, 3] = np.nan
    return {"around": motion, "around_index": np.array([[1, 9], [11, 19], [16, 24]])[:images]}


def write_archive(path: Path, takes: int = 2, **options: Any) -> Path:
    """Write takes ``take0``, ``take1``, ...: the last in split test, the others in train."""
    with ArchiveWriter(path, **options) as writer:
        for seed in range(takes):
            split = "test" if seed == takes - 1 else "train"
            writer.add(f"take{seed}", make_take(seed), split=split)
    return path


def write_takes(
    path: Path, takes: Mapping[str, Take | SpikeRecording], split: str | None = None, **options: Any
) -> Path:
    """Write takes by name; the options are those of the writer."""
    with ArchiveWriter(path, **options) as writer:
        for name, take in takes.items():
            writer.add(name, take, split=split)
    return path


def add_annotations(path: Path, name: str) -> None:
    """Add label maps, calibration and groups outside the schema to a recording of ``make_take``."""
    with h5py.File(path, "r+") as file:
        group = file[f"recordings/{name}"]
        group["labels/class_index"] = np.array([7])
        group["labels/boxes"] = np.arange(12, dtype=np.float32).reshape(2, 6)
        group["labels/boxes_index"] = np.array([4, 9])
        group["labels/mood"] = np.array([3, 1], np.uint8)
        group["labels/class"].attrs["name"] = "car"
        group.create_dataset(
            "labels/flow", data=np.ones((2, 2, 12, 21), ">f4"), chunks=(1, 2, 12, 21), shuffle=True
        )
        group["calibration/dark"] = np.linspace(0, 1, 252, dtype=np.float32).reshape(12, 21)
        group["thermal/frames"] = np.arange(5)
        group["thermal"].attrs["unit"] = "K"
        group.attrs["operator"] = "Ada"


def edit_file(path: Path, modify: Callable[[h5py.File], Any]) -> None:
    """Modify a file through h5py, without the archive writer."""
    with h5py.File(path, "r+") as file:
        modify(file)


def replace_spikes(create_spikes: Callable[[h5py.Group], Any]) -> Callable[[h5py.File], None]:
    """Return a function that replaces the spikes of the recording ``clip`` in an HDF5 file."""

    def replace(file: h5py.File) -> None:
        del file["recordings/clip/spikes"]
        create_spikes(file["recordings/clip"])

    return replace
