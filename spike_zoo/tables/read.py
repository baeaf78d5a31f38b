"""Reader of table files, with errors that state file, entry and expected content."""

from __future__ import annotations

import csv
import math
import statistics
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spike_zoo.errors import ConfigError, FormatError, MissingFileError, closest
from spike_zoo.metrics.facts import METRICS
from spike_zoo.tables.columns import COSTS, FIELDS, Column, direction
from spike_zoo.tables.spec import (
    DEFAULT_COLUMNS,
    Curve,
    CurveSpec,
    Expectation,
    PublishedColumn,
    Row,
    TableFile,
    TableSpec,
)
from spike_zoo.yaml_files import parse_dataclass, read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Keys that all tables of a file may share.
_SHARED = ("source", "columns", "archive", "command")


def check_table(path: str | Path, variants: Iterable[str | Path] = ()) -> tuple[Path, ...]:
    """Check a table file, and return the configurations of a sweep that are in no row.

    Args:
        path: The table file.
        variants: Configurations of the sweep.
    """
    in_table = {variant.resolve() for variant in read_table_file(path).variants}
    return tuple(Path(variant) for variant in variants if Path(variant).resolve() not in in_table)


def read_table_file(path: str | Path) -> TableFile:
    """Read a table file: a single table, or a list of tables below the key ``tables``.

    Raises:
        MissingFileError: If the file does not exist.
        ConfigError: If a key, or the name of a row, column, metric or file is not valid.
    """
    file = Path(path)
    if not file.is_file():
        raise MissingFileError(f"{file}: there is no such table file", path=str(file))
    content = read_yaml(file)
    if not isinstance(content, dict) or "tables" not in content:
        table = _read_table(file, content, f"{file}: the table")
        return TableFile(table.title, (table,), file)
    unknown = sorted(content.keys() - {"title", "tables", *_SHARED})
    if unknown or "title" not in content or not isinstance(content["tables"], list):
        raise ConfigError(
            f"{file}: expected the keys title, tables (a list) and optionally "
            f"{', '.join(_SHARED)}, got {', '.join(content)}"
        )
    shared = {key: content[key] for key in _SHARED if key in content}
    tables = []
    for number, entry in enumerate(content["tables"], 1):
        is_named = isinstance(entry, dict) and "title" in entry
        place = f"table {entry['title']!r}" if is_named else f"table {number}"
        merged = {**shared, **entry} if isinstance(entry, dict) else entry
        tables.append(_read_table(file, merged, f"{file}: {place}"))
    _check_unique([table.title for table in tables], "table", str(file))
    return TableFile(str(content["title"]), tuple(tables), file)


def read_points(path: Path) -> dict[str, Curve]:
    """Read published curves by name, in the order of the file.

    Args:
        path: CSV with a header and the columns name of the method, x and y, as ``name,bpp,psnr``.
            Lines with the same name are the points of one curve.

    Raises:
        MissingFileError: If the file does not exist.
        FormatError: If a line is not a name and two finite numbers; states file and line.
    """
    curves: dict[str, Curve] = {}
    for number, (name, *values) in _named_numbers(path, "name,bpp,psnr")[1]:
        if len(values) != 2:
            text = f"{path}, line {number}: expected a name and two numbers, got {len(values)}"
            raise FormatError(text, path=str(path))
        x, y = values
        curves[name] = (*curves.get(name, ()), (x, y))
    return curves


def read_scores(path: Path) -> dict[str, dict[str, float]]:
    """Read scores of pictures that another tool computed.

    Args:
        path: CSV with a header. The first column is the name of a picture, the others are metrics,
            as ``name,niqe,brisque``.

    Returns:
        Metric -> name of a picture -> its score.

    Raises:
        MissingFileError: If the file does not exist.
        FormatError: If a line is not a new name and a finite number for each metric.
    """
    metrics, lines = _named_numbers(path, "name,niqe")
    scores: dict[str, dict[str, float]] = {metric: {} for metric in metrics}
    for number, (name, *values) in lines:
        if len(values) != len(metrics) or any(name in listed for listed in scores.values()):
            text = (
                f"{path}, line {number}: expected a picture that is not listed above and "
                f"{len(metrics)} numbers, got {name!r} and {len(values)}"
            )
            raise FormatError(text, path=str(path))
        for metric, value in zip(metrics, values, strict=True):
            scores[metric][name] = value
    return scores


