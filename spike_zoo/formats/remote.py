"""Cached local copies of remote recordings and archives, such as ``s3://bucket/street.dat``."""

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
    """Return whether a value is an address such as ``https://host/street.dat``, not a path."""
    return isinstance(path, str) and "://" in path


def local_path(path: str | Path) -> Path:
    """Return a path unchanged, or the path of the local copy of an address.

    ``.dat`` and HDF5 files, and shards of an archive, are copied in blocks of 8 MiB when they are
    read; other files are copied completely. Copies are stored in the folder ``SPIKE_ZOO_CACHE``, by
    default ``~/.cache/spike_zoo``. If they take more than ``SPIKE_ZOO_CACHE_GB`` (default 50), the
    least recently used ones are removed.

    Raises:
        UsageError: If fsspec, or its package for the address, is not installed.
        MissingFileError: If the address does not exist or cannot be read.
    """
    if not (isinstance(path, str) and is_address(path)):
        return Path(path)
    copy = _copied(path)
    if not copy.exists():  # removed because the cache was full
        _copied.cache_clear()
        copy = _copied(path)
    return copy


@functools.cache
def _copied(address: str) -> Path:
    """Copy a remote file with its sidecar, or the index of a sharded archive; return its path."""
    system, inside = file_system(address)
    try:
        facts = system.info(inside)
        if facts.get("type") == "directory" or not Path(inside).suffix:
            return _copy_index(system, inside, address)
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


def _copy_index(system: Any, inside: str, address: str) -> Path:  # noqa: ANN401  (fsspec's)
    """Copy the index of a sharded archive, and store its address; return the local folder."""
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
    """Start the copy of a shard into the local folder of its archive, unless it exists.

    Args:
        file: Path of the copy.
        size: Size in bytes according to the index.

    Raises:
        MissingFileError: If the remote file cannot be read.
        FormatError: If the remote file has another size.
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
    """Copy a remote file to a path, unless it exists; the file is created when it is complete."""
    if not target.is_file():
        with new_file(target, overwrite=True) as part:
            system.get_file(inside, str(part))
        make_room(target)
    os.utime(target)
