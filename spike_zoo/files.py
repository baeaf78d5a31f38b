"""Atomic writes (temporary file, then rename), file trees, and the file that weights name."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import re
import secrets
import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from spike_zoo.errors import (
    ExistingFileError,
    FormatError,
    RecordingError,
    SpikeZooError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Suffix of a file that holds a network as a graph -> its format.
GRAPHS = {".onnx": "ONNX", ".pt2": "torch.export"}
EXPORT_NAME = "model.safetensors"  # the weights in the folder that export writes
WEIGHTS_FOLDER = Path(__file__).resolve().parent / "weights"
_MACHINE = re.sub(r"[^\w.-]", "_", platform.node()) or "here"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)


def shipped_weights() -> dict[str, Path]:
    """Return the weights inside the package: name -> file."""
    return {path.stem: path for path in sorted(WEIGHTS_FOLDER.glob("*.safetensors"))}


def entries_below(root: Path) -> list[Path]:
    """Return all files and folders below a folder, sorted; symbolic links to folders are followed.

    A link to a folder that contains it is listed, but not entered.
    """
    entries: list[Path] = []
    folders = [(root, frozenset({root.resolve()}))]
    while folders:
        folder, above = folders.pop()
        try:
            inside = list(folder.iterdir())
        except PermissionError:
            warnings.warn(f"{folder}: left out, no permission to read this folder", stacklevel=2)
            continue
        for entry in inside:
            entries.append(entry)
            if entry.is_dir() and (place := entry.resolve()) not in above:
                folders.append((entry, above | {place}))
    return sorted(entries)


@contextlib.contextmanager
def new_file(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path`` that becomes ``path`` when all went well.

    Missing folders are made. On any failure, Ctrl-C included, neither the temporary file nor the
    folders made for it stay behind, and what stood at ``path`` is untouched. What a killed process
    left of the same target is removed first.

    Raises:
        ExistingFileError: If ``path`` exists and ``overwrite`` is off.
        FormatError: If ``path`` is a folder.
        RecordingError: If the folder cannot be made or written.
    """
    check_absent(path, overwrite=overwrite)
    remove_leftovers(path)
    made: list[Path] = []
    temporary = temporary_path(path)
    try:
        try:
            _make_folders(path.parent, made)
            temporary.touch(exist_ok=False)
            mode = temporary.stat().st_mode
        except OSError as error:
            raise _not_written(path, error) from error
        yield temporary
        check_absent(path, overwrite=overwrite)
        temporary.chmod(mode)  # some libraries put a file of their own there, closed to others
        temporary.replace(path)
    except OSError as error:
        if isinstance(error, SpikeZooError) or error.errno not in _NO_ROOM:
            raise
        raise _not_written(path, error) from error
    finally:
        with contextlib.suppress(OSError):  # the folder itself may be what is missing
            if temporary.exists():
                temporary.unlink()
        if not path.exists():
            _remove_empty(made)


def temporary_path(path: Path) -> Path:
    """Return a new name beside a target, made of the target, this process and its machine."""
    process = f"{os.getpid()}-{secrets.token_hex(4)}@{_MACHINE}"
    return path.with_name(f".{path.name}.{process}.part")


def remove_leftovers(path: Path) -> None:
    """Remove what processes that no longer live left of a target, and say so in a warning.

    Of those of other machines, which may share the folder, it is unknown whether they live.
    """
    process = rf"(\d+)-[0-9a-f]{{8}}@{re.escape(_MACHINE)}"
    pattern = re.compile(rf"\.{re.escape(path.name)}\.{process}\.part")
    try:
        names = os.listdir(path.parent)  # noqa: PTH208  (twice as fast where there are many)
    except OSError:
        return  # writing there reports why
    for match in filter(None, map(pattern.fullmatch, names)):
        leftover = path.parent / match[0]
        if not _lives(int(match[1])) and _removed(leftover):
            warnings.warn(
                f"{leftover}: removed; process {match[1]} left it when it was killed",
                stacklevel=4,
            )


def _lives(process: int) -> bool:
    """Return whether a process of this machine may still be running."""
    if os.name != "posix":
        return True  # elsewhere asking would end it
    try:
        os.kill(process, 0)  # sends nothing
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # another user's; no number of a process
        return True
    return True


def _removed(leftover: Path) -> bool:
    with contextlib.suppress(OSError):
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()
        return True
    return False


def weights_file(path: str | Path) -> Path:
    """Return the file of weights that a shipped name, a file or the folder of an export names."""
    file = shipped_weights().get(str(path), Path(path))
    return file / EXPORT_NAME if file.is_dir() else file


def check_absent(path: Path, *, overwrite: bool = False) -> None:
    """Reject a target that exists, and a folder always.

    Raises:
        ExistingFileError: If ``path`` exists and ``overwrite`` is off.
        FormatError: If ``path`` is a folder.
    """
    if path.is_dir():
        raise FormatError(f"{path} is a folder; give the name of a file", path=str(path))
    if path.exists() and not overwrite:
        raise ExistingFileError(
            f"{path} exists already; choose another name, or overwrite it (--overwrite)",
            path=str(path),
        )


def check_suffix(out: str, known: Iterable[str], *, option: str = "") -> None:
    """Reject a name that looks like a file of another sort and would become a folder.

    Args:
        out: What the user gave.
        known: Suffixes of the files that are written.
        option: What it was given by, as ``"--out "``.

    Raises:
        UsageError: If it ends in another suffix, without a slash behind it, and is no folder.
    """
    suffix = Path(out).suffix
    if not suffix or out.endswith(("/", os.sep)) or Path(out).is_dir():
        return
    if suffix not in known:
        named = ", ".join(f"X{one}" for one in known)
        raise UsageError(
            f"{option}{out}: {suffix} is not written here; give {named} or a folder (a name with "
            "a dot in it needs a slash at its end)"
        )


def _not_written(path: Path, error: OSError) -> RecordingError:
    return RecordingError(
        f"{path}: cannot be written ({error.strerror or error}); choose a folder that is "
        "writable and has room",
        path=str(path),
    )


def _make_folders(folder: Path, made: list[Path]) -> None:
    """Make a folder and those above it, noting each in ``made``, deepest last."""
    if folder.is_dir():
        return
    _make_folders(folder.parent, made)
    try:
        folder.mkdir()
    except FileExistsError:
        if not folder.is_dir():  # else another process made it just now
            raise
        return
    made.append(folder)


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders that were made for a file that never came, as far as they are empty."""
    for folder in reversed(folders):
        with contextlib.suppress(OSError):  # another process put a file there
            folder.rmdir()
