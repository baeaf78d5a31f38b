"""Significance tests of differences, over seeds (pooled spread) and over paired recordings."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from spike_zoo.metrics.speeds import speed_of, split_speed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from spike_zoo.tables.columns import Column
    from spike_zoo.tables.runs import RecordedRun

LEVEL: Final = 0.05
"""Significance level of every test, and the false discovery rate."""


@dataclass(frozen=True)
class Spread:
    """A standard deviation over seeds.

    Attributes:
        deviation: Pooled over the rows of a table file.
        freedom: Its degrees of freedom.
    """

    deviation: float
    freedom: int


@dataclass(frozen=True)
class Sample:
    """The result of a row.

    Attributes:
        mean: Mean over seeds; NaN if one of them diverged.
        count: Number of seeds.
        spread: Spread over seeds; None if no row has two seeds.
        is_exact: Whether it is independent of the seed.
    """

    mean: float
    count: int = 1
    spread: Spread | None = None
    is_exact: bool = False


@dataclass(frozen=True)
class StandardError:
    """The standard error of a difference.

    Attributes:
        value: In the unit of the difference; 0 without noise.
        freedom: Its degrees of freedom.
    """

    value: float
    freedom: int = 1

    @property
    def bound(self) -> float:
        """Smallest difference that is significant (two-sided)."""
        return self.value * float(_student(self.freedom).ppf(1 - LEVEL / 2)) if self.value else 0.0

    def p_value(self, difference: float) -> float | None:
        """Return the two-sided p-value of a difference, None without noise."""
        if not self.value:
            return None
        return 2 * float(_student(self.freedom).sf(abs(difference) / self.value))


def pool(groups: Iterable[tuple[int, float]]) -> Spread | None:
    """Pool standard deviations, given as (number of values, deviation).

    Returns:
        The pooled spread; None if the degrees of freedom are 0.
    """
    weighted = [(count - 1, deviation) for count, deviation in groups]
    freedom = sum(count for count, _ in weighted)
    if freedom == 0:
        return None
    return Spread(math.sqrt(sum(n * deviation**2 for n, deviation in weighted) / freedom), freedom)


def standard_error(samples: Sequence[Sample]) -> StandardError | None:
    """Return the standard error of a difference of means; None if a spread is not known."""
    noisy = [sample for sample in samples if not sample.is_exact]
    spreads = [sample.spread for sample in noisy if sample.spread is not None]
    if len(spreads) < len(noisy):
        return None
    if not noisy:
        return StandardError(0.0)
    pairs = zip(spreads, noisy, strict=True)
    variance = sum(spread.deviation**2 / sample.count for spread, sample in pairs)
    return StandardError(math.sqrt(variance), min(spread.freedom for spread in spreads))


def seeds_needed(claimed: float, samples: Sequence[Sample], error: StandardError) -> int:
    """Return the number of seeds per row at which a claimed difference is significant."""
    spreads = [s.spread.deviation for s in samples if s.spread is not None and not s.is_exact]
    single = StandardError(math.hypot(*spreads), error.freedom)
    return math.ceil((single.bound / claimed) ** 2)


def by_recording(runs: Sequence[RecordedRun], column: Column) -> dict[str, float]:
    """Return the mean of each recording over images and seeds, from ``per_image.csv``.

    The result is empty if the metric is not recorded per image.
    """
    values = defaultdict(list)
    metric, speed = split_speed(column.measure)
    for run in runs if column.metric.startswith("test/") else ():
        for image in run.images:
            name = str(image["name"])
            is_counted = column.counts(name, image["rate_scale"])
            if is_counted and speed in (None, speed_of(name)) and metric in image:
                values[name].append(image[metric])
    return {name: statistics.fmean(measured) for name, measured in values.items()}


def paired_differences(
    first: Mapping[str, float], second: Mapping[str, float] | float
) -> list[float]:
    """Return the difference of each recording between two rows.

    Args:
        first: Name of a recording -> value.
        second: Name of a recording -> value, or one number for all recordings.

    Returns:
        The differences; empty if the recordings are not the same or a difference is not finite.
    """
    if isinstance(second, int | float):
        second = dict.fromkeys(first, second)
    if first.keys() != second.keys():
        return []
    differences = [value - second[name] for name, value in first.items()]
    return differences if all(map(math.isfinite, differences)) else []


def error_of_mean(values: Sequence[float]) -> StandardError:
    """Return the standard error of the mean of at least two values."""
    return StandardError(statistics.stdev(values) / math.sqrt(len(values)), len(values) - 1)


def significant_at_fdr(p_values: Sequence[float]) -> list[bool]:
    """Return for each p-value whether it is significant at a false discovery rate of 5 %."""
    from scipy.stats import false_discovery_control

    return [bool(p <= LEVEL) for p in false_discovery_control(p_values)] if p_values else []


def p_text(p_value: float) -> str:
    """Format a p-value: ``p = 0.031``."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def _student(freedom: int) -> Any:  # noqa: ANN401  (scipy has no hints)
    from scipy.stats import t

    return t(freedom)
