"""Parsers to fuzz, with functions that write valid files and read them completely."""

import functools
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

import spike_zoo
from spike_zoo.archive import verify_archive
from spike_zoo.archive.layouts.detection import find_takes
from spike_zoo.checkpoints.loading import save_weights
from spike_zoo.checkpoints.saved_model import read_checkpoint
from spike_zoo.checkpoints.weight_files import read_weights
from spike_zoo.cli.info import info
from spike_zoo.coding import BitstreamReader
from spike_zoo.coding.spl.codec import salvage
from spike_zoo.formats import read_recording, write_recording
from spike_zoo.media.frames import find_footage
from spike_zoo.media.images import load_image
from spike_zoo.media.video import save_video
from spike_zoo.simulation.datasets.image_sets import image_request
from spike_zoo.tables.read import read_points, read_table_file
from spike_zoo.tables.sweeps.spec import read_sweep
from spike_zoo.training.configs import check_configs
from spike_zoo.training.stored import StoredRecord, read_records, store_record
from tests.conftest import ROOT
from tests.fuzz import mutators as m
from tests.helpers.archives import write_archive
from tests.helpers.bitstreams import bitstream, encode_symbols, random_symbols, small_header
from tests.helpers.checkpoints import write_checkpoint
from tests.helpers.image_trees import write_cifar, write_image, write_mnist, write_septuplets
from tests.helpers.results import make_result
from tests.helpers.streams import random_spikes
from tests.helpers.tables import write_spec

_MAX_READ = 1 << 24  # bits; larger recordings are not read, because callers check the size first


class Target(NamedTuple):
    """A parser.

    Attributes:
        write: Writes valid files into a folder.
        read: Reads the files of that folder, mutated or not.
        mutators: Suffix -> mutations of files with this suffix; any bytes by default.
    """

    write: Callable[[Path], Any]
    read: Callable[[Path], Any]
    mutators: Mapping[str, tuple[m.Mutate, ...]] = MappingProxyType({})


def _write_as(name: str) -> Callable[[Path], Any]:
    return lambda folder: write_recording(random_spikes(24, 6, 16, seed=3), folder / name)


def _read_recordings(folder: Path) -> None:
    """Read every recording of a folder and run ``info`` on it."""
    for path in sorted(folder.iterdir()):
        if path.suffix in (".dat", ".npz", ".npy", ".h5", ".spl"):
            recording = read_recording(path)
            if np.prod(recording.shape, dtype=float) <= _MAX_READ:
                recording.read()
            info(str(path), json=True)


def _read_archive(folder: Path) -> None:
    (path,) = folder.glob("a*")
    verify_archive(path)
    with spike_zoo.SpikeArchive(path) as archive:
        for name in archive.names():
            archive[name].read()
            archive.images(name)
            archive.image_index(name)
        for split in archive.splits():
            archive.names(split)
        archive.data_sha256()


def _write_sci(folder: Path) -> None:
    payloads = [encode_symbols(random_symbols(200, seed)) for seed in range(3)]
    (folder / "a.sci").write_bytes(bitstream(small_header(3), payloads))


def _read_sci(folder: Path) -> None:
    path = folder / "a.sci"
    try:
        info(str(path), json=True)
    finally:
        for strict in (False, True):
            list(BitstreamReader(path, strict=strict))


def _read_spl(folder: Path) -> None:
    try:
        salvage(folder / "a.spl")
    finally:
        _read_recordings(folder)


def _write_weights(folder: Path) -> None:
    checkpoint = write_checkpoint(folder / "a.ckpt")
    save_weights(spike_zoo.load(checkpoint), folder / "a.safetensors")
    checkpoint.unlink()


def _load_weights(folder: Path) -> None:
    (path,) = folder.glob("a.*")
    read = read_checkpoint if path.suffix == ".ckpt" else read_weights
    read(path)
    spike_zoo.load(path)


def _write_records(folder: Path) -> None:
    make_result().write(folder / "result.json")
    (folder / "per_image.csv").write_text("name,plane,psnr\na,3,31.5\na,10,30.0\n")
    store_record(folder / "records.jsonl", "a", folder)


def _read_result(folder: Path) -> None:
    try:
        StoredRecord.of_run(folder)
    finally:
        read_records(folder / "records.jsonl")


def _read_table(folder: Path) -> None:
    read_table_file(folder / "table.yaml")
    read_points(folder / "points.csv")


