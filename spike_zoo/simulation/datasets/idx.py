"""Files of MNIST's form, idx: a short header, then unsigned bytes; plain or compressed by gzip."""

from __future__ import annotations

import gzip
import math
import zlib
from typing import TYPE_CHECKING, BinaryIO, Final

import numpy as np

from spike_zoo.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_UNSIGNED_BYTES: Final = 8  # the code of the type in the header
_AGAIN: Final = "copy or download it again"


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Return the bytes of an idx file as an array.

    Args:
        path: The file; one whose name ends in ``.gz`` is decompressed.
        dimensions: How many it must have: 1 for labels, 3 for images.

    Raises:
        FormatError: If it is of another form, cut short or damaged.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return _read(path, file, dimensions)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FormatError(
            f"{path}: damaged or cut short ({error}); {_AGAIN}", path=str(path)
        ) from error


def _read(path: Path, file: BinaryIO | gzip.GzipFile, dimensions: int) -> NDArray[np.uint8]:
    expected = bytes([0, 0, _UNSIGNED_BYTES, dimensions])
    header = file.read(4 + 4 * dimensions)
    if header[:4] != expected or len(header) < 4 + 4 * dimensions:
        raise FormatError(
            f"{path}: begins with {header[:4].hex(' ') or 'nothing'}, expected "
            f"{expected.hex(' ')}: no idx file of bytes with {dimensions} dimensions; {_AGAIN}",
            path=str(path),
        )
    shape = tuple(np.frombuffer(header, ">u4", offset=4).tolist())
    wanted = math.prod(shape)
    data = file.read()  # all that is there: the header may promise any number
    if len(data) != wanted:
        sides = "x".join(map(str, shape))
        raise FormatError(
            f"{path}: {len(data)} bytes after the header, expected {wanted} ({sides}); {_AGAIN}",
            path=str(path),
        )
    return np.frombuffer(data, np.uint8).reshape(shape)
