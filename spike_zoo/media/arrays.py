"""Arrays to one ``.npz``, part by part, so that they may be larger than memory."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

import numpy as np

from spike_zoo.errors import MediaError
from spike_zoo.files import new_file

if TYPE_CHECKING:
    from types import TracebackType

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
                self._growing[name] = _Growing(self._stack.enter_context(spool), part)
            if not self._growing[name].append(part):
                raise MediaError(
                    f"{self.path}: a part of {name!r} is {part.dtype} {part.shape}, others are not"
                )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._stack:
            if error is not None:
                self._stack.__exit__(kind, error, traceback)
                return
            if not self._growing:
                raise MediaError(f"{self.path}: there is no array to write")
            with zipfile.ZipFile(self._temporary, "w") as archive:
                for name, growing in self._growing.items():
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                        growing.write(member)


class _Growing:
    """One array, whose parts wait on disk until its length is known."""

    def __init__(self, spool: IO[bytes], first: NDArray[np.generic]) -> None:
        self._spool = spool
        self._dtype, self._shape, self._length = first.dtype, first.shape[1:], 0

    def append(self, part: NDArray[np.generic]) -> bool:
        """Add a part; return whether it is like the first."""
        if part.dtype != self._dtype or part.shape[1:] != self._shape:
            return False
        self._spool.write(np.ascontiguousarray(part).tobytes())
        self._length += len(part)
        return True

    def write(self, member: IO[bytes]) -> None:
        """Write the array as numpy does."""
        described = np.lib.format.dtype_to_descr(self._dtype)
        facts = {
            "descr": described,
            "fortran_order": False,
            "shape": (self._length, *self._shape),
        }
        np.lib.format.write_array_header_2_0(member, facts)
        self._spool.seek(0)
        shutil.copyfileobj(self._spool, member)
