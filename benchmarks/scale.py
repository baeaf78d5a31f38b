"""Time and memory as recordings, planes, pixels and workers grow: ``python -m benchmarks.scale``.

Each call runs one time in a separate process, at a size and at ten times the size.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from distributed import LocalCluster

from benchmarks.memory import added_bytes
from benchmarks.row import alternate
from spike_zoo import SpikeArchive, SpikeRecording, Take, load, read_recording, write_recording
from spike_zoo.archive import ArchiveWriter, build_archive, verify_archive
from spike_zoo.cli.compress import compress
from spike_zoo.coding.spl import codec as lossless
from spike_zoo.data import ReconstructionDataModule
from spike_zoo.data.batches import unpacked
from spike_zoo.methods.stir import STIR
from spike_zoo.methods.stir.losses import STIRLoss
from spike_zoo.nn.optimizers import adam
from spike_zoo.tasks.protocols import Reconstructs, require_ability
from spike_zoo.testing import tiny_archive

REPEATS = 3
GROWTH = 10
HEIGHT, WIDTH = 250, 400
CLIP, CROP, CROPS = 61, 96, 20_000
PAGE = Path(__file__).resolve().parent.parent / "docs" / "scale.md"


class Case(NamedTuple):
    """A case that is measured at one size and at ten times that size.

    Attributes:
        name: What is done.
        grows: What grows.
        prepare: Writes the input of a size, 1 or 10, into a folder.
        call: What is measured, given the folder.
    """

    name: str
    grows: str
    prepare: Callable[[Path, int], object]
    call: Callable[[Path], object]


def _spikes(planes: int, height: int, width: int, seed: int = 0) -> SpikeRecording:
    bits = np.random.default_rng(seed).integers(0, 256, (planes, height, width // 8), np.uint8)
    bits &= np.random.default_rng(seed + 1).integers(0, 256, bits.shape, np.uint8)  # a rate of 1/4
    return SpikeRecording(bits, width, fps=20_000.0, rate_scale=0.5)


def _raw(folder: Path, count: int, planes: int, height: int, width: int) -> None:
    for number in range(count):
        path = folder / "raw" / "train" / f"r{number:05d}.dat"
        path.parent.mkdir(parents=True, exist_ok=True)
        recording = _spikes(planes, height, width, number)
        write_recording(recording, path, with_sidecar=True, overwrite=True)


def _take(path: Path) -> Take:
    return Take(read_recording(path))


def _takes(folder: Path) -> dict[str, Callable[[], Take]]:
    files = sorted((folder / "raw" / "train").glob("*.dat"))
    return {path.stem: functools.partial(_take, path) for path in files}


def _build(folder: Path, jobs: int = 1) -> None:
    build_archive(folder / "built.h5", _takes(folder), overwrite=True, n_jobs=jobs)


def _many(folder: Path, size: int) -> None:
    with ArchiveWriter(folder / "many.h5") as writer:
        for number in range(100 * size):
            writer.add(f"r{number:06d}", _spikes(CLIP, 128, 128, number % 7), split="train")


def _crops(folder: Path) -> None:
    generator = np.random.default_rng(0)
    with SpikeArchive(folder / "many.h5") as archive:
        names = archive.names()
        for _ in range(CROPS):
            top, left = (int(generator.integers(0, most)) for most in (128 - CROP, 4))
            part = {"rows": slice(top, top + CROP), "byte_columns": slice(left, left + CROP // 8)}
            archive.read_packed(names[generator.integers(len(names))], 0, CLIP, **part)


def _one(folder: Path) -> SpikeRecording:
    return read_recording(folder / "raw" / "train" / "r00000.dat")


def _aligned(folder: Path) -> None:
    method = require_ability(load("tfi-aligned"), Reconstructs, "tfi-aligned")
    for _ in method.reconstruct_stream(_one(folder), [150, 180, 210, 240], rate_scale=0.5):
        pass


def _tfi(folder: Path) -> None:
    method, recording = require_ability(load("tfi"), Reconstructs, "tfi"), _one(folder)
    for _ in method.reconstruct_stream(recording, range(len(recording)), rate_scale=0.5):
        pass


def _sci(folder: Path) -> None:
    path = str(folder / "raw" / "train" / "r00000.dat")
    compress(path, out=str(folder / "a.sci"), overwrite=True)


def _planes(most: int) -> Callable[[Path, int], None]:
    return lambda folder, size: _raw(folder, 1, most * size // GROWTH, HEIGHT, WIDTH)


def _pixels(planes: int) -> Callable[[Path, int], None]:
    sides = {1: (HEIGHT, WIDTH), GROWTH: (1000, 1000)}
    return lambda folder, size: _raw(folder, 1, planes, *sides[size])


def _step(batches: Iterator[dict[str, Any]]) -> Callable[[], object]:
    network, loss = STIR(), STIRLoss()
    optimizer = adam(network.parameters(), 1e-6)

    def run() -> None:
        batch = unpacked(next(batches))
        total = loss(network.pyramid(batch["spikes"].float()), batch["image"])["total"]
        optimizer.zero_grad()
        total.backward()
        optimizer.step()

    return run


def _lossless(folder: Path) -> None:
    lossless.write(_one(folder), folder / "a.spl", overwrite=True)


def _built(folder: Path, size: int) -> None:
    _planes(30_000)(folder, size)
    _build(folder)


CASES = (
    Case("archive build", "planes", _planes(30_000), _build),
    Case("archive build", "pixels", _pixels(1000), _build),
    Case("archive build", "recordings", lambda *of: _raw(of[0], 100 * of[1], CLIP, 64, 64), _build),
    Case("archive verify", "planes", _built, lambda folder: verify_archive(folder / "built.h5")),
    Case(f"read {CROPS} crops {CLIP}x{CROP}x{CROP}", "recordings", _many, _crops),
    Case("reconstruct, tfi, every plane", "planes", _planes(20_000), _tfi),
    Case("reconstruct, tfi, every plane", "pixels", _pixels(400), _tfi),
    Case("reconstruct, tfi-aligned, 4 images", "pixels", _pixels(400), _aligned),
    Case("compress to .spl", "planes", _planes(2000), _lossless),
    Case("compress to .spl", "pixels", _pixels(40), _lossless),
    Case("compress, sci", "planes", lambda *of: _raw(of[0], 1, 70 * of[1], 128, 128), _sci),
)
#: Cases whose work does not grow with the number of recordings.
SAME_WORK = (f"read {CROPS} crops {CLIP}x{CROP}x{CROP}",)


def measure(number: int, folder: Path) -> None:
    """Print seconds and the growth of memory in MB of one call, in this process (Linux)."""
    load("sci")  # imports the libraries of the methods
    began = time.perf_counter()
    memory = added_bytes(lambda: CASES[number].call(folder))
    print(json.dumps([time.perf_counter() - began, max(0.0, memory / 1e6)]))


def _measured(number: int, folder: Path) -> tuple[float, float]:
    line = [sys.executable, "-m", "benchmarks.scale", "--measure", str(number), str(folder)]
    process = subprocess.run(line, check=True, capture_output=True, text=True)
    seconds, memory = json.loads(process.stdout.splitlines()[-1])
    return seconds, memory


def growth() -> list[str]:
    """Return a line of the table for each case."""
    lines = []
    for number, case in enumerate(CASES):
        with tempfile.TemporaryDirectory() as name:
            folders = [Path(name, str(size)) for size in (1, GROWTH)]
            for folder, size in zip(folders, (1, GROWTH), strict=True):
                folder.mkdir()
                case.prepare(folder, size)
            seconds, memory = zip(*(_measured(number, one) for one in folders), strict=True)
        work = 1 if case.name in SAME_WORK else GROWTH
        lines.append(
            f"| {case.name} | {case.grows} | {seconds[0]:.3g} | {seconds[1]:.3g} | "
            f"{seconds[1] / seconds[0] / work:.2f} | {memory[0]:.0f} | {memory[1]:.0f} |"
        )
        print(lines[-1], flush=True)
    return lines


def _copy(folder: Path) -> None:
    """Copy the recordings with checksums, the minimum work of building an archive."""
    for path in sorted((folder / "raw" / "train").glob("*.dat")):
        data = path.read_bytes()
        hashlib.sha256(data).digest()
        (folder / "copy").write_bytes(data)


def workers() -> list[str]:
    """Return the lines about processes: building, Dask, and a loader during training."""
    lines = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _raw(folder, 8, 6000, HEIGHT, WIDTH)
        options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
        with LocalCluster(**options) as cluster:
            address = cluster.scheduler_address
            calls: list[Callable[[], object]] = [
                lambda: _copy(folder),
                lambda: _build(folder),
                lambda: _build(folder, 2),
                lambda: build_archive(
                    folder / "built.h5", _takes(folder), overwrite=True, cluster=address
                ),
            ]
            copy, one, two, dask = alternate(calls, repeats=REPEATS)
        size = sum(path.stat().st_size for path in folder.glob("raw/train/*.dat")) / 1e6
    lines += [
        f"| archive build, one process, against copying with SHA-256 | {size / one:.0f} MB/s | "
        f"{size / copy:.0f} MB/s | {copy / one:.2f} | 0.6 |",
        f"| archive build, two processes, against one | {size / two:.0f} MB/s | "
        f"{size / one:.0f} MB/s | {one / two:.2f} | 1.7 |",
        f"| archive build, two Dask workers, against two processes | {size / dask:.0f} MB/s | "
        f"{size / two:.0f} MB/s | {two / dask:.2f} | 0.9 |",
    ]
    with tempfile.TemporaryDirectory() as name:
        archive = tiny_archive(Path(name, "a.h5"), 101, 128, 128)
        data = ReconstructionDataModule(
            str(archive), CLIP, crop=CROP, batch_size=4, seed=0, workers=1, samples_per_epoch=4000
        )
        batches = iter(data.train_dataloader())
        calls = [_step(itertools.repeat(next(batches))), _step(batches)]
        cached, loaded = alternate(calls, repeats=10)
    lines.append(
        f"| STIR training step 4x{CLIP}x{CROP}x{CROP} with a loader, against one batch | "
        f"{1 / loaded:.2f} per s | {1 / cached:.2f} per s | {cached / loaded:.2f} | 0.95 |"
    )
    print(*lines, sep="\n", flush=True)
    return lines


def main() -> None:
    """Measure, and update the two tables of docs/scale.md."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":", 1)[0])
    parser.add_argument("--measure", nargs=2, metavar=("NUMBER", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(int(arguments.measure[0]), Path(arguments.measure[1]))
        return
    tables = {"growth": growth(), "workers": workers()}
    text = PAGE.read_text(encoding="utf-8")
    for mark, lines in tables.items():
        head, rest = text.split(f"<!-- {mark} -->\n", 1)
        names, tail = rest.split("\n|---", 1)
        rule, tail = tail.split("\n", 1)
        end = tail[tail.index(f"<!-- end of {mark} -->") :]
        text = "".join(
            [head, f"<!-- {mark} -->\n", names, "\n|---", rule, "\n", "\n".join(lines), "\n", end]
        )
    PAGE.write_text(text, encoding="utf-8")
    print(f"{PAGE} ({platform.machine()}, {os.cpu_count()} cores)")


if __name__ == "__main__":
    main()
