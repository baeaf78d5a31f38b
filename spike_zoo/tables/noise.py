"""Samples of rows, and the noise of differences between them."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from spike_zoo.metrics.speeds import photograph_of
from spike_zoo.tables.columns import Column

LEVEL: Final = 0.05
"""Significance level of every test, and the false discovery rate."""
_OUTLIER_LEVEL: Final = 0.01  # ISO 5725-2
_ROUNDING: Final = 1e-6  # relative, of results in single precision


@dataclass(frozen=True)
class Sample:
    """The result of a row."""

    mean: float  #: mean over seeds; NaN if one of them diverged
    count: int = 1  #: number of seeds
    #: standard deviation over seeds, pooled over rows; NaN if no row has two seeds
    deviation: float = 0.0
    #: degrees of freedom of the deviation; infinite for a value without noise of seeds
    freedom: float = math.inf


class PValue(NamedTuple):
    """The p-value of a difference."""

    value: float
    null: float  #: the difference that the null hypothesis states

    def text(self, column: Column) -> str:
        """Text with the null hypothesis: ``p = 0.012 against 0.10``."""
        value = f"= {self.value:.3f}" if self.value >= 0.001 else "< 0.001"
        return f"p {value} against {column.text(self.null) if self.null else 0}"


class Noise(NamedTuple):
    """The standard error of a difference, NaN if it is unknown, with its degrees of freedom."""

    error: float
    freedom: float

    @property
    def bound(self) -> float:
        """Smallest difference that is significant (two-sided)."""
        return self.error * float(_student(self.freedom).ppf(1 - LEVEL / 2)) if self.error else 0.0

    def p_value(self, difference: float, relevant: float = 0.0) -> PValue | None:
        """Return the p-value of a difference that is above 0 or below the relevant difference.

        Both tests are one-sided, and the smaller p-value is doubled; 1 at most. None without noise.
        """
        if not self.error > 0:
            return None
        student = _student(self.freedom)
        above, below = (
            min(1.0, 2 * float(student.sf(d / self.error)))
            for d in (difference, relevant - difference)
        )
        is_above = above <= LEVEL or above <= below
        return PValue(above, 0.0) if is_above else PValue(below, relevant)


def outliers(groups: Mapping[Any, tuple[int, float]]) -> set[Any]:
    """Return the keys of groups whose variance is an outlier by Cochran's test, largest first.

    Each value is the number of values of a group and their standard deviation.
    """
    from scipy.stats import f

    rest = dict(groups)
    while len(rest) > 2:
        largest = max(rest, key=lambda key: rest[key][1])
        deviation, freedom = pool(group for key, group in rest.items() if key != largest)
        count, own = rest[largest]
        ratio = (own / deviation) ** 2 if deviation else 0.0
        if len(rest) * float(f.sf(ratio, count - 1, freedom)) >= _OUTLIER_LEVEL:
            break
        del rest[largest]
    return groups.keys() - rest.keys()


def varies(mean: float, deviation: float) -> bool:
    """Return whether the results of seeds differ by more than rounding in single precision.

    Equal results of all seeds do not show the noise.
    """
    return deviation > _ROUNDING * abs(mean)


def pool(groups: Iterable[tuple[int, float]]) -> tuple[float, float]:
    """Pool pairs of number of values and standard deviation.

    Returns:
        The pooled deviation and its degrees of freedom; NaN and 0 without two values of a group.
    """
    weighted = [(count - 1, deviation) for count, deviation in groups]
    freedom = sum(count for count, _ in weighted)
    variance = sum(count * deviation**2 for count, deviation in weighted)
    return math.sqrt(variance / freedom) if freedom else math.nan, freedom


def noise_of(samples: Sequence[Sample]) -> Noise:
    """Return the noise of a difference of means."""
    variance = sum(sample.deviation**2 / sample.count for sample in samples)
    return Noise(math.sqrt(variance), min(sample.freedom for sample in samples))


def paired_differences(
    first: Mapping[str, float], second: Mapping[str, float] | float
) -> list[float]:
    """Return the mean difference of each photograph between two rows, or from a number.

    Values are those of recordings by name. The list is empty if the recordings are not
    the same or a difference is not finite.
    """
    others = dict.fromkeys(first, second) if isinstance(second, int | float) else second
    if first.keys() != others.keys():
        return []
    differences = defaultdict[str, list[float]](list)
    for name, value in first.items():
        differences[photograph_of(name)].append(value - others[name])
    means = [statistics.fmean(values) for values in differences.values()]
    return means if all(map(math.isfinite, means)) else []


def _student(freedom: float) -> Any:  # noqa: ANN401  (scipy has no hints)
    from scipy.stats import t

    return t(freedom)
