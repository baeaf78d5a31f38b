"""Memory-mapped file of the outputs of a frozen network for all samples of a data set."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spike_zoo.errors import UsageError
from spike_zoo.utils.files import new_file
from spike_zoo.utils.locks import locked

_CHUNK = 64  # rows that are computed together


def filled_store(
    path: Path,
    shape: tuple[int, ...],
    compute: Callable[[range], NDArray[np.uint8]],
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.uint8]:
    """Return an array of bytes that is mapped from a file, and compute the rows it lacks.

    An interrupted call continues after its last complete chunk, whose end is stored next to the
    file, in ``PATH.rows``.

    Args:
        path: The file, without header; its name must identify the network and the data.
        shape: Shape of the array; the first number is that of the samples.
        compute: Returns the rows ``(n, ...)`` of some samples.
        progress: Called after each chunk with the number of complete rows and of all rows.

    Returns:
        The array, read-only. Pages are read from disk when they are used.

    Raises:
        UsageError: If the file has another size than the array.
    """
    done_file, size = path.with_name(f"{path.name}.rows"), math.prod(shape[1:])
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path):  # another run that computes the same file is awaited
        if not path.exists() or done_file.exists():
            done = int(done_file.read_text() or 0) if path.exists() else 0
            done_file.touch()
            with path.open("r+b" if done else "wb") as file:
                file.seek(done * size)
                for start in range(done, shape[0], _CHUNK):
                    rows = range(start, min(start + _CHUNK, shape[0]))
                    values = compute(rows)
                    if values.shape != (len(rows), *shape[1:]) or values.dtype != np.uint8:
                        raise ValueError(f"rows must be uint8 {shape[1:]}, got {values.shape[1:]}")
                    file.write(values.tobytes())
                    file.flush()
                    with new_file(done_file, overwrite=True) as temporary:
                        temporary.write_text(str(rows.stop))
                    if progress is not None:
                        progress(rows.stop, shape[0])
            done_file.unlink()
    if path.stat().st_size != shape[0] * size:
        raise UsageError(
            f"{path}: {path.stat().st_size} bytes, but the data have {shape[0] * size}; delete the "
            "file, so that it is computed again"
        )
    return np.memmap(path, np.uint8, "r", shape=shape)
