"""Recordings and archives by address, as ``s3://bucket/street.dat``, through a local cache."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any, Final

from spike_zoo.errors import FormatError, MissingFileError
from spike_zoo.files import new_file
from spike_zoo.formats.partial_copies import has_blocks, start_copy
from spike_zoo.formats.remote_files import (
    INDEX,
    SOURCE,
    cache_folder,
    file_system,
    make_room,
    version_of,
)

_SIDECAR: Final = ".yaml"
_IN_BLOCKS: Final = (".dat", ".h5", ".hdf5")  # formats that are read in parts


def is_address(path: str | Path) -> bool:
    """Return whether a text is an address and no path: ``https://host/street.dat``."""
    return isinstance(path, str) and "://" in path


def local_path(path: str | Path) -> Path:
    """Return a path as it is, or the path of a local copy of what an address names.

    Of ``.dat`` and HDF5 files, and of the shards of an archive, blocks of 8 MiB are copied when
    they are read; other files are copied as a whole. Copies lie in the folder that
    ``SPIKE_ZOO_CACHE`` names, by default ``~/.cache/spike_zoo``. If all of them take more than
    ``SPIKE_ZOO_CACHE_GB`` (50), those that were used least lately are removed.

    Raises:
        UsageError: If fsspec, or what it needs for the address, is not installed.
        MissingFileError: If there is nothing at the address, or it cannot be read.
    """
    if not (isinstance(path, str) and is_address(path)):
        return Path(path)
    copy = _copied(path)
    if not copy.exists():  # removed for room
        _copied.cache_clear()
        copy = _copied(path)
    return copy


@functools.cache
def _copied(address: str) -> Path:
    system, inside = file_system(address)
    try:
        facts = system.info(inside)
        if facts.get("type") == "directory" or not Path(inside).suffix:
            return _index_copied(system, inside, address)
        folder = cache_folder(f"{address} {version_of(facts)}")
        target = folder / Path(inside).name
        if system.exists(inside + _SIDECAR):
            _fetch(system, inside + _SIDECAR, target.with_name(target.name + _SIDECAR))
        if target.suffix.lower() in _IN_BLOCKS and has_blocks(system, inside, facts.get("size")):
            start_copy(target, address, facts["size"], version_of(facts))
        else:
            _fetch(system, inside, target)
    except (FileNotFoundError, PermissionError, OSError) as error:
        raise MissingFileError(f"{address}: cannot be read ({error})", path=address) from error
    return target


def _index_copied(system: Any, inside: str, address: str) -> Path:  # noqa: ANN401  (fsspec's)
    """Copy the index of a sharded archive, and note where its shards are."""
    inside = inside.rstrip("/")
    facts = system.info(f"{inside}/{INDEX}")
    folder = cache_folder(f"{address} {version_of(facts)}")
    _fetch(system, f"{inside}/{INDEX}", folder / INDEX)
    (folder / SOURCE).write_text(address.rstrip("/"), encoding="utf-8")
    return folder


def is_remote(folder: Path) -> bool:
    """Return whether a folder is the local copy of a sharded archive."""
    return (folder / SOURCE).is_file()


def fetch_shard(file: Path, size: int) -> None:
    """Begin the copy of a shard in the local folder of its archive, unless it is there.

    Args:
        file: Where it is expected.
        size: Its size in bytes by the index.

    Raises:
        MissingFileError: If it cannot be read.
        FormatError: If it has another size.
    """
    address = f"{(file.parent / SOURCE).read_text(encoding='utf-8')}/{file.name}"
    if file.is_file():
        os.utime(file)
        return
    system, inside = file_system(address)
    try:
        facts = system.info(inside)
        if facts.get("size") not in (None, size):
            raise FormatError(f"{address}: has {facts['size']} bytes and not the {size} of {INDEX}")
        if has_blocks(system, inside, size):
            start_copy(file, address, size, version_of(facts))
        else:
            _fetch(system, inside, file)
    except (FileNotFoundError, PermissionError, OSError) as error:
        raise MissingFileError(f"{address}: cannot be read ({error})", path=address) from error


def _fetch(system: Any, inside: str, target: Path) -> None:  # noqa: ANN401  (fsspec's)
    """Copy a remote file to a path, which appears when it is complete."""
    if not target.is_file():
        with new_file(target, overwrite=True) as part:
            system.get_file(inside, str(part))
        make_room(target)
    os.utime(target)
