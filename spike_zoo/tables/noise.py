"""How large a difference must be to count: pooled spread of seeds, standard errors, p-values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
        spread: How much seeds differ; None if no row was run with two seeds.
        is_exact: Whether seeds cannot change it.
    """

    mean: float
    count: int = 1
    spread: Spread | None = None
    is_exact: bool = False


@dataclass(frozen=True)
class StandardError:
    """The standard error of a difference.

    Attributes:
        value: In the unit of the difference; 0 if it has no noise.
        freedom: Its degrees of freedom.
    """

    value: float
    freedom: int = 1

    @property
    def bound(self) -> float:
        """Smallest difference that is significant (two-sided)."""
        return self.value * float(_student(self.freedom).ppf(1 - LEVEL / 2)) if self.value else 0.0

    def p_value(self, difference: float) -> float | None:
        """Return the two-sided p-value of a difference, None if it has no noise."""
        if not self.value:
            return None
        return 2 * float(_student(self.freedom).sf(abs(difference) / self.value))


def pool(groups: Iterable[tuple[int, float]]) -> Spread | None:
    """Pool standard deviations, given as (number of values, deviation); None without any."""
    listed = [(count - 1, deviation) for count, deviation in groups]
    freedom = sum(count for count, _ in listed)
    if freedom == 0:
        return None
    return Spread(math.sqrt(sum(n * deviation**2 for n, deviation in listed) / freedom), freedom)


def standard_error(samples: Sequence[Sample]) -> StandardError | None:
    """Return the standard error of a difference of means, None if the spread is not known."""
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
    """Return how many seeds a row needs until the bound is no larger than a difference."""
    spreads = [s.spread.deviation for s in samples if s.spread is not None and not s.is_exact]
    single = StandardError(math.hypot(*spreads), error.freedom)
    return math.ceil((single.bound / claimed) ** 2)


def discoveries(p_values: Sequence[float]) -> list[bool]:
    """Return which p-values are significant at a false discovery rate of 5 %."""
    from scipy.stats import false_discovery_control

    return [bool(p <= LEVEL) for p in false_discovery_control(p_values)] if p_values else []


def p_text(p_value: float) -> str:
    """Return a p-value in words: ``p = 0.031``."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def _student(freedom: int) -> Any:  # noqa: ANN401  (scipy has no hints)
    from scipy.stats import t

    return t(freedom)