def _write_table(folder: Path) -> None:
    write_spec(folder)
    (folder / "points.csv").write_text("name,bpp,psnr\nx264,0.1,30\nx264,0.2,31.5\n")


def _copied(file: str, name: str) -> Callable[[Path], Any]:
    return lambda folder: shutil.copyfile(ROOT / file, folder / name)


def _write_base(folder: Path) -> None:
    for split in ("train", "test"):
        write_recording(random_spikes(9, 8, 16), folder / "set" / split / "spike" / "a.dat")
        write_image(folder / "set" / split / "gt" / "a.png", 90, (8, 16))


def _read_base(folder: Path) -> None:
    takes = find_takes(folder / "set", layout="base", height=8, width=16)
    for job in takes.jobs.values():
        job()


def _takes_of(kind: str) -> Callable[[Path], Any]:
    def read(folder: Path) -> None:
        takes = image_request(kind, str(folder / "set"), 0, {}).takes()
        for jobs in takes.values():
            for job in list(jobs.values())[:1]:
                job()

    return read


def _write_video(folder: Path) -> None:
    frames = [np.full((1, 16, 24), level / 9, np.float32) for level in range(9)]
    save_video(frames, folder / "a.mp4", 25)


def _read_footage(folder: Path) -> None:
    for source in find_footage(folder / "a.mp4").values():
        list(source.read(0, len(source)))


def _read_images(folder: Path) -> None:
    for path in folder.iterdir():
        load_image(path)


_YAML = {".yaml": (m.text, m.any_bytes)}
TARGETS: dict[str, Target] = {
    "dat": Target(_write_as("a.dat"), _read_recordings, _YAML),
    "npz": Target(_write_as("a.npz"), _read_recordings, {".npz": (m.any_bytes, m.zipped)}),
    "npy": Target(_write_as("a.npy"), _read_recordings),
    "h5": Target(_write_as("a.h5"), _read_recordings, {".h5": (m.hdf5_bytes, m.hdf5)}),
    "archive": Target(
        lambda folder: write_archive(folder / "a.h5"),
        _read_archive,
        {".h5": (m.hdf5_bytes, m.hdf5, m.hdf5)},
    ),
    "sci": Target(_write_sci, _read_sci, {".sci": (m.any_bytes, m.sci_header)}),
    "spl": Target(_write_as("a.spl"), _read_spl, {".spl": (m.any_bytes, m.spl_header)}),
    "checkpoint": Target(
        lambda folder: write_checkpoint(folder / "a.ckpt"),
        _load_weights,
        {".ckpt": (m.any_bytes, m.zipped)},
    ),
    "safetensors": Target(
        _write_weights, _load_weights, {".safetensors": (m.any_bytes, m.safetensors)}
    ),
    "records": Target(
        _write_records,
        _read_result,
        {".json": (m.json_values, m.any_bytes), ".jsonl": (m.json_values, m.any_bytes)},
    ),
    "table": Target(_write_table, _read_table, {**_YAML, ".csv": (m.text, m.any_bytes)}),
    "sweep": Target(
        _copied("experiments/stir/sweep.yaml", "sweep.yaml"),
        lambda folder: read_sweep(folder / "sweep.yaml"),
        _YAML,
    ),
    "config": Target(
        _copied("configs/stir.yaml", "a.yaml"),
        lambda folder: check_configs(["--config", str(folder / "a.yaml")]),
        _YAML,
    ),
    "mnist": Target(
        lambda folder: write_mnist(folder / "set", range(4), range(3), packed=True),
        _takes_of("s-mnist"),
    ),
    "cifar": Target(
        lambda folder: write_cifar(folder / "set", range(5), range(2)), _takes_of("s-cifar")
    ),
    "septuplets": Target(
        lambda folder: write_septuplets(folder / "set", ["00001/0001"], ["00002/0001"]),
        _takes_of("s-vimeo"),
        {".txt": (m.text, m.any_bytes), ".png": (m.any_bytes, m.png)},
    ),
    "base layout": Target(_write_base, _read_base, {**_YAML, ".png": (m.any_bytes, m.png)}),
    "image": Target(
        lambda folder: write_image(folder / "a.png"),
        _read_images,
        {".png": (m.any_bytes, m.png)},
    ),
    "video": Target(_write_video, _read_footage),
}


@functools.cache
def valid_files(name: str, folder: Path) -> Path:
    """Return a cached folder with the valid files of a target."""
    place = folder / name.replace(" ", "-")
    place.mkdir(parents=True)
    TARGETS[name].write(place)
    return place
