"""Writer of ``.npz`` files whose arrays are appended in parts and may be larger than memory."""

import contextlib
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from spike_zoo.errors import MediaError
from spike_zoo.utils.files import new_file


class ArraysWriter:
    """Write arrays in parts along their first axis to an ``.npz`` file.

    A context manager. The file is created at the end of the block; after an error or Ctrl-C no file
    remains.

    Args:
        path: The file; missing folders are created.
        overwrite: Replace an existing file.

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
        self._growing: dict[str, _PartwiseArray] = {}

    def __enter__(self) -> Self:
        self._temporary = self._stack.enter_context(new_file(self.path, overwrite=self.overwrite))
        return self

    def append(self, **parts: NDArray[np.generic]) -> None:
        """Append a part to each array."""
        for name, part in parts.items():
            if name not in self._growing:
                spool = tempfile.TemporaryFile(dir=self.path.parent)  # noqa: SIM115  (the stack closes it)
                self._growing[name] = _PartwiseArray(self._stack.enter_context(spool), part[:0])
            growing = self._growing[name]
            if (part.dtype, part.shape[1:]) != (growing.empty.dtype, growing.empty.shape[1:]):
                raise MediaError(
                    f"{self.path}: a part of {name!r} is {part.dtype} {part.shape}; its first part "
                    "has another type or size"
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
class _PartwiseArray:
    """One array, whose parts are stored in a temporary file until its length is known."""

    spool: IO[bytes]
    empty: NDArray[np.generic]
    length: int = 0

    def write(self, member: IO[bytes]) -> None:
        """Write the array in the ``.npy`` format."""
        header = np.lib.format.header_data_from_array_1_0(self.empty)
        header |= {"fortran_order": False, "shape": (self.length, *self.empty.shape[1:])}
        np.lib.format.write_array_header_2_0(member, header)
        self.spool.seek(0)
        shutil.copyfileobj(self.spool, member)
