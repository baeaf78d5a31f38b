"""Changes of files that several programs change: lock, read, replace."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from spike_zoo.errors import RecordingError
from spike_zoo.utils.files import (
    make_folders,
    new_file,
    open_locked,
    remove_empty,
    short_name,
    write_error,
)

_LOCKS = threading.local()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock a file that other programs change, too, and wait until they have changed it.

    The lock is a hidden file beside it, so reading never waits. It is removed at the end. An inner
    block of the same thread for the same file does not wait.
    """
    place = path.absolute().with_name(f".{short_name(path)}.lock")
    if place in _held():
        yield
        return
    created: list[Path] = []
    try:
        make_folders(path.parent, created)
        file = open_locked(place, wait=True)
    except OSError as error:
        raise write_error(path, error) from error
    _held().add(place)
    try:
        yield
    finally:
        _held().remove(place)
        with contextlib.suppress(OSError):
            place.unlink()
        if file is not None:
            file.close()
        remove_empty(created)


@contextlib.contextmanager
def changed_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path for the new content of a file that other programs change, too.

    Read the old content inside the block, not through a cache: no other program changes it until
    the block ends. Errors are those of :func:`new_file`, and RecordingError if the file has changed
    meanwhile, which is possible on file systems without locks.
    """
    with locked(path):
        before = file_version(path)
        with new_file(path, overwrite=True) as part:
            yield part
            if file_version(path)[1:] != before[1:]:  # some network file systems change the inode
                raise RecordingError.at(
                    path,
                    "was changed by another program meanwhile and is left as that program wrote "
                    "it; run the command again",
                )


def file_version(path: Path) -> tuple[int, ...]:
    """Return inode, size and time of a file, which identify its content; () without a file."""
    with contextlib.suppress(FileNotFoundError):
        status = path.stat()
        return status.st_ino, status.st_size, status.st_mtime_ns
    return ()


def _held() -> set[Path]:
    """Return the lock files that this thread holds."""
    held: set[Path] = _LOCKS.__dict__.setdefault("held", set())
    return held
