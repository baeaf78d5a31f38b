"""Table files from YAML: every mistake in one is named before anything runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spike_zoo.errors import MissingFileError, closest
from spike_zoo.tables.claims import Claims
from spike_zoo.tables.columns import Column, direction, plain_column
from spike_zoo.tables.fields import Fields
from spike_zoo.tables.published import PublishedColumns, read_points, with_rows_of
from spike_zoo.tables.spec import (
    DEFAULT_COLUMNS,
    CurveSpec,
    Row,
    TableFile,
    TableSpec,
)
from spike_zoo.yaml_files import read_yaml

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from spike_zoo.records.result import Curve

#: Keys that all tables of a file may share.
_SHARED = {"source", "columns", "archive", "command"}
_TABLE = {"expect", "note", "one_data", "curves", "published_columns", *_SHARED}


def check_table(path: str | Path, variants: Iterable[str | Path] = ()) -> tuple[Path, ...]:
    """Check a table file against itself and the files it names, before anything runs.

    Args:
        path: The table file.
        variants: Configurations that a sweep is about to run.

    Returns:
        Those of ``variants`` that no row shows.

    Raises:
        MissingFileError: If the table file is not there.
        ConfigError: As :func:`read_table_file`.
    """
    shown = {variant.resolve() for variant in read_table_file(path).variants}
    return tuple(Path(variant) for variant in variants if Path(variant).resolve() not in shown)


def read_table_file(path: str | Path) -> TableFile:
    """Read a table file: one table, or several below ``tables``.

    Raises:
        MissingFileError: If there is none.
        ConfigError: If a key is missing or unknown, a row's variant is not a file, an expectation
            or a published value names no row or column, a metric is unknown, or something stands
            twice. Names file, table and key.
    """
    file = Path(path)
    if not file.is_file():
        raise MissingFileError(f"{file}: there is no such table file", path=str(file))
    content = read_yaml(file)
    if not isinstance(content, dict) or "tables" not in content:
        table = _Reader(file, "the table").table(content, {})
        return TableFile(table.title, (table,), file)
    whole = _Reader(file, "the file")
    whole.keys(content, {"title", "tables"}, _SHARED)
    shared = {key: content[key] for key in _SHARED if key in content}
    listed = whole.sequence(content["tables"], "tables")
    tables = [_Reader(file, f"table {n}").table(one, shared) for n, one in enumerate(listed, 1)]
    whole.once([table.title for table in tables], "table")
    return TableFile(str(content["title"]), tuple(tables), file)


class _Reader(Fields):
    """Reads one table of a file; its errors name the file and the place."""

    def table(self, content: Any, shared: dict[str, Any]) -> TableSpec:  # noqa: ANN401
        """Return a table, with what the file says for all of its tables."""
        self.keys(content, {"title", "rows"}, _TABLE)
        content = {**shared, **content}
        if content["title"] and self.place != "the table":
            self.place = f"table {content['title']!r}"
        columns = self.columns(content.get("columns") or DEFAULT_COLUMNS)
        curves = [self.curve(one) for one in self.sequence(content.get("curves") or [], "curves")]
        named, drawn = [column.name for column in columns], [curve.name for curve in curves]
        self.once([*named, *drawn], "curve")
        theirs = PublishedColumns(self, named).read(content.get("published_columns") or [])
        rows = with_rows_of(self.rows(content, named, drawn), theirs)
        self.anchors(curves, [row.name for row in rows])
        claims = Claims(self, rows, columns, drawn)
        expect = claims.expectations(content.get("expect") or [])
        return TableSpec(
            title=str(content["title"]),
            columns=tuple(columns),
            rows=tuple(rows),
            source=content.get("source"),
            expect=tuple(expect),
            note=content.get("note"),
            archive=content.get("archive"),
            one_data=bool(content.get("one_data", True)),
            command=self.command(content.get("command")),
            file=self.file,
            curves=tuple(curves),
            published_columns=tuple(theirs),
        )

    def rows(
        self,
        content: dict[str, Any],
        columns: Collection[str],
        curves: Collection[str],
    ) -> list[Row]:
        """Return the rows, and those that only published points name."""
        listed = self.sequence(content["rows"], "rows")
        rows = [self.row(f"row {n}", row, columns, curves) for n, row in enumerate(listed, 1)]
        self.once([row.name for row in rows], "row")
        shown = [f"{row.variant} on {row.archive}" for row in rows if row.variant is not None]
        self.once(shown, "variant")
        for curve in content.get("curves") or []:
            rows = self.with_published(rows, curve)
        return rows

    def columns(self, listed: Any) -> list[Column]:  # noqa: ANN401
        """Return the columns; each is a key or a mapping."""
        columns = [self.column(column) for column in self.sequence(listed, "columns")]
        self.once([column.name for column in columns], "column")
        return columns

    def column(self, content: Any) -> Column:  # noqa: ANN401
        """Return one column."""
        if isinstance(content, str):
            self.metric(content)
            return plain_column(content)
        self.keys(content, {"metric"}, {"name", "scenes", "rate_scale", "better"}, "a column")
        key, better = str(content["metric"]), content.get("better")
        if better is None:
            self.metric(key)
        elif better not in ("higher", "lower", "neither"):
            raise self.error(f"column {key!r}: better is higher, lower or neither, got {better!r}")
        limits = content.get("rate_scale")
        if limits is not None:
            place = f"column {key!r}: rate_scale"
            limits = tuple(self.number(place, one) for one in self.sequence(limits, place))
        is_grouped = "scenes" in content or limits is not None
        if is_grouped and ("name" not in content or not key.startswith("test/")):
            raise self.error(f"column {key!r}: only test metrics, with a name, tell scenes apart")
        if limits is not None and len(limits) != 2:
            raise self.error(f"column {key!r}: rate_scale is [at least, less than]")
        name = str(content.get("name", key))
        way = better or direction(key) or "neither"
        scenes = content.get("scenes")
        if scenes is not None:
            scenes = self.text(f"column {key!r}: scenes", scenes)
        return Column(key, name, way, scenes, limits)

    def curve(self, content: Any) -> CurveSpec:  # noqa: ANN401
        """Return one drawing of curves."""
        self.keys(content, {"name", "x", "y"}, {"scale", "anchor", "published"}, "a curve")
        name, scale = str(content["name"]), content.get("scale", "linear")
        if scale not in ("linear", "log"):
            raise self.error(f"curve {name!r}: scale is linear or log, got {scale!r}")
        anchor = content.get("anchor")
        return CurveSpec(name, str(content["x"]), str(content["y"]), scale == "log", anchor)

    def with_published(self, rows: Sequence[Row], content: Mapping[str, Any]) -> list[Row]:
        """Return rows with the points that a curve's file of published ones has.

        Points of a name that is no row's yet make one.
        """
        if "published" not in content:
            return list(rows)
        name = str(content["name"])
        found = read_points(self.file.parent / str(content["published"]))
        kept = []
        for row in rows:
            points = found.pop(row.name, None)
            if points is not None and name in row.published_curves:
                raise self.error(f"row {row.name!r} has {name} here and in {content['published']}")
            more = {} if points is None else {name: points}
            kept.append(replace(row, published_curves={**row.published_curves, **more}))
        return kept + [Row(new, published_curves={name: one}) for new, one in found.items()]

    def anchors(self, curves: Sequence[CurveSpec], rows: Sequence[str]) -> None:
        """Refuse a curve whose anchor is no row."""
        for curve in curves:
            if curve.anchor is not None and curve.anchor not in rows:
                raise self.error(
                    f"curve {curve.name!r}: the anchor names no row: {curve.anchor!r}."
                    f"{closest(curve.anchor, rows, most=3)}"
                )

    def row(
        self,
        place: str,
        content: Any,  # noqa: ANN401
        columns: Collection[str],
        curves: Collection[str],
    ) -> Row:
        """Return one row; its variant must be a file."""
        optional = {"variant", "published", "source", "archive"}
        self.keys(content, {"name"}, optional, place)
        name = str(content["name"])
        published = content.get("published") or {}
        if not isinstance(published, dict):
            raise self.error(f"{place} ({name}): published must map columns to numbers")
        if "variant" not in content and not published:
            raise self.error(f"{place} ({name}) has neither a variant nor published values")
        values: dict[str, float] = {}
        lines: dict[str, Curve] = {}
        for key, value in published.items():
            where = f"row {name!r}: published {key}"
            if key in curves:
                lines[key] = self.points(where, value)
            elif key in columns:
                self.number(where, value)
                values[key] = value
            else:
                known = closest(str(key), [*columns, *curves], most=3)
                what = "column or curve" if curves else "column"
                raise self.error(f"row {name!r}: published names no {what}: {key!r}.{known}")
        return Row(
            name,
            self.variant(name, content.get("variant")),
            values,
            content.get("source"),
            content.get("archive"),
            published_curves=lines,
        )

    def points(self, place: str, listed: Any) -> Curve:  # noqa: ANN401
        """Return the points of a curve."""
        points = [self.sequence(point, place) for point in self.sequence(listed, place)]
        if not points or any(len(point) != 2 for point in points):
            raise self.error(f"{place}: a curve is a list of points [x, y]")
        return tuple((self.number(place, x), self.number(place, y)) for x, y in points)

    def command(self, content: Any) -> str | None:  # noqa: ANN401
        """Return what makes a table again, in which {profile} stands for a profile alone."""
        if content is None:
            return None
        command = self.text("command", content)
        try:
            command.format(profile="cpu")
        except (KeyError, IndexError, ValueError) as error:
            raise self.error(
                f"command: {{profile}} alone may stand in braces: {command}"
            ) from error
        return command

    def variant(self, row: str, named: Any) -> Path | None:  # noqa: ANN401
        """Return a variant's file."""
        if named is None:
            return None
        path = self.file.parent / self.text(f"row {row!r}: variant", named)
        if not path.is_file():
            beside = (
                [one.name for one in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
            )
            raise self.error(
                f"row {row!r}: there is no variant {path}.{closest(path.name, beside, most=3)}"
            )
        return path
