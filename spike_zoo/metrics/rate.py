"""What a bitstream costs, what that saves, and how two curves of rate and quality compare.

Plain numbers, so that tables need none of the libraries that measure.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, get_args

if TYPE_CHECKING:
    from collections.abc import Sequence

Interpolation = Literal["cubic", "pchip"]
FEWEST_POINTS: Final = 4
"""Of each curve: with fewer a third-order polynomial is not determined."""


class BDRate(NamedTuple):
    """How much more rate a curve needs than another for the same quality.

    Attributes:
        percent: Below 0 it needs less; NaN where both cannot be compared.
        reason: Why not, empty where they can.
        overlap: Range of qualities on both curves, as a share of the smaller of their ranges. A
            BD-rate of a small overlap says little.
    """

    percent: float
    reason: str = ""
    overlap: float = 0.0


class AccuracyDecrease(NamedTuple):
    """What compression takes from an accuracy.

    Attributes:
        points: Difference in percentage points.
        percent: The same as a share of the accuracy before, in percent.
    """

    points: float
    percent: float


def bpp(n_bytes: float, shape: tuple[int, int, int]) -> float:
    """Return bits per pixel and plane; bit-packed spikes have 1.

    Args:
        n_bytes: Of the complete file, headers included.
        shape: The recording's planes, height and width ``(T, H, W)``.

    Raises:
        ValueError: If the bytes are negative, or a side is below 1.

    Example:
        >>> bpp(1025, (41, 200, 10)), bpp(41 * 200 * 10 / 8, (41, 200, 10))
        (0.1, 1.0)
    """
    if n_bytes < 0 or min(shape) < 1:
        raise ValueError(f"{n_bytes} bytes of a recording {shape}: expected (T, H, W), all above 0")
    return 8 * n_bytes / math.prod(shape)


def bpp_f(n_bytes: float, shape: tuple[int, int, int], features: int) -> float:
    """Return bits per pixel and *feature*; with 5 features of 41 planes 8.2 times :func:`bpp`.

    Args:
        n_bytes: As in :func:`bpp`.
        shape: The recording's ``(T, H, W)``.
        features: How many the planes were turned into.

    Raises:
        ValueError: As :func:`bpp` does, and if there is no feature.

    Example:
        >>> bpp_f(1025, (41, 200, 10), 5)
        0.82
    """
    return bpp(n_bytes, (features, *shape[1:]))


def bit_saving(rate: float) -> float:
    """Return what is saved of the raw spikes' 1 bit per pixel and plane, in percent.

    Example:
        >>> bit_saving(0.25)
        75.0
    """
    return 100 * (1 - rate)


def accuracy_decrease(before: float, after: float) -> AccuracyDecrease:
    """Return what compression takes from an accuracy, absolute and relative.

    The paper's tables do not say which of both they have.

    Args:
        before: Accuracy without compression, in [0, 1]; of 0 there is no share, so ``percent`` is
            NaN.
        after: With it, in [0, 1].

    Raises:
        ValueError: If one is outside its range.

    Example:
        >>> accuracy_decrease(0.75, 0.5)
        AccuracyDecrease(points=25.0, percent=33.33333333333333)
    """
    if not (0 <= before <= 1 and 0 <= after <= 1):
        raise ValueError(f"accuracies are shares of 1: {before} and {after}")
    points = 100 * (before - after)
    return AccuracyDecrease(points, points / before if before else math.nan)


def bd_rate(
    anchor: Sequence[tuple[float, float]],
    tested: Sequence[tuple[float, float]],
    method: Interpolation = "cubic",
) -> BDRate:
    """Return the Bjøntegaard delta of two curves: how much more rate the tested one needs.

    The logarithm of the rate is interpolated over quality, and the difference averaged where both
    curves have qualities. Points may come in any order.

    Args:
        anchor: ``(rate, quality)`` of the curve that it is held against.
        tested: Likewise of the one in question.
        method: ``"cubic"``: one polynomial of third order, as Bjøntegaard did; ``"pchip"``:
            piecewise cubic Hermite polynomials, as standards do, which do not swing between points.

    Returns:
        The percent, NaN with a reason where a curve has fewer than 4 points, a rate that is not
        above 0, or a quality that does not grow with the rate, or where no quality is on both.

    Raises:
        ValueError: If the method is neither of both.

    Source: Bjøntegaard, *Calculation of average PSNR differences between RD-curves*, VCEG-M33,
    2001.

    Example:
        >>> curve = [(0.1, 30.0), (0.2, 33.0), (0.4, 35.5), (0.8, 37.0)]
        >>> half = [(rate / 2, quality) for rate, quality in curve]
        >>> round(bd_rate(curve, half).percent, 6), bd_rate(curve, half[:3]).reason
        (-50.0, 'the tested curve has 3 points, 4 are needed')
    """
    if method not in get_args(Interpolation):
        raise ValueError(f"method must be cubic or pchip, got {method!r}")
    anchor, tested = sorted(anchor), sorted(tested)
    reason = _fault("the anchor", anchor) or _fault("the tested curve", tested)
    reason = reason or _apart([one for _, one in anchor], [one for _, one in tested])
    if reason:
        return BDRate(math.nan, reason)
    low, high = max(anchor[0][1], tested[0][1]), min(anchor[-1][1], tested[-1][1])
    areas = [_log_rate_integral(curve, low, high, method) for curve in (anchor, tested)]
    smaller = min(curve[-1][1] - curve[0][1] for curve in (anchor, tested))
    percent = 100 * (10 ** ((areas[1] - areas[0]) / (high - low)) - 1)
    return BDRate(percent, overlap=(high - low) / smaller)


def _log_rate_integral(
    curve: Sequence[tuple[float, float]], low: float, high: float, method: Interpolation
) -> float:
    """Return the integral of the interpolated log10 rate between two qualities."""
    import numpy as np

    rates, qualities = np.array(curve).T
    if method == "cubic":
        integral = np.polynomial.Polynomial.fit(qualities, np.log10(rates), 3).integ()
    else:
        from scipy.interpolate import PchipInterpolator

        integral = PchipInterpolator(qualities, np.log10(rates)).antiderivative()
    return float(integral(high) - integral(low))


def _fault(name: str, curve: Sequence[tuple[float, float]]) -> str:
    """Return why a curve has no BD-rate, nothing where it has one."""
    if len(curve) < FEWEST_POINTS:
        return f"{name} has {len(curve)} points, {FEWEST_POINTS} are needed"
    if not all(math.isfinite(value) for point in curve for value in point) or curve[0][0] <= 0:
        return f"{name} has points that are not finite, or rates that are not above 0"
    if any(first[1] >= second[1] or first[0] == second[0] for first, second in pairwise(curve)):
        return f"the quality of {name} does not grow with its rate"
    return ""


def _apart(anchor: Sequence[float], tested: Sequence[float]) -> str:
    """Return how far apart the qualities of two curves are, nothing where they overlap."""
    low, high = max(anchor[0], tested[0]), min(anchor[-1], tested[-1])
    if low < high:
        return ""
    return (
        f"no quality is on both curves: {anchor[0]:.4g} to {anchor[-1]:.4g} and "
        f"{tested[0]:.4g} to {tested[-1]:.4g}"
    )
