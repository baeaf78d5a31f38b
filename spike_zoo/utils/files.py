"""Atomic writing, locks, links and memory maps of files, folders, and lookup of weights files.

File systems may lack modes, links, locks, memory maps and synchronisation; only this module uses
these features, and each has a fallback.
"""

import contextlib
import errno
import hashlib
import mmap
import os
import platform
import re
import secrets
import shutil
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from itertools import filterfalse
from pathlib import Path, PurePath
from typing import IO, Any

from spike_zoo.errors import (
    ExistingFileError,
    MissingFileError,
    RecordingError,
    SpikeZooError,
    UsageError,
)

#: Suffix of an exported graph of a network -> its format.
GRAPHS = {".onnx": "ONNX", ".pt2": "torch.export"}
EXPORT_NAME = "model.safetensors"  # weights in the folder of an export
#: Names in lower case of files and folders that systems add beside those of users.
_COMPANIONS = ("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin")
WEIGHTS_FOLDER = Path(__file__).resolve().parent.parent / "weights"
_MACHINE = re.sub(r"[^\w.-]", "_", platform.node()) or "here"
_UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
NOT_WRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)
_LONG_NAME = 128  # bytes; file systems allow 255, and a temporary name adds up to 88


def shipped_weights() -> dict[str, Path]:
    """Return the weights inside the package: name -> file."""
    return {path.stem: path for path in sorted(WEIGHTS_FOLDER.glob("*.safetensors"))}


def natural_order(path: str | PurePath) -> tuple[Any, ...]:
    """Return a key that sorts paths by their parts, with numbers in names by their value.

    Example:
        >>> sorted(["10.png", "9.png", "1.png"], key=natural_order)
        ['1.png', '9.png', '10.png']
    """
    parts = (re.split(r"(\d+)", part) for part in PurePath(path).parts)
    return [[int(t) if odd % 2 else t for odd, t in enumerate(part)] for part in parts], str(path)


def plain_name(text: str) -> str:
    """Convert text of a file, such as the name of a recording, to a name for files and folders.

    The result has 1 to 120 letters A to Z, digits, dots, underscores and hyphens, without a dot at
    either end, so that it leads to no other folder; the schema of archives allows it (E11). Accents
    are removed; letters of other scripts become their code points, so that different names remain
    different: ``naïve 1`` is ``naive_1``, ``\u8857`` is ``u8857``.

    Example:
        >>> plain_name("scene-7.b"), plain_name("../a/b"), plain_name("..")
        ('scene-7.b', '_a_b', 'recording')
    """
    plain = filterfalse(unicodedata.combining, unicodedata.normalize("NFKD", text))
    ascii_text = "".join(
        f"u{ord(char):x}" if char.isalnum() and not char.isascii() else char for char in plain
    )
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", ascii_text).lstrip(".")[:120].rstrip(".")
    return name or "recording"


def is_companion(name: str) -> bool:
    """Return whether a name is that of a hidden file, of metadata of a system, or of a backup."""
    return name.startswith(".") or name.endswith("~") or name.lower() in _COMPANIONS


def folder_entries(folder: Path, pattern: str = "*") -> list[Path]:
    """Return files and folders by a pattern such as ``*/spike/*.dat``, in natural order.

    Companion files (:func:`is_companion`) and folders are left out.
    """
    paths = folder.glob(pattern)
    remaining = (p for p in paths if not any(map(is_companion, p.relative_to(folder).parts)))
    return sorted(remaining, key=natural_order)


def entries_below(root: Path) -> list[Path]:
    """Return all files and folders below a folder, in natural order, without companion files.

    Symbolic links to folders are followed; a link to one of its parent folders is only listed.
    """
    entries: list[Path] = []
    folders = [(root, frozenset({root.resolve()}))]
    while folders:
        folder, ancestors = folders.pop()
        try:
            children = list(folder.iterdir())
        except PermissionError:
            warnings.warn(f"{folder}: left out, no permission to read this folder", stacklevel=2)
            continue
        for entry in children:
            if is_companion(entry.name):
                continue
            entries.append(entry)
            if entry.is_dir() and (target := entry.resolve()) not in ancestors:
                folders.append((entry, ancestors | {target}))
    return sorted(entries, key=natural_order)


