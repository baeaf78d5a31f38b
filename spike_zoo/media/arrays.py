"""Arrays to one ``.npz``, part by part, so that they may be larger than memory."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

import numpy as np

from spike_zoo.errors import MediaError
from spike_zoo.files import new_file

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ArraysWriter:
    """Write arrays that grow along their first axis; the file appears whole or not at all.

    Use it as a context manager. When the block ends with an error, Ctrl-C included, nothing
    stays behind.

    Args:
        path: The file; missing folders are made.
        overwrite: Replace a file that is there.

    Raises:
        ExistingFileError: If the file exists and ``overwrite`` is off.
        MediaError: At the end of the block, if no part was written.

    Example:
        >>> with ArraysWriter("a.npz") as arrays:
        ...     for number in range(3):
        ...         arrays.append(images=np.full((2, 4, 6), number), index=np.arange(2))
        >>> {name: array.shape for name, array in np.load("a.npz").items()}
        {'images': (6, 4, 6), 'index': (6,)}
    """

    def __init__(self, path: str | Path, *, overwrite: bool = False) -> None:
        self.path = Path(path)
        self.overwrite = overwrite
        self._stack = contextlib.ExitStack()
        self._growing: dict[str, _Growing] = {}

    def __enter__(self) -> Self:
        self._temporary = self._stack.enter_context(new_file(self.path, overwrite=self.overwrite))
        return self

    def append(self, **parts: NDArray[np.generic]) -> None:
        """Add to each array.

        Raises:
            MediaError: If the type or the size of a part differs from that of the first.
        """
        for name, part in parts.items():
            if name not in self._growing:
                spool = tempfile.TemporaryFile(dir=self.path.parent)  # noqa: SIM115  (the stack's)
                self._growing[name] = _Growing(self._stack.enter_context(spool), part[:0])
            growing = self._growing[name]
            if (part.dtype, part.shape[1:]) != (growing.empty.dtype, growing.empty.shape[1:]):
                raise MediaError(
                    f"{self.path}: a part of {name!r} is {part.dtype} {part.shape}, others are not"
                )
            growing.spool.write(np.ascontiguousarray(part).tobytes())
            growing.length += len(part)

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        with self._stack:
            if kind is not None:
                self._stack.__exit__(kind, *error)
                return
            if not self._growing:
                raise MediaError(f"{self.path}: there is no array to write")
            with zipfile.ZipFile(self._temporary, "w") as archive:
                for name, growing in self._growing.items():
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                        growing.write(member)


@dataclass
class _Growing:
    """One array, whose parts wait on disk until its length is known."""

    spool: IO[bytes]
    empty: NDArray[np.generic]
    length: int = 0

    def write(self, member: IO[bytes]) -> None:
        """Write the array as numpy does."""
        described = np.lib.format.header_data_from_array_1_0(self.empty)
        described |= {"fortran_order": False, "shape": (self.length, *self.empty.shape[1:])}
        np.lib.format.write_array_header_2_0(member, described)
        self.spool.seek(0)
        shutil.copyfileobj(self.spool, member)
