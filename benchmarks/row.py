"""A measurement with its reference, and the timing of alternating calls."""

from __future__ import annotations

import gc
import statistics
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

REPEATS = 5


@dataclass(frozen=True)
class Row:
    """A measurement, its reference, and the goal for the ratio of both.

    Attributes:
        name: What was measured.
        value: The measurement.
        unit: Its unit.
        reference: Value of the reference, measured in the same run, in the same unit.
        reference_name: Name of the reference.
        goal: Bound on ``value / reference``, or on ``value`` without a reference.
        at_least: The goal is a lower bound.
        limit: Value at the peak rates of the hardware, in the same unit.
    """

    name: str
    value: float
    unit: str
    reference: float | None = None
    reference_name: str = ""
    goal: float | None = None
    at_least: bool = False
    limit: float | None = None

    @property
    def figure(self) -> float:
        """The value that the goal bounds."""
        return self.value if self.reference is None else self.value / self.reference

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is met; None without one."""
        if self.goal is None:
            return None
        return self.figure >= self.goal if self.at_least else self.figure <= self.goal


def rate_row(name: str, seconds: float, reference: float, goal: float) -> Row:
    """Return the calls per second and those of a reference in float32."""
    limit = "reference, float32"
    return Row(name, 1 / seconds, "per s", 1 / reference, limit, goal, at_least=True)


def alternate(calls: Sequence[Callable[[], object]], repeats: int = REPEATS) -> list[float]:
    """Time calls alternately (A B A B ...), so that a change of speed affects all of them.

    Args:
        calls: Calls to time; each runs once before the timed runs.
        repeats: Timed runs of each call.

    Returns:
        Median seconds of each call.
    """
    return alternating_medians([partial(_seconds, call) for call in calls], repeats)


def alternating_medians(
    calls: Sequence[Callable[[], float]], repeats: int = REPEATS
) -> list[float]:
    """Return the median result of each call, alternating, after one run of each."""
    rounds = [[call() for call in calls] for _ in range(repeats + 1)][1:]
    return [statistics.median(results) for results in zip(*rounds, strict=True)]


def _seconds(call: Callable[[], object]) -> float:
    gc.collect()
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin
