"""Cells and rows of a table with their numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spike_zoo.tables.columns import Column
    from spike_zoo.tables.recorded import RecordedRun
    from spike_zoo.tables.spec import Row


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

    def is_exact(self, column: Column) -> bool:
        """Tell whether seeds cannot change what it has in a column, as far as its runs tell."""
        if column.is_exact:
            return True
        is_untrained = bool(self.runs) and not any(run.is_trained for run in self.runs)
        return is_untrained and not column.is_cost
