"""Table files from YAML: every mistake in one is named before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from spike_zoo.errors import ConfigError, MissingFileError
from spike_zoo.metrics.facts import METRICS
from spike_zoo.tables.columns import COSTS, FIELDS, Column, direction, near, plain_column
from spike_zoo.tables.spec import (
    DEFAULT_COLUMNS,
    CurveSpec,
    Expectation,
    Row,
    TableFile,
    TableSpec,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from spike_zoo.tracking.result import Curve

#: Keys that all tables of a file may share.
_SHARED = {"source", "columns", "archive", "command"}
_TABLE = {"expect", "note", "one_data", "curves", *_SHARED}


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
    content = _parse(file)
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


class _OnceLoader(yaml.SafeLoader):  # type: ignore[misc]  # yaml has no hints
    """Refuses a key that stands twice in one mapping; YAML's own loader takes the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: ANN401  (yaml has no hints)
        """Build one mapping."""
        keys = [str(key.value) for key, _ in node.value]  # before what "<<" merges is among them
        for index, key in enumerate(keys):
            if key in keys[:index]:
                raise yaml.YAMLError(f"the key {key!r} stands twice,{node.start_mark}")
        return super().construct_mapping(node, deep)


def _parse(file: Path) -> Any:  # noqa: ANN401  (any YAML value)
    try:
        return yaml.load(file.read_text(encoding="utf-8"), _OnceLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not YAML: {' '.join(str(error).split())}") from error


class _Reader:
    """Reads one table of a file; its errors name the file and the place."""

    def __init__(self, file: Path, place: str) -> None:
        self.file = file
        self.place = place

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
        listed = self.sequence(content["rows"], "rows")
        rows = [self.row(f"row {n}", row, named, drawn) for n, row in enumerate(listed, 1)]
        self.once([row.name for row in rows], "row")
        shown = [f"{row.variant} on {row.archive}" for row in rows if row.variant is not None]
        self.once(shown, "variant")
        expect = self.expectations(content.get("expect") or [], [row.name for row in rows], columns)
        return TableSpec(
            title=str(content["title"]),
            columns=tuple(columns),
            rows=tuple(rows),
            source=content.get("source"),
            expect=tuple(expect),
            note=content.get("note"),
            archive=content.get("archive"),
            one_data=bool(content.get("one_data", True)),
            command=content.get("command"),
            file=self.file,
            curves=tuple(curves),
        )

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
            limits = tuple(self.number(f"column {key!r}: rate_scale", limit) for limit in limits)
        is_grouped = "scenes" in content or limits is not None
        if is_grouped and ("name" not in content or not key.startswith("test/")):
            raise self.error(f"column {key!r}: only test metrics, with a name, tell scenes apart")
        if limits is not None and len(limits) != 2:
            raise self.error(f"column {key!r}: rate_scale is [at least, less than]")
        name = str(content.get("name", key))
        way = better or direction(key) or "neither"
        return Column(key, name, way, content.get("scenes"), limits)

    def metric(self, key: str) -> None:
        """Refuse a metric that is not known."""
        *place, _ = key.split("/")
        if direction(key) is not None or place[:1] == ["train"]:
            return
        if place[:1] == ["costs"]:
            raise self.error(
                f"unknown column {key!r}: a cost is costs/JOB/WHAT, with {', '.join(COSTS)} as WHAT"
            )
        known = [*FIELDS, *("/".join([*(place or ["test"]), metric]) for metric in METRICS)]
        raise self.error(
            f"unknown column {key!r}.{near(key, known)} A metric of your own states its direction: "
            f"{{metric: {key}, better: higher}}"
        )

    def curve(self, content: Any) -> CurveSpec:  # noqa: ANN401
        """Return one drawing of curves."""
        self.keys(content, {"name", "x", "y"}, {"scale"}, "a curve")
        name, scale = str(content["name"]), content.get("scale", "linear")
        if scale not in ("linear", "log"):
            raise self.error(f"curve {name!r}: scale is linear or log, got {scale!r}")
        return CurveSpec(name, str(content["x"]), str(content["y"]), scale == "log")

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
                known = near(str(key), [*columns, *curves])
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

    def variant(self, row: str, named: str | None) -> Path | None:
        """Return a variant's file."""
        if named is None:
            return None
        path = self.file.parent / named
        if not path.is_file():
            beside = (
                [one.name for one in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
            )
            raise self.error(f"row {row!r}: there is no variant {path}.{near(path.name, beside)}")
        return path

    def expectations(
        self,
        listed: Any,  # noqa: ANN401
        rows: Sequence[str],
        columns: Sequence[Column],
    ) -> list[Expectation]:
        """Return what the rows should show."""
        found = [
            self.expectation(f"expectation {n}", one, rows, columns)
            for n, one in enumerate(self.sequence(listed, "expect"), 1)
        ]
        claims = [f"{e.row} / {e.other} / {e.by} / {e.is_close} / {e.than}" for e in found]
        self.once(claims, "expectation")
        return found

    def expectation(
        self,
        place: str,
        content: Any,  # noqa: ANN401
        rows: Sequence[str],
        columns: Sequence[Column],
    ) -> Expectation:
        """Return one claim: better than a row, close to it, or one about a row by itself."""
        if isinstance(content, dict) and not {"within", "better_than"} & content.keys():
            return self.lone_expectation(place, content, rows, columns)
        is_close = isinstance(content, dict) and "within" in content
        required = {"row", "by"} | ({"within", "of"} if is_close else {"better_than"})
        optional = {"claim", "above"} | (set() if is_close else {"at_least"})
        self.keys(content, required, optional, place)
        row, by = str(content["row"]), str(content["by"])
        other, above = str(content["of" if is_close else "better_than"]), content.get("above")
        for name in (row, other) if above is None else (row, other, above):
            self.known_row(place, name, rows)
        if row == other or above in (row, other):
            raise self.error(f"{place} holds row {above or row!r} against itself")
        column = self.known_column(place, by, columns)
        if column.better == "neither" and (above is not None or not is_close):
            raise self.error(f"{place}: nobody knows whether more or less of {by!r} is better")
        margin = self.number(place, content.get("within" if is_close else "at_least", 0.0))
        return Expectation(row, other, by, margin, is_close, str(content.get("claim", "")), above)

    def lone_expectation(
        self, place: str, content: dict[str, Any], rows: Sequence[str], columns: Sequence[Column]
    ) -> Expectation:
        """Return a claim about one row: ``at_most``, ``at_least`` or better ``than`` a column."""
        kinds = [key for key in ("at_most", "at_least", "than") if key in content]
        if len(kinds) != 1:
            self.keys(content, {"row", "by", "better_than"}, {"claim", "above", "at_least"}, place)
        (kind,) = kinds
        self.keys(content, {"row", "by", kind}, {"claim"}, place)
        row, by = str(content["row"]), str(content["by"])
        self.known_row(place, row, rows)
        better, claim = self.known_column(place, by, columns).better, str(content.get("claim", ""))
        if kind == "than":
            than = self.known_column(place, str(content[kind]), columns)
            if than.name == by or "neither" in (better, than.better) or better != than.better:
                raise self.error(f"{place}: {by!r} and {than.name!r} cannot be compared")
            return Expectation(row, None, by, claim=claim, than=than.name)
        way = {"higher": "at_least", "lower": "at_most"}.get(better)
        if kind != way:
            raise self.error(
                f"{place}: nobody knows whether more or less of {by!r} is better"
                if way is None
                else f"{place}: {better} is better of {by!r}, so a claim says {way}, not {kind}"
            )
        return Expectation(row, None, by, claim=claim, limit=self.number(place, content[kind]))

    def known_row(self, place: str, name: str, rows: Sequence[str]) -> None:
        """Refuse a row that is not there."""
        if name not in rows:
            raise self.error(f"{place} names no row: {name!r}.{near(name, rows)}")

    def known_column(self, place: str, name: str, columns: Sequence[Column]) -> Column:
        """Return the column of a name."""
        named = {column.name: column for column in columns}
        if name not in named:
            raise self.error(f"{place} names no column: {name!r}.{near(name, named)}")
        return named[name]

    def sequence(self, content: Any, key: str) -> Sequence[Any]:  # noqa: ANN401
        """Return a list."""
        if not isinstance(content, list | tuple):
            raise self.error(f"{key} must be a list, found {type(content).__name__}")
        return content

    def number(self, place: str, value: Any) -> float:  # noqa: ANN401
        """Return a number."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(f"{place}: not a number: {value!r}")
        return float(value)

    def once(self, names: Sequence[str], what: str) -> None:
        """Refuse a name that stands twice."""
        for index, name in enumerate(names):
            if name in names[:index]:
                raise self.error(f"the {what} {name!r} stands twice")

    def keys(
        self,
        content: Any,  # noqa: ANN401
        required: set[str],
        optional: set[str],
        place: str | None = None,
    ) -> None:
        """Refuse what is no mapping, lacks a key or has one that nobody knows."""
        where = place or self.place
        front = f"{self.file}: {where}" if place is None else f"{self.file}: {self.place}, {where}"
        if not isinstance(content, dict):
            raise ConfigError(f"{front} must be a mapping, found {type(content).__name__}")
        missing = sorted(required - content.keys())
        unknown = sorted(str(key) for key in content.keys() - required - optional)
        if missing:
            raise ConfigError(f"{front} lacks the key {missing[0]!r}")
        if unknown:
            known = sorted(required | optional)
            raise ConfigError(
                f"{front} has the unknown key {unknown[0]!r}.{near(unknown[0], known)} "
                f"Known are {', '.join(known)}"
            )

    def error(self, text: str) -> ConfigError:
        """Return an error that names the file and the table."""
        return ConfigError(f"{self.file}: {self.place}: {text}", path=str(self.file))
