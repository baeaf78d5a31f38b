"""Reader of table files, with errors that state file, entry and expected content."""

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from spike_zoo.errors import ConfigError, FormatError, MissingFileError, closest
from spike_zoo.metrics.facts import METRICS
from spike_zoo.tables.columns import COSTS, FIELDS, Column, direction
from spike_zoo.tables.spec import (
    DEFAULT_COLUMNS,
    Claim,
    CurveSpec,
    PublishedColumn,
    Row,
    TableFile,
    TableSpec,
)
from spike_zoo.training.result import Curve
from spike_zoo.utils.yaml_files import check_keys, parse_dataclass, read_yaml

#: Keys that all tables of a file may share.
_SHARED = ("source", "columns", "archive", "command", "protocol", "differs")
_LISTS = ("columns", "rows", "curves", "published_columns", "claims")


def check_table(path: str | Path, variants: Iterable[str | Path] = ()) -> tuple[Path, ...]:
    """Check a table file, and return the configurations of a sweep that are in no row."""
    in_table = {variant.resolve() for variant in read_table_file(path).variants}
    return tuple(Path(variant) for variant in variants if Path(variant).resolve() not in in_table)


def read_table_file(path: str | Path) -> TableFile:
    """Read a table file: a single table, or a list of tables below the key ``tables``."""
    file = Path(path)
    if not file.is_file():
        raise MissingFileError.at(file, "there is no such table file")
    content = read_yaml(file)
    if not isinstance(content, dict) or "tables" not in content:
        table = _read_table(file, content, f"{file}: the table")
        return TableFile(table.title, (table,), file)
    unknown = content.keys() - {"title", "tables", *_SHARED}
    if unknown or "title" not in content or not isinstance(content["tables"], list):
        raise ConfigError(
            f"{file}: expected the keys title, tables (a list) and optionally "
            f"{', '.join(_SHARED)}, got {', '.join(content)}"
        )
    shared = {key: content[key] for key in _SHARED if key in content}
    tables = []
    for number, entry in enumerate(content["tables"], 1):
        title = entry.get("title") if isinstance(entry, dict) else None
        merged = {**shared, **entry} if isinstance(entry, dict) else entry
        tables.append(_read_table(file, merged, f"{file}: table {title or number!r}"))
    _check_unique([table.title for table in tables], "table", str(file))
    return TableFile(str(content["title"]), tuple(tables), file)


