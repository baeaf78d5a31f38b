"""Cached copies of recordings and archives given by an address, such as ``s3://bucket/a.dat``."""

import contextlib
import hashlib
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from spike_zoo.errors import MissingFileError, RecordingError, UsageError, first_line
from spike_zoo.utils.files import NOT_WRITABLE, new_file
from spike_zoo.utils.locks import locked

CACHE_VARIABLE: Final = "SPIKE_ZOO_CACHE"
LIMIT_VARIABLE: Final = "SPIKE_ZOO_CACHE_GB"
_LIMIT: Final = 50.0
_SIDECAR: Final = ".yaml"
_SECONDS_PER_LINE: Final = 2.0  # between two lines about progress
#: Keys of fsspec's facts about a file that change with its content.
_VERSION: Final = (
    *("size", "ETag", "etag", "Content-MD5", "LastModified", "Last-Modified", "last_modified"),
    *("mtime", "updated"),
)
#: Base classes, other than OSError, of the errors of fsspec's file systems.
_CLIENT_ERRORS: Final = (
    ("aiohttp", "ClientError"),
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("gcsfs.retry", "HttpError"),
    ("google.auth.exceptions", "GoogleAuthError"),
)
_LOG = logging.getLogger(__name__)


def is_address(path: str | Path) -> bool:
    """Return whether a value is an address such as ``https://host/street.dat``, not a path."""
    return isinstance(path, str) and "://" in path


def stem_of(path: str | Path) -> str:
    """Return the name of the file at a path or address, without suffix and query."""
    return Path(str(path).partition("?")[0] if is_address(path) else path).stem


def local_path(path: str | Path) -> Path:
    """Return a path unchanged, or the path of the cached copy of an address.

    A file and its sidecar are copied once for each version of the file, given by its ETag, time of
    modification and size. Copies are stored in the folder ``SPIKE_ZOO_CACHE``, by default
    ``~/.cache/spike_zoo``. If they take more than ``SPIKE_ZOO_CACHE_GB`` (default 50), the least
    recently used ones are removed; programs that have opened such a file can still read it.

    The suffix and the sidecar follow from the part of the address before ``?``: the sidecar of
    ``https://host/a.dat?download=1`` is ``https://host/a.dat.yaml?download=1``.

    Raises:
        UsageError: If fsspec, or its package for the address, is not installed.
        MissingFileError: If the address does not exist or cannot be read.
        RecordingError: If the transfer ends early.
    """
    if not (isinstance(path, str) and is_address(path)):
        return Path(path)
    system, inside = _file_system(path)
    with _named_errors(path):
        facts = system.info(inside)
    if facts.get("type") == "directory":
        raise MissingFileError.at(path, "is a folder; give the address of a file")
    version = " ".join(str(facts[key]) for key in _VERSION if facts.get(key) is not None)
    place, mark, query = inside.partition("?")
    name = Path(unquote(place) if path.startswith("http") else place).name
    folder = _cache() / hashlib.sha256(f"{path} {version}".encode()).hexdigest()[:20]
    target = folder / name
    with locked(target):  # processes of one run copy a file once
        if not target.is_file():
            _fetch(system, inside, target, path, facts.get("size"))
        _fetch_sidecar(system, f"{place}{_SIDECAR}{mark}{query}", target, path)
    with contextlib.suppress(OSError):
        # a constant time of modification: a copy that is fetched again is the same file for its
        # readers. The time of access is that of the last use
        os.utime(target, (time.time(), 0))
    _make_room(folder)
    return target


def missing_file(path: Path) -> MissingFileError:
    """Return the error for a file that does not exist, or was removed from the cache."""
    message = "there is no such file"
    if _cache() in path.parents:
        message = (
            f"was removed from the cache; set {LIMIT_VARIABLE} to more than the total size of the "
            "files in use, and start again"
        )
    return MissingFileError.at(path, message)


def _file_system(address: str) -> tuple[Any, str]:
    """Return fsspec's file system of an address, and the path in it."""
    # signatures in addresses must not be quoted again
    options = {"encoded": True} if address.startswith("http") and "%" in address else {}
    try:
        import fsspec

        with _named_errors(address):  # some file systems connect here
            system, inside = fsspec.core.url_to_fs(address, **options)
    except (ImportError, ValueError) as error:
        if isinstance(error, MissingFileError):
            raise
        raise UsageError(
            f"{address}: {error}. Addresses need: pip install 'spike-zoo[remote]', and for s3:// "
            "also s3fs, for gs:// gcsfs"
        ) from error
    return system, inside


