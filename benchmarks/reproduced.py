"""Compare a run with the committed record of its recipe: ``python -m benchmarks.reproduced``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from spike_zoo.errors import SpikeZooError
from spike_zoo.training.provenance import differences as settings
from spike_zoo.training.result import RunResult

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Compared metric (the first that both records have): tolerance and unit.
WITHIN = {"psnr": (0.1, " dB"), "accuracy": (0.02, "")}


def compared(committed: RunResult, again: RunResult) -> tuple[str, dict[str, tuple[float, float]]]:
    """Return the compared metrics, and the values of both records by name.

    Values are those of the test, else of the validation.

    Raises:
        ValueError: If the records have none in common.
    """
    for kind in WITHIN:
        both = {
            name: (value, again.metrics[name])
            for name, value in committed.metrics.items()
            if kind in name and name in again.metrics
        }
        tested = {name: values for name, values in both.items() if name.startswith("test/")}
        if both:
            return kind, tested or both
    raise ValueError("the records have no PSNR and no accuracy in common")


def differences(committed: RunResult, again: RunResult) -> Iterator[str]:
    """Yield the differences between the two runs' settings."""
    if committed.data_sha256 != again.data_sha256:
        yield f"data {str(committed.data_sha256)[:12]} then, {str(again.data_sha256)[:12]} now"
    yield from settings(committed.config, again.config, defaults={})
    for name in sorted(committed.versions.keys() & again.versions.keys()):
        if committed.versions[name] != again.versions[name]:
            yield f"{name} {committed.versions[name]} then, {again.versions[name]} now"


def main() -> int:
    """Print both records; return 1 if a value differs by more than ``--within``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reproduced", description=__doc__)
    parser.add_argument("committed", help="the committed result.json")
    parser.add_argument("again", help="the run that was made now, or its result.json")
    limits = ", ".join(f"{limit:g}{unit} of {kind}" for kind, (limit, unit) in WITHIN.items())
    parser.add_argument("--within", type=float, help=f"how far apart; by default {limits}")
    arguments = parser.parse_args()
    try:
        committed, again = RunResult.read(arguments.committed), RunResult.read(arguments.again)
        kind, rows = compared(committed, again)
    except (SpikeZooError, ValueError) as error:
        parser.error(str(error))
    limit, unit = WITHIN[kind]
    limit = limit if arguments.within is None else arguments.within
    table = Table("measured", "committed", "again", "difference", title=arguments.again)
    for name, (then, now) in rows.items():
        table.add_row(name, f"{then:.3f}", f"{now:.3f}", f"{now - then:+.3f}")
    console = Console()
    console.print(table)
    for difference in differences(committed, again):
        console.print(f"not the same: {difference}")
    further = [name for name, (then, now) in rows.items() if abs(now - then) > limit]
    console.print(
        f"{'NOT reproduced' if further else 'reproduced'}: the goal is {limit:g}{unit}; "
        f"the runs took {committed.wall_seconds / 60:.0f} and {again.wall_seconds / 60:.0f} minutes"
    )
    if further:
        console.print(f"further off: {', '.join(further)}")
    return 1 if further else 0


if __name__ == "__main__":
    raise SystemExit(main())
