"""Points of curves that others measured, from CSV: shown as published, never as measured here."""

from __future__ import annotations

import csv
import math
from typing import TYPE_CHECKING

from spike_zoo.errors import FormatError, MissingFileError

if TYPE_CHECKING:
    from pathlib import Path

    from spike_zoo.tracking.result import Curve


def read_points(path: Path) -> dict[str, Curve]:
    """Read curves of several methods, by name, in the order of the file.

    Args:
        path: CSV with a header: the first column is a method's name, the second what stands below a
            drawing and the third what stands beside it, as ``name,bpp,psnr``. Lines of one name are
            the points of its curve, in their order.

    Raises:
        MissingFileError: If there is no such file.
        FormatError: If a line has not a name and two finite numbers; names file and line.
    """
    if not path.is_file():
        raise MissingFileError(f"{path}: there is no such file of published points", path=str(path))
    found: dict[str, list[tuple[float, float]]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for number, line in enumerate(csv.reader(file), 1):
            if number > 1 and line:
                name, point = _point(line, f"{path}, line {number}", str(path))
                found.setdefault(name, []).append(point)
    if not found:
        raise FormatError(
            f"{path}: no points; expected a header and lines as name,bpp,psnr", path=str(path)
        )
    return {name: tuple(points) for name, points in found.items()}


def _point(line: list[str], place: str, path: str) -> tuple[str, tuple[float, float]]:
    try:
        _, x, y = line
        point = float(x), float(y)
    except ValueError:
        point = math.nan, math.nan
    if not (line[0].strip() and all(map(math.isfinite, point))):
        raise FormatError(
            f"{place}: expected a name and two numbers, found {','.join(line)!r}", path=path
        )
    return line[0].strip(), point