def read_points(path: Path) -> dict[str, Curve]:
    """Read published curves by name: a CSV with a header and lines such as ``name,bpp,psnr``."""
    if not path.is_file():
        raise MissingFileError.at(path, "there is no such CSV file")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = [(number, line) for number, line in enumerate(csv.reader(file), 1) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise FormatError.at(path, f"not a CSV file in UTF-8 ({error})") from error
    if len(lines) < 2:
        raise FormatError.at(path, "no values; expected a header and lines as name,bpp,psnr")
    curves: dict[str, Curve] = {}
    for number, (name, *cells) in lines[1:]:
        try:
            x, y = map(float, cells)
        except ValueError:
            x = y = math.nan
        if not (name.strip() and math.isfinite(x) and math.isfinite(y)):
            text = f"{path}, line {number}: expected a name and two finite numbers, got "
            raise FormatError(f"{text}{','.join([name, *cells])!r}", path=str(path))
        curves[name.strip()] = (*curves.get(name.strip(), ()), (x, y))
    return curves


def _read_table(file: Path, content: Any, place: str) -> TableSpec:  # noqa: ANN401  (any YAML value)
    if not isinstance(content, dict):
        raise ConfigError(f"{place}: expected a mapping, got {content!r}")
    if "rows" not in content:
        raise ConfigError(f"{place}: the key 'rows' is missing")
    check_keys(content, [item.name for item in fields(TableSpec) if item.name != "file"], place)
    content = {"columns": DEFAULT_COLUMNS, **content}
    lists = {key: content.pop(key, None) or () for key in _LISTS}
    for key, entries in lists.items():
        if not isinstance(entries, list | tuple):
            raise ConfigError(f"{place}: {key}: expected a list, got {entries!r}")
    columns = [
        _column(entry, f"{place}, column {n}") for n, entry in enumerate(lists["columns"], 1)
    ]
    curves = _parsed(CurveSpec, lists["curves"], f"{place}, curve")
    published = _parsed(PublishedColumn, lists["published_columns"], f"{place}, published column")
    for number, column in enumerate(published, 1):
        _check_metric(column.metric, f"{place}, published column {number}")
    rows = _with_published(_rows(file, lists["rows"], place), curves, published, file)
    spec = parse_dataclass(
        TableSpec,
        content,
        place,
        columns=tuple(columns),
        rows=tuple(rows),
        curves=tuple(curves),
        published_columns=tuple(published),
        claims=(),
        file=file,
    )
    _check_names(spec, place)
    return replace(spec, claims=_claims(spec, lists["claims"], place))


def _check_names(spec: TableSpec, place: str) -> None:
    """Check the names of a table's columns, curves and anchors, and of published values."""
    columns, rows = [column.name for column in spec.columns], [row.name for row in spec.rows]
    published = spec.published_columns
    others = [*dict.fromkeys(one.name for one in published), *(one.key for one in spec.curves)]
    _check_unique([*columns, *others], "column or curve", place)
    _check_unique([f"{one.name}, {one.metric}" for one in published], "published column", place)
    for row in spec.rows:
        for key in row.published:
            _check_name(key, columns, "column", f"{place}, row {row.name!r}: published")
    for curve in spec.curves:
        if curve.anchor is not None:
            _check_name(curve.anchor, rows, "row", f"{place}: anchor")


def _parsed(cls: type[Any], entries: Sequence[Any], place: str) -> list[Any]:
    return [parse_dataclass(cls, content, f"{place} {n}") for n, content in enumerate(entries, 1)]


def _column(content: Any, place: str) -> Column:  # noqa: ANN401  (any YAML value)
    if isinstance(content, str):
        content = {"metric": content}
    if isinstance(content, dict) and "metric" in content:
        key = str(content["metric"])
        if "better" not in content:
            _check_metric(key, place)
        content = {"name": key, "better": direction(key) or "neither", **content}
    column = parse_dataclass(Column, content, place)
    is_plain = column.name == column.metric or not column.metric.startswith("test/")
    if column.is_grouped and is_plain:
        raise ConfigError(f"{place}: scenes and rate_scale need a name and a test metric")
    return column


def _check_metric(key: str, place: str) -> None:
    *parts, _ = key.split("/")
    if direction(key) is not None or parts[:1] == ["train"]:
        return
    if parts[:1] == ["costs"]:
        raise ConfigError(
            f"{place}: unknown cost {key!r}; expected costs/JOB/NUMBER, NUMBER one of "
            f"{', '.join(COSTS)}"
        )
    known = [*FIELDS, *("/".join([*(parts or ["test"]), metric]) for metric in METRICS)]
    raise ConfigError(
        f"{place}: unknown metric {key!r}.{closest(key, known, most=3)} State the direction of "
        f"another metric: {{metric: {key}, better: higher}}"
    )


def _rows(file: Path, entries: Sequence[Any], place: str) -> list[Row]:
    rows = []
    for number, content in enumerate(entries, 1):
        row = parse_dataclass(Row, content, f"{place}, row {number}", runs=(), curves={})
        if row.variant is None and not row.published:
            raise ConfigError(f"{place}, row {row.name!r}: needs a variant or published values")
        if row.variant is not None:
            path = file.parent / row.variant
            if not path.is_file():
                near = closest(path.name, [other.name for other in path.parent.glob("*.yaml")])
                raise ConfigError(f"{place}, row {number}: no such variant: {path}.{near}")
            row = replace(row, variant=path)
        rows.append(row)
    _check_unique([row.name for row in rows], "row", place)
    variants = [f"{row.variant} on {row.archive}" for row in rows if row.variant is not None]
    _check_unique(variants, "variant", place)
    return rows


def _with_published(
    rows: Sequence[Row],
    curves: Sequence[CurveSpec],
    published: Sequence[PublishedColumn],
    file: Path,
) -> list[Row]:
    """Add published curves to the rows, and a row for each name that has only published values."""
    by_name = {row.name: row for row in rows}
    for curve in (curve for curve in curves if curve.published is not None):
        for name, points in read_points(file.parent / str(curve.published)).items():
            row = by_name.get(name, Row(name))
            by_name[name] = replace(row, curves={**row.curves, curve.name: points})
    for name in (name for column in published for name in column.values):
        by_name.setdefault(name, Row(name))
    return list(by_name.values())


def _claims(spec: TableSpec, entries: Sequence[Any], place: str) -> tuple[Claim, ...]:
    """Return the claims of a table, with default values filled in."""
    claims = [
        _complete(spec, claim, f"{place}, claim {n}")
        for n, claim in enumerate(_parsed(Claim, entries, f"{place}, claim"), 1)
    ]
    keys = []
    for claim in claims:
        parts = claim.row, claim.other or claim.anchor, claim.by, claim.within is None, claim.than
        keys.append(" / ".join(map(str, parts)))
    _check_unique(keys, "claim", place)
    return tuple(claims)


def _complete(spec: TableSpec, claim: Claim, place: str) -> Claim:
    """Check the names of a claim, and fill in a missing curve or reported difference."""
    rows = {row.name: row for row in spec.rows}
    for name in (claim.row, claim.other, claim.above, claim.anchor):
        if name is not None:
            _check_name(name, rows, "row", place)
    if claim.anchor is not None:
        curves = [curve.name for curve in spec.curves]
        if not claim.by and len(curves) != 1:
            raise ConfigError(f"{place}: by: expected one of the curves {', '.join(curves)}")
        _check_name(claim.by or curves[0], curves, "curve", place)
        return replace(claim, by=claim.by or curves[0])
    column = _check_direction(spec, claim, place)
    if claim.better_than is None or claim.reported is not None:
        return claim
    row, other = rows[claim.row], rows[claim.better_than]
    values = row.published.get(claim.by), other.published.get(claim.by)
    if values[0] is None or values[1] is None:
        return claim
    difference = column.sign * (values[0] - values[1])
    return replace(claim, reported=difference) if difference > 0 else claim


def _check_direction(spec: TableSpec, claim: Claim, place: str) -> Column:
    """Return the column of a claim, and check that the claim fits the column's direction."""
    columns = {column.name: column for column in spec.columns}
    _check_name(claim.by, columns, "column", place)
    column = columns[claim.by]
    if claim.than is not None:
        _check_name(claim.than, columns, "column", place)
        better = {column.better, columns[claim.than].better}
        if claim.than == claim.by or better not in ({"higher"}, {"lower"}):
            raise ConfigError(f"{place}: {claim.by!r} and {claim.than!r} cannot be compared")
    elif column.better == "neither" and not (claim.is_close and claim.above is None):
        raise ConfigError(f"{place}: it is not known which direction of {claim.by!r} is better")
    elif claim.other is None:
        key = "at_least" if column.better == "higher" else "at_most"
        if getattr(claim, key) is None:
            raise ConfigError(f"{place}: {column.better} is better for {claim.by!r}, use {key}")
    return column


def _check_name(name: str, known: Iterable[str], kind: str, place: str) -> None:
    known = list(known)
    if name not in known:
        raise ConfigError(f"{place}: no such {kind}: {name!r}.{closest(name, known, most=3)}")


def _check_unique(names: Sequence[str], kind: str, place: str) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ConfigError(f"{place}: the {kind} {name!r} is given twice")