def content_sha256(files: Iterable[Path]) -> str:
    """Return a checksum of the names and contents of files."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{file.name}\n{content}\n".encode())
    return digest.hexdigest()


@contextlib.contextmanager
def new_file(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``, and rename it to ``path`` on success.

    A symbolic link is followed. Missing folders are created. On any failure, including Ctrl-C, the
    temporary file and created folders are removed, and an existing file at ``path`` is unchanged.
    Temporary files of killed processes for the same target are removed first.

    Raises:
        ExistingFileError: If ``path`` exists and ``overwrite`` is off.
        UsageError: If ``path`` is a folder.
        RecordingError: If the folder cannot be created or written.
    """
    check_absent(path, overwrite=overwrite)
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    remove_leftovers(path)
    created: list[Path] = []
    temporary = temporary_path(path)
    try:
        try:
            make_folders(path.parent, created)
            temporary.touch(exist_ok=False)
            mode = temporary.stat().st_mode
        except OSError as error:
            raise write_error(path, error) from error
        yield temporary
        check_absent(path, overwrite=overwrite)
        if temporary.stat().st_mode != mode:  # a library replaced the file
            with contextlib.suppress(OSError):  # only the owner may set modes on some shares
                temporary.chmod(mode)
        temporary.replace(path)
    except OSError as error:
        if isinstance(error, SpikeZooError) or error.errno not in NOT_WRITABLE:
            raise
        raise write_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):  # the folder may be missing
            if temporary.exists():
                temporary.unlink()
        if not path.exists():
            remove_empty(created)


def synchronise(file: IO[bytes]) -> None:
    """Flush a file to the disk, if its file system supports this."""
    file.flush()
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise


def lock(file: IO[bytes] | int, *, wait: bool = False) -> bool:
    """Lock an open file or folder until it is closed; False if another process holds the lock.

    With ``wait`` it waits until another process releases the lock. Without support of the system or
    the file system, the file is not locked, with a warning.
    """
    try:
        import fcntl  # not on Windows

        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError) as error:
        warnings.warn(
            f"files cannot be locked here ({getattr(error, 'strerror', None) or error}): another "
            "process that uses the same folder is not detected",
            stacklevel=3,
        )
    return True


def open_locked(path: Path, *, wait: bool = False) -> IO[bytes] | None:
    """Create a lock file and lock it until it is closed; None if another process holds it."""
    while True:
        file = path.open("ab")
        if not lock(file, wait=wait):
            file.close()
            return None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()  # its last holder removed it before it was locked


def link_or_copy(source: Path, target: Path) -> None:
    """Create a hard link to a file, or a copy if the file system has no hard links."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def memory_map(file: int) -> mmap.mmap | None:
    """Return a read-only memory map of an open file, whose descriptor may be closed later.

    Returns None if the file is empty, or its file system has no shared maps.
    """
    try:
        return mmap.mmap(file, 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):  # ValueError: an empty file
        return None


def temporary_path(path: Path) -> Path:
    """Return a unique temporary name in the target's folder, with process and machine."""
    process = f"{os.getpid()}-{secrets.token_hex(4)}@{_MACHINE}"
    return path.with_name(f".{short_name(path)}.{process}.part")


def short_name(path: Path) -> str:
    """Return the name of a file, with a checksum in place of the end of a long name."""
    name = os.fsencode(path.name)
    if len(name) <= _LONG_NAME:
        return path.name
    return f"{path.name[: _LONG_NAME // 8]}-{hashlib.sha256(name).hexdigest()[:32]}"


def remove_leftovers(path: Path) -> None:
    """Remove temporary files that ended processes left for a target, with a warning for each.

    Files of other machines are kept, because their processes cannot be checked.
    """
    process = rf"(\d+)-[0-9a-f]{{8}}@{re.escape(_MACHINE)}"
    pattern = re.compile(rf"\.{re.escape(short_name(path))}\.{process}\.part")
    try:
        names = os.listdir(path.parent)  # noqa: PTH208  (twice as fast in large folders)
    except OSError:
        return  # writing to the folder reports the error
    for match in filter(None, map(pattern.fullmatch, names)):
        leftover = path.parent / match[0]
        if not _is_running(int(match[1])) and _try_remove(leftover):
            warnings.warn(
                f"{leftover}: removed; process {match[1]} left it when it was killed", stacklevel=4
            )


