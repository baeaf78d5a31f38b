"""A table as data: rows, columns, published values and the trend to check, read from YAML."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from spike_zoo.metrics.rate import Interpolation
    from spike_zoo.records.result import Curve, RunResult
    from spike_zoo.tables.columns import Column

DEFAULT_COLUMNS = (
    "test/psnr",
    "test/ssim",
    "test/lpips",
    "parameters",
    "macs",
    "seconds_per_image",
)


@dataclass(frozen=True)
class Row:
    """One row: which runs it shows and what was published for it.

    Attributes:
        name: What stands in the first column.
        variant: The configuration its runs were made with; None for methods that only others
            have measured.
        published: Name of a column -> value of the source.
        source: Where these values stand, if not where the table's do.
        archive: Name of the archive its runs were made on, if not the table's.
        runs: Only these records count; all of the variant where none is named.
        published_curves: Name of a curve -> points of the source.
    """

    name: str
    variant: Path | None = None
    published: Mapping[str, float] = field(default_factory=dict)
    source: str | None = None
    archive: str | None = None
    runs: tuple[RunResult, ...] = ()
    published_curves: Mapping[str, Curve] = field(default_factory=dict)

    @property
    def is_published(self) -> bool:
        """Whether a source says anything about it."""
        return bool(self.published or self.published_curves)


@dataclass(frozen=True)
class Expectation:
    """A claim about a row and one column, held against another row, a number or another column.

    Attributes:
        row: The row that the claim is about.
        other: The row it is held against; None where it is held against something else.
        by: Name of the column.
        margin: With ``is_close`` the largest difference that is still close, else the least by
            which ``row`` must be better; in the unit of the record.
        is_close: Whether the claim is that both are close, not that one is better.
        claim: What the source says, where given.
        above: Name of a row that both must be better than for the claim to mean anything.
        limit: The number that the row must reach: at most where less is better, else at least.
        than: Name of the column of the same row whose number must be worse.
        anchor: Name of a row against whose curve the row's BD-rate must be below ``limit``; then
            ``by`` is the name of the curve.
        method: How that BD-rate interpolates.
        reported: The difference that the source reports, in the column's direction, above 0; None
            where nobody knows it.
    """

    row: str
    other: str | None
    by: str
    margin: float = 0.0
    is_close: bool = False
    claim: str = ""
    above: str | None = None
    limit: float | None = None
    than: str | None = None
    anchor: str | None = None
    method: Interpolation = "cubic"
    reported: float | None = None

    @property
    def claimed(self) -> float | None:
        """The difference that seeds must tell: what was reported above the margin, else that."""
        if self.reported is None:
            return self.margin or None
        above = self.reported - self.margin
        return above if above > 0 else self.reported

    @property
    def held_against(self) -> str:
        """What the row is held against, for errors."""
        return str(self.other) if self.anchor is None else f"{self.anchor}, {self.method}"


@dataclass(frozen=True)
class CurveSpec:
    """A drawing of curves, one for each row that has it.

    Attributes:
        name: What records call it, as ``rate_distortion/psnr``.
        x: What stands below, with its unit.
        y: What stands beside.
        is_logarithmic: Whether the axis below is.
        anchor: Name of the row that BD-rates of all others are held against; None shows none.
    """

    name: str
    x: str
    y: str
    is_logarithmic: bool = False
    anchor: str | None = None


@dataclass(frozen=True)
class PublishedColumn:
    """Values of one source on one set: a column of its own, never beside ours.

    Attributes:
        name: The set, and the source where several measured on it.
        column: What was measured.
        source: Where the values stand.
        values: Name of a row -> value.
    """

    name: str
    column: Column
    source: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class TableSpec:
    """A table to be filled with results.

    Attributes:
        title: Heading.
        columns: The columns, left to right.
        rows: The rows, top to bottom.
        source: Where the published values stand.
        expect: What the rows should show.
        note: What a reader should know.
        archive: Name of the archive that runs must have been made on; default any.
        one_data: Whether the rows must have been measured on the same data.
        command: The command that makes the results again; ``{profile}`` stands for the profile.
        file: Where it was read.
        curves: What is drawn below the numbers.
        published_columns: Values of others that stand in columns of their own.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    source: str | None = None
    expect: tuple[Expectation, ...] = ()
    note: str | None = None
    archive: str | None = None
    one_data: bool = True
    command: str | None = None
    file: Path | None = None
    curves: tuple[CurveSpec, ...] = ()
    published_columns: tuple[PublishedColumn, ...] = ()


@dataclass(frozen=True)
class TableFile:
    """The tables of one file.

    Attributes:
        title: Heading of all.
        tables: The tables; their own headings are empty where there is only one.
        path: The file.
    """

    title: str
    tables: tuple[TableSpec, ...]
    path: Path

    @property
    def variants(self) -> tuple[Path, ...]:
        """Every configuration that a row names, once."""
        rows = (row for table in self.tables for row in table.rows)
        return tuple(dict.fromkeys(row.variant for row in rows if row.variant is not None))
