"""Count the results of the claims of all committed tables: ``python -m benchmarks.claims``."""

from __future__ import annotations

import argparse
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from spike_zoo.tables import collect_runs, fill_tables, read_table_file
from spike_zoo.tables.claims import Result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    """Return the counts of results as a Markdown table, those of the papers' claims first."""
    papers, ours = (
        Counter(one.result for one in results if one.claim.paper is is_paper)
        for is_paper in (True, False)
    )
    lines = [f"| {one} | {papers[one]} | {ours[one]} |" for one in Result]
    head = ["| result | claims of the papers | our claims |", "| --- | ---: | ---: |"]
    reasons = Counter(_of_what(one.reason) for one in results if one.reason)
    listed = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common())
    few = [one for one in results if one.reason.endswith(("photograph", "photographs"))]
    seeds = Counter(one.over_seeds.result for one in few if one.over_seeds)
    counts = ", ".join(f"{seeds[one]} {one}" for one in Result if seeds[one])
    total = f"| all | {papers.total()} | {ours.total()} |"
    return "\n".join(
        [
            *head,
            *lines,
            total,
            "",
            f"Why claims are undecided: {listed}.",
            "",
            f"Over seeds alone, on fewer than six photographs: {counts}.",
        ]
    )


def _of_what(reason: str) -> str:
    """Return a reason without its numbers."""
    text = re.sub(r"^\d+ photographs?$", "fewer than six photographs", reason)
    return re.sub(r"the claimed .*", "the claimed difference", text)


def papers(tables: Mapping[Path, Sequence[FilledTable]]) -> str:
    """Return a line for each claim of the papers, with its result and the reason."""
    lines = ["| source | claim | result | reason |", "|---|---|---|---|"]
    for path, filled in tables.items():
        for table in filled:
            for one in (result for result in table.claims if result.claim.paper):
                reason = "; ".join(filter(None, (one.reason, one.detail or "no runs")))
                source = f"[{table.title}]({path.parent.name}/results/{path.stem}.md)"
                lines.append(f"| {source} | {one.text} | {one.result} | {reason} |")
    return "\n".join(lines)


def main() -> None:
    """Print the summary, with ``--papers`` also the claims of the papers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--papers", action="store_true", help="list the claims of the papers")
    tables = committed_tables()
    results = [one for filled in tables.values() for table in filled for one in table.claims]
    print(summary(results))
    if parser.parse_args().papers:
        print(f"\n{papers(tables)}")


if __name__ == "__main__":
    main()