def _is_running(process: int) -> bool:
    """Return whether a process of this machine may still be running."""
    if os.name != "posix":
        return True  # os.kill would end the process
    try:
        os.kill(process, 0)  # signal 0 only checks the process
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # process of another user; not a valid number
        return True
    return True


def _try_remove(leftover: Path) -> bool:
    with contextlib.suppress(OSError):
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()
        return True
    return False


def weights_file(path: str | Path) -> Path:
    """Return the weights file of a shipped name, a file or the folder of an export."""
    file = shipped_weights().get(str(path), Path(path))
    return file / EXPORT_NAME if file.is_dir() else file


def required_weights(path: str | Path, what: str, advice: str) -> Path:
    """Return the existing weights file of a name or path; otherwise raise an error with advice."""
    file = weights_file(path)
    if not file.is_file():
        advice = how_to_make(file) or advice
        raise MissingFileError.at(file, f"there is no such {what}; {advice}")
    return file


def how_to_make(path: str | Path) -> str:
    """Return the command that makes missing weights of an experiment; empty for other files."""
    if not Path(path).match("experiments/*/weights/*.safetensors"):
        return ""
    return f"'make {Path(*Path(path).parts[-4:])}' makes it"


def check_absent(path: Path, *, overwrite: bool = False) -> None:
    """Raise an error if the target exists and must not be overwritten, or cannot be written.

    Errors are those of :func:`new_file`.
    """
    check_writable(path)
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give the name of a file")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is a device, pipe or socket; give the name of a file")
    if path.exists() and not overwrite:
        raise ExistingFileError(
            f"{path} exists already; choose another name, or overwrite it (--overwrite)",
            path=str(path),
        )


def check_writable(path: Path) -> None:
    """Raise RecordingError if a file or folder cannot be created, before any work is done."""
    try:
        path.exists()  # raises if the name is too long
        folder = next(parent for parent in path.absolute().parents if parent.exists())
    except OSError as error:
        raise write_error(path, error) from error
    number = errno.EACCES if folder.is_dir() else errno.ENOTDIR
    if number == errno.ENOTDIR or not os.access(folder, os.W_OK | os.X_OK):
        raise write_error(path, OSError(number, os.strerror(number)))


def check_suffix(out: str, known: Iterable[str], *, option: str = "") -> None:
    """Raise UsageError for an output path with an unsupported suffix, unless it is a folder.

    ``option`` is that of the path in the message, as ``"--out "``. A path with a slash at the end
    is a folder.
    """
    suffix = Path(out).suffix
    if not suffix or out.endswith(("/", os.sep)) or Path(out).is_dir():
        return
    if suffix not in known:
        examples = ", ".join(f"X{known_suffix}" for known_suffix in known)
        raise UsageError(
            f"{option}{out}: {suffix} is not written here; give {examples} or a folder (a name "
            "with a dot in it needs a slash at its end)"
        )


def write_error(path: Path, error: OSError) -> RecordingError:
    """Return the error for a file or folder that the system does not write."""
    advice = "choose a folder that is writable and has free space"
    if error.errno == errno.ENAMETOOLONG:
        advice = "choose a shorter name"
    return RecordingError.at(path, f"cannot be written ({error.strerror or error}); {advice}")


def make_folders(folder: Path, created: list[Path]) -> None:
    """Create a folder and its parents; append the created folders to ``created``, deepest last."""
    if folder.is_dir():
        return
    make_folders(folder.parent, created)
    try:
        folder.mkdir()
    except FileExistsError:
        if not folder.is_dir():  # a folder was created by another process
            raise
        return
    created.append(folder)


def remove_empty(folders: list[Path]) -> None:
    """Remove created folders that are empty, after the file could not be written."""
    for folder in reversed(folders):
        with contextlib.suppress(OSError):  # not empty: another process wrote a file
            folder.rmdir()