@contextlib.contextmanager
def _named_errors(address: str) -> Iterator[None]:
    try:
        yield
    except _transfer_errors() as error:
        reason = first_line(error.__cause__ or error)
        raise MissingFileError.at(address, f"cannot be read ({reason})") from error


def _transfer_errors() -> tuple[type[Exception], ...]:
    """Return the base classes of errors of the imported packages of file systems."""
    known = [
        (sys.modules[module], name) for module, name in _CLIENT_ERRORS if module in sys.modules
    ]
    return OSError, *(getattr(module, name) for module, name in known)


def _fetch(system: Any, inside: str, target: Path, address: str, size: int | None) -> None:  # noqa: ANN401  (fsspec's)
    """Copy a remote file; the copy is created when it is complete."""
    from fsspec.callbacks import Callback

    callback = Callback(hooks={"log": _progress_of(address)})
    with new_file(target, overwrite=True) as part:
        reason = ""
        try:
            system.get_file(inside, str(part), callback=callback)
        except _transfer_errors() as error:
            if isinstance(error, OSError) and error.errno in NOT_WRITABLE:
                raise
            reason = f" ({first_line(error)})"
        copied = part.stat().st_size if part.is_file() else 0
        if reason or copied != (copied if size is None else size):
            expected = "" if size is None else f" of {size}"
            raise RecordingError.at(
                address, f"the transfer ended after {copied}{expected} bytes{reason}; try again"
            )


def _progress_of(address: str) -> Callable[..., None]:
    last = time.monotonic()

    def log(size: int | None, value: int, **_: Any) -> None:
        nonlocal last
        if time.monotonic() - last > _SECONDS_PER_LINE:
            last = time.monotonic()
            total = "" if size is None else f" of {size / 1e6:.0f}"
            _LOG.info("%s: %.0f%s MB copied into the cache", address, value / 1e6, total)

    return log


def _fetch_sidecar(system: Any, inside: str, target: Path, address: str) -> None:  # noqa: ANN401  (fsspec's)
    """Copy the sidecar of a remote file, which may change while the file does not."""
    sidecar = target.with_name(target.name + _SIDECAR)
    try:
        text = system.cat_file(inside)
    except _transfer_errors() as error:
        # stores without permission to list answer 403 for files that do not exist
        status = getattr(error, "status", None)
        is_missing = isinstance(error, FileNotFoundError | PermissionError)
        if not is_missing and (status is None or not 400 <= status < 500):
            raise MissingFileError.at(
                address, f"its sidecar cannot be read ({first_line(error)})"
            ) from error
        sidecar.unlink(missing_ok=True)
        return
    if not sidecar.is_file() or sidecar.read_bytes() != text:
        with new_file(sidecar, overwrite=True) as part:
            part.write_bytes(text)


def _cache() -> Path:
    return Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "spike_zoo") / "remote"


def _make_room(current: Path) -> None:
    """Remove the least recently used copies, except one, until the cache is below its limit."""
    text = os.environ.get(LIMIT_VARIABLE) or _LIMIT
    try:
        limit = float(text) * 1e9
    except ValueError as error:
        raise UsageError(f"{LIMIT_VARIABLE}={text}: expected a number of gigabytes") from error
    copies = sorted(filter(None, map(_usage, _cache().iterdir())))
    total = sum(size for _, size, _ in copies)
    for _, size, folder in copies:
        if total > limit and folder != current:
            total -= size
            shutil.rmtree(folder, ignore_errors=True)


def _usage(folder: Path) -> tuple[float, int, Path] | None:
    """Return time of last use, size and path of a copy; None while it is being made or removed."""
    try:
        files = [(file, file.stat()) for file in folder.iterdir() if file.suffix != ".lock"]
    except OSError:
        return None
    if not files or any(file.suffix == ".part" for file, _ in files):
        return None
    used = max(status.st_atime for _, status in files)
    return used, sum(status.st_size for _, status in files), folder
