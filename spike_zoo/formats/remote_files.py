"""Access to remote files through fsspec, and the cache folder of local copies."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from spike_zoo.errors import MissingFileError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

CACHE_VARIABLE: Final = "SPIKE_ZOO_CACHE"
LIMIT_VARIABLE: Final = "SPIKE_ZOO_CACHE_GB"
MARKER: Final = ".blocks"
"""Suffix of the marker of a copy: a file with the address and the fetched blocks of the copy."""
INDEX: Final = "index.json"
SOURCE: Final = ".source"
"""File in the local folder of a sharded archive with the address of the archive."""
_LIMIT: Final = 50.0


def file_system(address: str) -> tuple[Any, str]:
    """Return the file system of an address, and the path in it.

    Raises:
        UsageError: If a required package is not installed.
        MissingFileError: If the server does not respond.
    """
    try:
        import fsspec

        system, inside = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise UsageError(
            f"{address}: {error}. Addresses need: pip install 'spike-zoo[remote]', and for s3:// "
            "also s3fs, for gs:// gcsfs"
        ) from error
    except OSError as error:  # some file systems connect here
        raise MissingFileError(f"{address}: cannot be read ({error})", path=address) from error
    return system, inside


def version_of(facts: dict[str, Any]) -> str:
    """Return a string that changes with the content of a remote file: size, ETag and time."""
    keys = ("size", "ETag", "etag", "LastModified", "Last-Modified", "mtime", "last_modified")
    return " ".join(str(facts[key]) for key in keys if facts.get(key) is not None)


def _cache() -> Path:
    return Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "spike_zoo")


def cache_folder(key: str) -> Path:
    """Create the cache folder of a key and return its path."""
    folder = _cache() / hashlib.sha256(key.encode()).hexdigest()[:20]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def make_room(kept: Path) -> None:
    """Remove the least recently used files, except ``kept``, until the cache is below its limit."""
    limit = float(os.environ.get(LIMIT_VARIABLE) or _LIMIT) * 1e9
    files = sorted(_files(_cache()))
    total = sum(size for _, size, _ in files)
    for _, size, path in files:
        if total <= limit:
            return
        if path != kept and path.name not in (INDEX, SOURCE) and path.suffix != MARKER:
            total -= size
            path.unlink(missing_ok=True)
            path.with_name(path.name + MARKER).unlink(missing_ok=True)


def _files(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """Yield time of last use, size and path of each file; skip files that disappear meanwhile."""
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                status = path.stat()
                size = min(status.st_size, status.st_blocks * 512)  # partial copies are sparse
                yield status.st_mtime, size, path
