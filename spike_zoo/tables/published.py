"""What others measured, columns and points of curves: shown as published, never as ours."""

from __future__ import annotations

import csv
import math
from typing import TYPE_CHECKING, Any

from spike_zoo.errors import FormatError, MissingFileError
from spike_zoo.tables.columns import plain_column
from spike_zoo.tables.fields import Fields
from spike_zoo.tables.spec import PublishedColumn, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from spike_zoo.records.result import Curve


class PublishedColumns(Fields):
    """Reads the columns of others, each of one source, of one table.

    Args:
        place: File and table, for errors.
        columns: Names of the table's own columns.
    """

    def __init__(self, place: Fields, columns: Sequence[str]) -> None:
        super().__init__(place.file, place.place)
        self.columns = columns

    def read(self, listed: Any) -> list[PublishedColumn]:  # noqa: ANN401  (any YAML value)
        """Return the columns, left to right."""
        listed = self.sequence(listed, "published_columns")
        found = [self.column(f"published column {n}", one) for n, one in enumerate(listed, 1)]
        self.once([*self.columns, *(one.name for one in found)], "column")
        return found

    def column(self, place: str, content: Any) -> PublishedColumn:  # noqa: ANN401  (any YAML value)
        """Return one column; its metric must be a known one."""
        self.keys(content, {"name", "metric", "source", "values"}, set(), place)
        name, key, values = str(content["name"]), str(content["metric"]), content["values"]
        self.metric(key)
        if not isinstance(values, dict) or not values:
            raise self.error(f"{place} ({name}): values must map rows to numbers, got {values!r}")
        where = f"published column {name!r}, row"
        found = {str(row): self.finite(f"{where} {row!r}", one) for row, one in values.items()}
        return PublishedColumn(name, plain_column(key), str(content["source"]), found)


def with_rows_of(rows: Sequence[Row], columns: Iterable[PublishedColumn]) -> list[Row]:
    """Return rows, and after them those that only columns of others name."""
    named = dict.fromkeys(name for column in columns for name in column.values)
    known = {row.name for row in rows}
    return [*rows, *(Row(name) for name in named if name not in known)]


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
