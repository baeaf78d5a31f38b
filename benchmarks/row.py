"""A measurement with its reference, and the timing of alternating calls."""

from __future__ import annotations

import gc
import statistics
import time
from dataclasses import dataclass
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


def alternate(calls: Sequence[Callable[[], object]], repeats: int = REPEATS) -> list[float]:
    """Time calls alternately (A B A B ...), so that a change of speed affects all of them.

    Args:
        calls: Calls to time; each runs once before the timed runs.
        repeats: Timed runs of each call.

    Returns:
        Median seconds of each call.
    """
    for call in calls:
        call()
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats):
        for durations, call in zip(seconds, calls, strict=True):
            gc.collect()
            begin = time.perf_counter()
            call()
            durations.append(time.perf_counter() - begin)
    return [statistics.median(durations) for durations in seconds]
