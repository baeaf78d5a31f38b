"""Count the results of the claims of all committed tables: ``python -m benchmarks.claims``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from spike_zoo.tables import collect_runs, fill_tables, read_table_file
from spike_zoo.tables.claims import DECIDED, Result, false_discoveries, significant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spike_zoo.tables.claims import ClaimResult
    from spike_zoo.tables.fill import FilledTable

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


def summary(results: Sequence[ClaimResult]) -> str:
    """Return the counts of results as a Markdown table, and those that remain significant."""
    counts = Counter(one.result for one in results)
    over = Counter(one.recordings.result for one in results if one.recordings)
    lines = ["| result | claims | over recordings |", "| --- | ---: | ---: |"]
    lines += [f"| {one} | {counts[one]} | {over[one] or ''} |" for one in Result]
    lines += [f"| all | {counts.total()} | {over.total()} |"]
    remaining = significant(results)
    decided = [claim for claim in results if claim.result in DECIDED]
    kept = [claim for claim in decided if claim.p_value is None or claim in remaining]
    tested = [claim.recordings.result is claim.result for claim in kept if claim.recordings]
    lines += [
        "",
        f"{len(decided)} claims are decided (supported or not supported), {len(kept)} of them at a "
        "false discovery rate of 5 % or without a test. "
        f"The test over recordings has the same result for {sum(tested)} of the {len(tested)} "
        "that have values of images.",
    ]
    return "\n".join([*lines, "", false_discoveries(results)])


def main() -> None:
    """Print the summary."""
    tables = [table for filled in committed_tables().values() for table in filled]
    print(summary([result for table in tables for result in table.claims]))


if __name__ == "__main__":
    main()
