"""Tables, rows and cells with their numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spike_zoo.tables.columns import Column
    from spike_zoo.tables.curves import FilledCurve
    from spike_zoo.tables.expect import Verdict
    from spike_zoo.tables.recorded import RecordedRun
    from spike_zoo.tables.spec import Row, TableSpec


@dataclass(frozen=True)
class Cell:
    """What the runs of a row measured, and what was published; None where nothing was.

    Attributes:
        mean: Mean over the runs; None if one of them diverged.
        deviation: Their standard deviation (n - 1); None for less than two.
        count: How many runs.
        published: The published value.
        diverged: How many runs have a value that is not finite.
    """

    mean: float | None
    deviation: float | None = None
    count: int = 0
    published: float | None = None
    diverged: int = 0


@dataclass(frozen=True)
class FilledRow:
    """A row with its numbers.

    Attributes:
        row: What the table's file says.
        cells: In the order of the columns.
        runs: What they were taken from.
        stands_out: Whether data or profile are not those of most rows.
    """

    row: Row
    cells: tuple[Cell, ...]
    runs: tuple[RecordedRun, ...]
    stands_out: bool = False

    @property
    def name(self) -> str:
        """What stands in the first column."""
        return self.row.name

    @property
    def is_trained(self) -> bool:
        """Whether one of its runs was trained, so that seeds change its results."""
        return any(run.is_trained for run in self.runs)

    def is_exact(self, column: Column) -> bool:
        """Tell whether seeds cannot change what it has in a column, as far as its runs tell."""
        if column.is_exact:
            return True
        return bool(self.runs) and not self.is_trained and not column.is_cost


@dataclass(frozen=True)
class FilledTable:
    """A table with its numbers.

    Attributes:
        spec: What the table's file says.
        rows: The rows, top to bottom.
        warnings: Why the rows cannot simply be compared.
        notes: Where the numbers come from.
        verdicts: What became of the expectations.
        curves: What is drawn below the numbers.
    """

    spec: TableSpec
    rows: tuple[FilledRow, ...]
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    curves: tuple[FilledCurve, ...] = ()

    @property
    def title(self) -> str:
        """The heading."""
        return self.spec.title

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns, left to right."""
        return self.spec.columns
