"""Dataclasses of a table file: tables, rows, curves, published columns and claims."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final, Literal

from spike_zoo.errors import ConfigError, closest
from spike_zoo.tables.columns import ARROWS, Column, plain_column
from spike_zoo.training.result import Curve, RunResult

DEFAULT_COLUMNS: Final = (
    *("test/psnr", "test/ssim", "test/lpips"),
    *("parameters", "macs", "seconds_per_image"),
)
#: First key of a claim -> keys that it requires, and keys that it allows.
_KINDS: Final[dict[str, tuple[set[str], set[str]]]] = {
    "better_than": (set(), {"at_least", "above", "reported"}),
    "within": ({"of"}, {"above"}),
    "bd_rate_below": ({"anchor"}, set()),
    "at_most": (set(), set()),
    "at_least": (set(), set()),
    "than": (set(), set()),
}


@dataclass(frozen=True)
class Row:
    """One row of a table."""

    name: str  #: text of the first column
    #: configuration file of its runs; None for methods with published values only
    variant: Path | None = None
    #: name of a column -> published value
    published: Mapping[str, float] = field(default_factory=dict)
    archive: str | None = None  #: name of the archive of its runs, if it differs from the table's
    #: name of a curve -> its published points
    curves: Mapping[str, Curve] = field(default_factory=dict)
    runs: tuple[RunResult, ...] = ()  #: records of the row; if empty, all records of the variant


@dataclass(frozen=True)
class Claim:
    """A claim about a row and a column; its keys select the comparison."""

    row: str  #: name of the row
    by: str = ""  #: name of the column, or of the curve with ``bd_rate_below``
    better_than: str | None = None  #: name of the row that must be worse
    #: smallest difference with ``better_than``, otherwise smallest value of the row
    at_least: float | None = None
    #: largest difference from the row ``of``, in the unit of the record
    within: float | None = None
    of: str | None = None  #: name of the row that must be close
    at_most: float | None = None  #: largest value of the row
    than: str | None = None  #: name of the column of the same row whose value must be worse
    #: the row's BD-rate in percent against ``anchor`` must be lower
    bd_rate_below: float | None = None
    anchor: str | None = None  #: name of the row with the anchor curve
    #: name of a row that both rows must exceed; otherwise the claim is not applicable
    above: str | None = None
    reported: float | None = None  #: difference that the source reports, above 0
    statement: str = ""  #: the claim in the words of its source
    paper: bool = False  #: whether the claim is of the paper; otherwise it is our own

    def __post_init__(self) -> None:
        keys = {item.name for item in fields(self) if getattr(self, item.name) != item.default}
        keys -= {"row", "by", "statement", "paper"}
        kind = next((key for key in _KINDS if key in keys), None)
        if kind is None:
            raise ValueError(f"a claim needs one of the keys {', '.join(_KINDS)}")
        required, allowed = _KINDS[kind]
        if required - keys:
            raise ValueError(f"a claim with {kind} needs the key {min(required - keys)!r}")
        unknown = keys - required - allowed - {kind}
        if unknown:
            raise ValueError(f"a claim with {kind} does not take the key {min(unknown)!r}")
        if self.reported is not None and not 0 < self.reported < math.inf:
            raise ValueError(f"reported: expected a finite number above 0, got {self.reported}")
        rows = [name for name in (self.row, self.other, self.anchor, self.above) if name]
        if len(set(rows)) < len(rows):
            raise ValueError("the claim compares a row with itself")

    @property
    def other(self) -> str | None:
        """Name of the compared row; None for limits, columns and BD-rates."""
        return self.better_than or self.of

    @property
    def is_close(self) -> bool:
        """Whether the claim is that two rows are close."""
        return self.within is not None

    @property
    def margin(self) -> float:
        """Largest difference of close rows, or smallest difference of a better row."""
        margin = self.within if self.is_close else self.at_least if self.better_than else None
        return margin or 0.0

    @property
    def limit(self) -> float | None:
        """The number that the row must reach, if it is compared with a number."""
        if self.better_than is not None:
            return None
        limits = (self.bd_rate_below, self.at_most, self.at_least)
        return next((limit for limit in limits if limit is not None), None)

    @property
    def claimed(self) -> float | None:
        """Difference that a test must detect.

        This is the reported difference minus the margin if that is positive, otherwise the reported
        difference. Without a reported difference it is the margin, or None for a margin of 0.
        """
        if self.reported is None:
            return self.margin or None
        above = self.reported - self.margin
        return above if above > 0 else self.reported


@dataclass(frozen=True)
class CurveSpec:
    """A chart with one line for each row that has the curve."""

    #: name in the records, as ``rate_distortion/psnr``. With ``condition`` or ``unit`` it is the
    #: metric, as ``test/psnr``.
    name: str
    x: str  #: heading of the x-axis, with its unit
    y: str  #: heading of the y-axis
    #: scale of the x-axis; ``symlog`` is logarithmic with a linear part that contains 0
    scale: Literal["linear", "log", "symlog"] = "linear"
    anchor: str | None = None  #: name of the row that all BD-rates refer to; None omits BD-rates
    published: str | None = None  #: CSV file of published points
    #: varied condition of recordings named ``NAME.CONDITION-VALUE``. A point is the mean of the
    #: metric over the recordings with the same value.
    condition: str | None = None
    #: unit of the varied value of rows named ``LINE, VALUE UNIT``. A point is the metric of a row;
    #: a line joins the rows with the same ``LINE``.
    unit: str | None = None

    def __post_init__(self) -> None:
        if (self.condition or self.unit) and self.anchor is not None:
            raise ValueError("a curve over a condition has no BD-rate: leave out the anchor")
        if self.condition and self.unit:
            raise ValueError("a curve is over the condition of recordings or the unit of rows")

    @property
    def key(self) -> str:
        """Unique key among the curves of a table."""
        varied = self.condition or self.unit
        return f"{self.name}@{varied}" if varied else self.name


@dataclass(frozen=True)
class PublishedColumn:
    """A column with the values that one source published for one data set."""

    name: str  #: the data set, and the source if several sources measured on it
    metric: str  #: log key of the metric
    source: str  #: source of the values
    values: Mapping[str, float]  #: name of a row -> value

    def __post_init__(self) -> None:
        if not self.values or not all(map(math.isfinite, self.values.values())):
            raise ValueError(f"values: expected finite numbers by row, got {dict(self.values)}")

    @property
    def column(self) -> Column:
        """The column of the metric."""
        return plain_column(self.metric)

    @property
    def title(self) -> str:
        """Heading in Markdown."""
        return f"[{self.name}, {self.column.heading}]{ARROWS[self.column.better]}"

    @property
    def csv_heading(self) -> str:
        """Heading in CSV."""
        return f"{self.name} {self.metric} published"


@dataclass(frozen=True)
class TableSpec:
    """A table to fill with results."""

    title: str  #: heading
    columns: tuple[Column, ...]  #: columns, left to right
    rows: tuple[Row, ...]  #: rows, top to bottom
    source: str | None = None  #: source of the published values
    claims: tuple[Claim, ...] = ()  #: claims about the rows
    note: str | None = None  #: text below the table
    #: protocol of the published values in words, and why ours differ; both for docs/reproduce.md
    protocol: str | None = None
    differs: str | None = None
    archive: str | None = None  #: name of the archive that runs must have used; None accepts any
    one_data: bool = True  #: whether all rows must be measured on the same data
    #: command that reproduces the results; ``{profile}`` is replaced by the profile
    command: str | None = None
    file: Path | None = None  #: the table file
    curves: tuple[CurveSpec, ...] = ()  #: charts below the numbers
    published_columns: tuple[PublishedColumn, ...] = ()  #: columns of values from other sources

    def entry(self, kind: str, name: str) -> str:
        """Return the location of an entry, for error messages."""
        return f"{self.file or 'the table'}: table {self.title!r}, {kind} {name!r}"


def missing_result(place: str, name: str, known: Sequence[str], count: int) -> ConfigError:
    """Return the error for a curve or metric that none of ``count`` results of a table has."""
    hint, names = closest(name, known, most=3), ", ".join(known) or "nothing"
    return ConfigError(f"{place}: none of its {count} results has it.{hint} They have {names}")


@dataclass(frozen=True)
class TableFile:
    """The tables of one file, with the heading of the file."""

    title: str
    tables: tuple[TableSpec, ...]
    path: Path

    @property
    def variants(self) -> tuple[Path, ...]:
        """Every configuration file that a row names, without repetitions."""
        rows = (row for table in self.tables for row in table.rows)
        return tuple(dict.fromkeys(row.variant for row in rows if row.variant is not None))