def _named_numbers(path: Path, example: str) -> tuple[list[str], list[tuple[int, list[Any]]]]:
    """Return the headings of the columns after the first, and number and cells of each line."""
    if not path.is_file():
        raise MissingFileError(f"{path}: there is no such CSV file", path=str(path))
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = [(number, line) for number, line in enumerate(csv.reader(file), 1) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise FormatError(f"{path}: not a CSV file in UTF-8 ({error})", path=str(path)) from error
    if len(lines) < 2:
        raise FormatError.at(path, f"no values; expected a header and lines as {example}")
    read = []
    for number, (name, *cells) in lines[1:]:
        try:
            values = [float(cell) for cell in cells]
        except ValueError:
            values = []
        if not (name.strip() and values and all(map(math.isfinite, values))):
            line_text = ",".join([name, *cells])
            text = f"{path}, line {number}: expected a name and finite numbers, got {line_text!r}"
            raise FormatError(text, path=str(path))
        read.append((number, [name.strip(), *values]))
    return [heading.strip() for heading in lines[0][1][1:]], read


def _read_table(file: Path, content: Any, place: str) -> TableSpec:  # noqa: ANN401  (any YAML value)
    if not isinstance(content, dict):
        raise ConfigError(f"{place}: expected a mapping, got {content!r}")
    if "rows" not in content:
        raise ConfigError(f"{place}: the key 'rows' is missing")
    content = {"columns": DEFAULT_COLUMNS, **content}
    lists = {
        key: _list(content.pop(key, None) or (), f"{place}: {key}")
        for key in ("columns", "rows", "curves", "published_columns", "expect")
    }
    columns = [
        _column(entry, f"{place}, column {n}") for n, entry in enumerate(lists["columns"], 1)
    ]
    curves = _parsed(CurveSpec, lists["curves"], f"{place}, curve")
    published = _parsed(PublishedColumn, lists["published_columns"], f"{place}, published column")
    for column in published:
        _check_metric(column.metric, f"{place}, published column {column.name!r}")
    names = [column.name for column in (*columns, *published)]
    _check_unique([*names, *(curve.key for curve in curves)], "column or curve", place)
    rows = _rows(file, lists["rows"], place)
    rows = _with_published(rows, curves, published, file, place)
    _check_cells(rows, columns, curves, place)
    for curve in curves:
        if curve.anchor is not None:
            _check_name(curve.anchor, [row.name for row in rows], "row", f"{place}: anchor")
    spec = parse_dataclass(
        TableSpec,
        content,
        place,
        columns=tuple(columns),
        rows=tuple(rows),
        curves=tuple(curves),
        published_columns=tuple(published),
        expect=(),
        file=file,
    )
    _check_command(spec.command, place)
    return replace(spec, expect=_claims(spec, lists["expect"], place))


def _check_cells(
    rows: Sequence[Row],
    columns: Sequence[Column],
    curves: Sequence[CurveSpec],
    place: str,
) -> None:
    """Check that published values have a column and that columns of scores have a metric."""
    names = [*(item.name for item in columns), *(item.name for item in curves)]
    for row in rows:
        for key in row.published:
            _check_name(key, names, "column or curve", f"{place}, row {row.name!r}: published")
    score_metrics = sorted({metric for row in rows for metric in row.score_means})
    for column in (item for item in columns if item.is_score):
        _check_name(column.measure, score_metrics, "metric in the scores of the rows", place)


def _claims(spec: TableSpec, listed: Sequence[Any], place: str) -> tuple[Expectation, ...]:
    """Return the claims of a table, with default values filled in.

    Raises:
        ConfigError: If a claim is not valid or is given twice.
    """
    claims = _parsed(Expectation, listed, f"{place}, expectation")
    claims = [
        _complete(spec, claim, f"{place}, expectation {n}") for n, claim in enumerate(claims, 1)
    ]
    keys = []
    for claim in claims:
        parts = claim.row, claim.other or claim.anchor, claim.by, claim.within is None, claim.than
        keys.append(" / ".join(map(str, parts)) + (claim.method if claim.anchor else ""))
    _check_unique(keys, "expectation", place)
    return tuple(claims)


def _parsed(cls: type[Any], listed: Sequence[Any], place: str) -> list[Any]:
    return [parse_dataclass(cls, content, f"{place} {n}") for n, content in enumerate(listed, 1)]


def _list(content: Any, place: str) -> Sequence[Any]:  # noqa: ANN401  (any YAML value)
    if not isinstance(content, list | tuple):
        raise ConfigError(f"{place}: expected a list, got {content!r}")
    return content


def _column(content: Any, place: str) -> Column:  # noqa: ANN401  (any YAML value)
    if isinstance(content, str):
        content = {"metric": content}
    if isinstance(content, dict) and "metric" in content:
        key = str(content["metric"])
        if "better" not in content:
            _check_metric(key, place)
        content = {"name": key, "better": direction(key) or "neither", **content}
    column = parse_dataclass(Column, content, place)
    if column.is_grouped and (
        column.name == column.metric or not column.metric.startswith("test/")
    ):
        raise ConfigError(f"{place}: scenes and rate_scale need a name and a test metric")
    return column


def _check_metric(key: str, place: str) -> None:
    """Raise an error for a metric without a known direction."""
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


def _rows(file: Path, listed: Sequence[Any], place: str) -> list[Row]:
    rows = []
    for number, content in enumerate(listed, 1):
        row = parse_dataclass(Row, content, f"{place}, row {number}", runs=(), score_means={})
        if row.variant is None and not row.published and row.scores is None:
            raise ConfigError(
                f"{place}, row {row.name!r}: needs a variant, published values or scores"
            )
        if row.variant is not None:
            row = replace(
                row, variant=_variant(file.parent / row.variant, f"{place}, row {number}")
            )
        rows.append(row)
    rows = _with_scores(rows, file, place)
    variants = [f"{row.variant} on {row.archive}" for row in rows if row.variant is not None]
    _check_unique(variants, "variant", place)
    return rows


def _with_scores(rows: Sequence[Row], file: Path, place: str) -> list[Row]:
    """Add the means of scores to rows, and check that all rows have scores of the same pictures."""
    pictures: dict[str, tuple[str, set[str]]] = {}
    scored = []
    for row in rows:
        read = read_scores(file.parent / row.scores) if row.scores is not None else {}
        for metric, scores in read.items():
            first, names = pictures.setdefault(metric, (row.name, set(scores)))
            if differing := names ^ scores.keys():
                raise ConfigError(
                    f"{place}, row {row.name!r}: the scores of {metric} are of other pictures than "
                    f"those of row {first!r}: {min(differing)!r} is missing in one of them"
                )
        means = {metric: statistics.fmean(scores.values()) for metric, scores in read.items()}
        scored.append(replace(row, score_means=means))
    return scored


def _variant(path: Path, place: str) -> Path:
    if not path.is_file():
        names = [file.name for file in path.parent.glob("*.yaml")]
        raise ConfigError(f"{place}: no such variant: {path}.{closest(path.name, names, most=3)}")
    return path


def _with_published(
    rows: list[Row],
    curves: Sequence[CurveSpec],
    published_columns: Sequence[PublishedColumn],
    file: Path,
    place: str,
) -> list[Row]:
    """Add published curves to the rows, and a row for each name that has only published values."""
    by_name = {row.name: row for row in rows}
    if len(by_name) < len(rows):
        _check_unique([row.name for row in rows], "row", place)
    for curve in curves:
        if curve.published is None:
            continue
        for name, points in read_points(file.parent / curve.published).items():
            row = by_name.get(name, Row(name))
            if curve.name in row.published:
                text = f"row {name!r}: {curve.name} is given here and in {curve.published}"
                raise ConfigError(f"{place}, {text}")
            by_name[name] = replace(row, published={**row.published, curve.name: points})
    for name in (name for column in published_columns for name in column.values):
        by_name.setdefault(name, Row(name))
    return list(by_name.values())


def _check_command(command: str | None, place: str) -> None:
    try:
        (command or "").format(profile="cpu")
    except (KeyError, IndexError, ValueError) as error:
        raise ConfigError(f"{place}: command: only {{profile}} is replaced: {command}") from error


def _complete(spec: TableSpec, claim: Expectation, place: str) -> Expectation:
    """Check the names of a claim, and fill in a missing curve or reported difference."""
    rows = [row.name for row in spec.rows]
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
    if claim.better_than is not None and claim.reported is None:
        return replace(claim, reported=_published_difference(spec, claim, column))
    return claim


def _check_direction(spec: TableSpec, claim: Expectation, place: str) -> Column:
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


def _published_difference(spec: TableSpec, claim: Expectation, column: Column) -> float | None:
    """Return the improvement between two rows with values of the same source; None otherwise."""
    rows = {row.name: row for row in spec.rows}
    first, second = rows[claim.row], rows[str(claim.other)]
    values = first.value(column.name), second.value(column.name)
    if first.source != second.source or values[0] is None or values[1] is None:
        return None
    difference = (values[0] - values[1]) * (-1.0 if column.better == "lower" else 1.0)
    return difference if difference > 0 else None


def _check_name(name: str, known: Iterable[str], kind: str, place: str) -> None:
    known = list(known)
    if name not in known:
        raise ConfigError(f"{place}: no such {kind}: {name!r}.{closest(name, known, most=3)}")


def _check_unique(names: Sequence[str], kind: str, place: str) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ConfigError(f"{place}: the {kind} {name!r} is given twice")
