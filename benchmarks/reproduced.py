"""A run beside the committed record of the same recipe: ``python -m benchmarks.reproduced``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from spike_zoo.errors import SpikeZooError
from spike_zoo.tracking import RunResult

if TYPE_CHECKING:
    from collections.abc import Iterator

WITHIN = 0.1  # dB


def compared(committed: RunResult, again: RunResult) -> dict[str, tuple[float, float]]:
    """Return the PSNRs of both records by name: those of the test, else of the validation.

    Raises:
        ValueError: If they have none in common.
    """
    both = {
        name: (value, again.metrics[name])
        for name, value in committed.metrics.items()
        if "psnr" in name and name in again.metrics
    }
    tested = {name: values for name, values in both.items() if name.startswith("test/")}
    if not both:
        raise ValueError("the records have no PSNR in common")
    return tested or both


def differences(committed: RunResult, again: RunResult) -> Iterator[str]:
    """Yield what was not the same in both runs."""
    if committed.data_sha256 != again.data_sha256:
        yield f"data {str(committed.data_sha256)[:12]} then, {str(again.data_sha256)[:12]} now"
    if committed.config_hash != again.config_hash:
        yield f"configuration {committed.config_hash} then, {again.config_hash} now"
    for name in sorted(committed.versions.keys() & again.versions.keys()):
        if committed.versions[name] != again.versions[name]:
            yield f"{name} {committed.versions[name]} then, {again.versions[name]} now"


def main() -> int:
    """Show both records; 1 where a PSNR is further than ``--within`` from the committed one."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reproduced", description=__doc__)
    parser.add_argument("committed", help="the committed result.json")
    parser.add_argument("again", help="the run that was made now, or its result.json")
    parser.add_argument("--within", type=float, default=WITHIN, help="dB; default %(default)s")
    arguments = parser.parse_args()
    try:
        committed, again = RunResult.read(arguments.committed), RunResult.read(arguments.again)
        rows = compared(committed, again)
    except (SpikeZooError, ValueError) as error:
        parser.error(str(error))
    table = Table("measured", "committed", "again", "difference (dB)", title=arguments.again)
    for name, (then, now) in rows.items():
        table.add_row(name, f"{then:.3f}", f"{now:.3f}", f"{now - then:+.3f}")
    console = Console()
    console.print(table)
    for difference in differences(committed, again):
        console.print(f"not the same: {difference}")
    is_same = all(abs(now - then) <= arguments.within for then, now in rows.values())
    console.print(
        f"{'reproduced' if is_same else 'NOT reproduced'}: the goal is {arguments.within:g} dB; "
        f"the runs took {committed.wall_seconds / 60:.0f} and {again.wall_seconds / 60:.0f} minutes"
    )
    return 0 if is_same else 1


if __name__ == "__main__":
    raise SystemExit(main())
