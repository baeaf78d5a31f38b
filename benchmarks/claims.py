"""Count the verdicts of all committed tables: ``python -m benchmarks.claims``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from spike_zoo.tables import (
    Judgement,
    collect_runs,
    false_discoveries,
    fill_tables,
    read_table_file,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spike_zoo.tables import FilledTable, Verdict

ROOT: Final = Path(__file__).resolve().parents[1]
EXPERIMENTS: Final = ROOT / "experiments"
#: Name of a table file -> the profile of its committed records.
PROFILES: Final = {"table": "cpu", "table_long": "long", "table_longer": "longer"}


def committed_tables() -> dict[Path, list[FilledTable]]:
    """Return all committed tables, filled with the committed records."""
    runs = collect_runs(sorted(EXPERIMENTS.glob("*/results")))
    return {
        path: fill_tables(read_table_file(path).tables, runs, PROFILES[path.stem])
        for path in sorted(EXPERIMENTS.glob("*/table*.yaml"))
    }


def summary(verdicts: Sequence[Verdict]) -> str:
    """Return the counts of verdicts as a Markdown table, and the claims that do not hold."""
    counts = Counter(verdict.judgement for verdict in verdicts)
    over = Counter(one.recordings.judgement for one in verdicts if one.recordings)
    lines = ["| verdict | claims | over recordings |", "| --- | ---: | ---: |"]
    lines += [f"| {one.value} | {counts[one]} | {over[one] or ''} |" for one in Judgement]
    lines += [f"| all | {counts.total()} | {over.total()} |"]
    return "\n".join([*lines, "", false_discoveries(verdicts)])


def main() -> None:
    """Print the summary."""
    tables = [table for filled in committed_tables().values() for table in filled]
    print(summary([verdict for table in tables for verdict in table.verdicts]))


if __name__ == "__main__":
    main()
