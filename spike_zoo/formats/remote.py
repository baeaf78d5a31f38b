"""Recordings and archives by address, as ``s3://bucket/street.dat``: copies in a local cache."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from spike_zoo.errors import FormatError, MissingFileError, UsageError
from spike_zoo.files import new_file

if TYPE_CHECKING:
    from collections.abc import Iterator

CACHE_VARIABLE: Final = "SPIKE_ZOO_CACHE"
LIMIT_VARIABLE: Final = "SPIKE_ZOO_CACHE_GB"
_LIMIT: Final = 50.0
_SIDECAR: Final = ".yaml"
_SOURCE: Final = ".source"  # in the folder of a sharded archive: where it comes from
_INDEX: Final = "index.json"


def is_address(path: str | Path) -> bool:
    """Return whether a text is an address and no path: ``https://host/street.dat``."""
    return isinstance(path, str) and "://" in path


def local_path(path: str | Path) -> Path:
    """Return a path as it is, or the path of a local copy of what an address names.

    A file is copied as a whole with its sidecar, once for each version of it; of a sharded archive
    the index, and each shard when it is first read. Copies lie in the folder that
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
    system, inside = _file_system(address)
    try:
        facts = system.info(inside)
        if facts.get("type") == "directory" or not Path(inside).suffix:
            return _index_copied(system, inside, address)
        folder = _folder(f"{address} {_version(facts)}")
        target = folder / Path(inside).name
        if system.exists(inside + _SIDECAR):
            _fetch(system, inside + _SIDECAR, target.with_name(target.name + _SIDECAR))
        _fetch(system, inside, target)
    except (FileNotFoundError, PermissionError, OSError) as error:
        raise MissingFileError(f"{address}: cannot be read ({error})", path=address) from error
    return target


def _index_copied(system: Any, inside: str, address: str) -> Path:  # noqa: ANN401  (fsspec's)
    """Copy the index of a sharded archive, and note where its shards are."""
    inside = inside.rstrip("/")
    facts = system.info(f"{inside}/{_INDEX}")
    folder = _folder(f"{address} {_version(facts)}")
    _fetch(system, f"{inside}/{_INDEX}", folder / _INDEX)
    (folder / _SOURCE).write_text(address.rstrip("/"), encoding="utf-8")
    return folder


def is_remote(folder: Path) -> bool:
    """Return whether a folder is the local copy of a sharded archive."""
    return (folder / _SOURCE).is_file()


def fetch_shard(file: Path, size: int) -> None:
    """Copy a shard into the local folder of its archive, unless it is there.

    Args:
        file: Where it is expected.
        size: Its size in bytes by the index.

    Raises:
        MissingFileError: If it cannot be read.
        FormatError: If it has another size.
    """
    address = f"{(file.parent / _SOURCE).read_text(encoding='utf-8')}/{file.name}"
    system, inside = _file_system(address)
    try:
        _fetch(system, inside, file)
    except (FileNotFoundError, PermissionError, OSError) as error:
        raise MissingFileError(f"{address}: cannot be read ({error})", path=address) from error
    if (copied := file.stat().st_size) != size:
        file.unlink()
        raise FormatError(f"{address}: has {copied} bytes and not the {size} of {_INDEX}")


def _file_system(address: str) -> tuple[Any, str]:
    try:
        import fsspec

        system, inside = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise UsageError(
            f"{address}: {error}. Addresses need: pip install 'spike-zoo[remote]', and for s3:// "
            "also s3fs, for gs:// gcsfs"
        ) from error
    except OSError as error:  # some kinds connect here
        raise MissingFileError(f"{address}: cannot be read ({error})", path=address) from error
    return system, inside


def _version(facts: dict[str, Any]) -> str:
    """Return what changes with the content of a remote file."""
    known = ("size", "ETag", "etag", "LastModified", "Last-Modified", "mtime", "last_modified")
    return " ".join(str(facts[key]) for key in known if facts.get(key) is not None)


def _cache() -> Path:
    return Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "spike_zoo")


def _folder(key: str) -> Path:
    folder = _cache() / hashlib.sha256(key.encode()).hexdigest()[:20]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _fetch(system: Any, inside: str, target: Path) -> None:  # noqa: ANN401  (fsspec's)
    """Copy a remote file to a path, which appears when it is complete."""
    if not target.is_file():
        with new_file(target, overwrite=True) as part:
            system.get_file(inside, str(part))
        _make_room(target)
    os.utime(target)


def _make_room(kept: Path) -> None:
    """Remove the files that were used least lately, until the cache keeps to its limit."""
    limit = float(os.environ.get(LIMIT_VARIABLE) or _LIMIT) * 1e9
    files = sorted(_files(_cache()))
    total = sum(size for _, size, _ in files)
    for _, size, path in files:
        if total <= limit:
            return
        if path != kept and path.name not in (_INDEX, _SOURCE):
            total -= size
            path.unlink(missing_ok=True)


def _files(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """Yield time of last use, size and path of each file; other processes may remove some."""
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                status = path.stat()
                yield status.st_mtime, status.st_size, path
