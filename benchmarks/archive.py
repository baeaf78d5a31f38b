"""Size of archives and crops read per second, compared with a memory map of raw bits."""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from benchmarks.row import Row, alternate
from spike_zoo import SpikeArchive, SpikeRecording, Take, read_recording
from spike_zoo.archive import ArchiveWriter, build_archive, open_archive

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Read = Callable[[int, int, int, int], NDArray[np.uint8]]

PLANES, HEIGHT, ROW_BYTES, RECORDINGS = 301, 250, 50, 8
CLIP, CROP, CROPS = 61, 96, 200
MANY = 2000  # recordings; more take minutes to write
SIZE_GOAL, COLD_GOAL, CROP_GOAL, TABLE_GOAL, JOINED_GOAL = 1.012, 0.5, 0.5, 0.1, 0.95


def _sample_clip() -> Path:
    root = Path(__file__).resolve().parent.parent
    return Path(os.environ.get("SPIKE_ZOO_SHARED", root.parent / "shared")) / "data" / "data.dat"


def _spikes_bytes(path: Path) -> int:
    with h5py.File(path, "r") as file:
        return sum(group["spikes"].id.get_storage_size() for group in file["recordings"].values())


def _sizes(folder: Path) -> list[Row]:
    """Measure stored spikes relative to raw bits, for default and cold storage."""
    clip = _sample_clip()
    if not clip.is_file():
        return []
    recording = read_recording(clip, height=250, width=400)
    raw = clip.stat().st_size
    results = []
    for name, options, goal in (
        ("spikes in an archive", (None, "wpack"), SIZE_GOAL),
        ("spikes in cold storage (gzip)", ("gzip", "wpack"), None),
        ("the same with bits along time", ("gzip", "tpack"), COLD_GOAL),
    ):
        path = folder / "size.h5"
        compression, layout = options
        with ArchiveWriter(
            path, overwrite=True, compression=compression, bit_layout=layout
        ) as writer:
            writer.add("clip", recording)
        results.append(Row(name, _spikes_bytes(path) / 1e6, "MB", raw / 1e6, "raw bits", goal))
    return results


def _crops(folder: Path) -> list[Row]:
    """Measure random crops of 61x96x96, packed and unpacked."""
    generator = np.random.default_rng(0)
    shape = (RECORDINGS, PLANES, HEIGHT, ROW_BYTES)
    bits = generator.integers(0, 256, shape, dtype=np.uint8)
    bits.tofile(folder / "raw")
    with ArchiveWriter(folder / "crops.h5") as writer:
        for number, packed in enumerate(bits):
            writer.add(str(number), SpikeRecording(packed, ROW_BYTES * 8))
    raw = np.memmap(folder / "raw", np.uint8, mode="r", shape=shape)
    archive = SpikeArchive(folder / "crops.h5")
    most = (RECORDINGS, PLANES - CLIP, HEIGHT - CROP, ROW_BYTES - CROP // 8)
    places = generator.integers(0, most, (CROPS, 4)).tolist()

    def from_archive(number: int, start: int, top: int, left: int) -> NDArray[np.uint8]:
        return archive.read_packed(
            str(number),
            start,
            start + CLIP,
            rows=slice(top, top + CROP),
            byte_columns=slice(left, left + CROP // 8),
        )

    def from_map(number: int, start: int, top: int, left: int) -> NDArray[np.uint8]:
        rows, columns = slice(top, top + CROP), slice(left, left + CROP // 8)
        return np.ascontiguousarray(raw[number, start : start + CLIP, rows, columns])

    results = []
    for name, ours, limit in (
        ("61x96x96 crops, packed", from_archive, from_map),
        ("61x96x96 crops, unpacked", _unpacked(from_archive), _unpacked(from_map)),
    ):
        seconds, least = alternate([_for_all(ours, places), _for_all(limit, places)], repeats=7)
        figures = CROPS / seconds, "crops/s", CROPS / least, "memory map"
        results.append(Row(name, *figures, CROP_GOAL, at_least=True))
    results.append(_joined_crops(folder, archive, places))
    archive.close()
    return results


def _joined_crops(folder: Path, archive: SpikeArchive, places: list[list[int]]) -> Row:
    """Measure the same crops from four files."""
    names = archive.names()
    files = [
        build_archive(
            folder / f"part-{part}.h5",
            {name: partial(archive.take, name) for name in names[part::4]},
        )
        for part in range(4)
    ]
    joined = open_archive(files)

    def crops_of(source: SpikeArchive) -> Callable[[int, int, int, int], NDArray[np.uint8]]:
        return lambda number, start, top, left: source.read_packed(
            str(number),
            start,
            start + CLIP,
            rows=slice(top, top + CROP),
            byte_columns=slice(left, left + CROP // 8),
        )

    calls = [_for_all(crops_of(one), places) for one in (joined, archive)]
    many, single = alternate(calls, repeats=7)
    figures = CROPS / many, "crops/s", CROPS / single, "one file"
    joined.close()
    return Row("61x96x96 crops of four files", *figures, JOINED_GOAL, at_least=True)


def _table(folder: Path) -> list[Row]:
    """Measure the lookups of a loader in an archive of many small labelled recordings."""
    bits = np.random.default_rng(0).integers(0, 256, (MANY, 41, 16, 2), dtype=np.uint8)
    with ArchiveWriter(folder / "many.h5") as writer:
        for number, packed in enumerate(bits):
            recording = SpikeRecording(packed, 16, rate_scale=0.6)
            writer.add(str(number), Take(recording, label=number % 10), split="train")
    shutil.copyfile(folder / "many.h5", folder / "bare.h5")
    with h5py.File(folder / "bare.h5", "r+") as file:
        del file["contents"]

    def read_of(name: str, read: Callable[[SpikeArchive], object]) -> Callable[[], object]:
        def open_and_read() -> None:
            with SpikeArchive(folder / name) as archive:
                read(archive)

        return open_and_read

    results = []
    for name, read in (
        (f"sizes, scales and labels of {MANY} recordings", _all_facts),
        (f"digest of {MANY} recordings", SpikeArchive.data_sha256),
    ):
        calls = [read_of(file, read) for file in ("many.h5", "bare.h5")]
        seconds, without_table = alternate(calls, repeats=1)
        results.append(Row(name, seconds, "s", without_table, "without the table", TABLE_GOAL))
    return results


def _all_facts(archive: SpikeArchive) -> object:
    return [archive.facts(name) for name in archive]


def _unpacked(read: Read) -> Read:
    return lambda *place: np.unpackbits(read(*place), axis=-1, bitorder="little")


def _for_all(read: Read, places: list[list[int]]) -> Callable[[], object]:
    return lambda: [read(*place) for place in places]


def rows() -> list[Row]:
    """Measure sizes, crops and lookups."""
    with tempfile.TemporaryDirectory() as name:
        return [*_sizes(Path(name)), *_crops(Path(name)), *_table(Path(name))]
