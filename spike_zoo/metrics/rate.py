"""Rate of bitstreams (bpp, bit saving), accuracy decrease, and BD-rate of two curves.

Does not import torch, so that tables load fast.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, Literal, NamedTuple, get_args

Interpolation = Literal["cubic", "pchip"]
MIN_POINTS: Final = 4
"""Least number of points of a curve, because a polynomial of third order has 4 coefficients."""


class BDRate(NamedTuple):
    """Bjøntegaard delta of a tested curve against an anchor."""

    #: additional rate at equal quality; negative if the tested curve needs less rate, NaN if the
    #: curves cannot be compared
    percent: float
    reason: str = ""  #: why the curves cannot be compared; empty if they can
    #: Common range of quality, as a fraction of the smaller of the two ranges. With a small overlap
    #: the BD-rate is not meaningful.
    overlap: float = 0.0


class AccuracyDecrease(NamedTuple):
    """Decrease of an accuracy by compression."""

    points: float  #: difference in percentage points
    percent: float  #: difference relative to the accuracy without compression, in percent


def bpp(n_bytes: float, shape: tuple[int, int, int]) -> float:
    """Return bits per pixel and plane; bit-packed spikes have 1.

    Args:
        n_bytes: Size of the complete file, headers included.
        shape: Planes, height and width of the recording, ``(T, H, W)``.

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
    """Return bits per pixel and *feature*; for 5 features of 41 planes 8.2 times :func:`bpp`.

    Args:
        n_bytes: As in :func:`bpp`.
        shape: Planes, height and width of the recording, ``(T, H, W)``.
        features: Number of features that represent the planes.

    Raises:
        ValueError: If the bytes are negative, or a side or ``features`` is below 1.

    Example:
        >>> bpp_f(1025, (41, 200, 10), 5)
        0.82
    """
    return bpp(n_bytes, (features, *shape[1:]))


def bit_saving(rate: float) -> float:
    """Return the saving against raw spikes (1 bit per pixel and plane), in percent.

    Example:
        >>> bit_saving(0.25)
        75.0
    """
    return 100 * (1 - rate)


def accuracy_decrease(before: float, after: float) -> AccuracyDecrease:
    """Return the absolute and the relative decrease of an accuracy by compression.

    The paper's tables do not state which of the two they list.

    Args:
        before: Accuracy without compression, in [0, 1]. If it is 0, ``percent`` is NaN.
        after: Accuracy with compression, in [0, 1].

    Raises:
        ValueError: If an accuracy is outside [0, 1].

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
    """Return the Bjøntegaard delta rate of a curve against an anchor.

    The logarithm of the rate is interpolated over quality, and the difference is averaged over the
    common range of quality. Points may be in any order.

    Args:
        anchor: Points ``(rate, quality)`` of the anchor.
        tested: Points ``(rate, quality)`` of the tested curve.
        method: ``"cubic"``: one polynomial of third order, as Bjøntegaard did; ``"pchip"``:
            piecewise cubic Hermite polynomials, as in standards, which do not overshoot between
            points.

    Returns:
        The BD-rate. It is NaN with a reason if a curve has fewer than 4 points, a rate of 0 or
        less, or a quality that does not increase with the rate, or if the ranges of quality do not
        overlap.

    Raises:
        ValueError: If the method is unknown.

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
    reason = reason or _gap([quality for _, quality in anchor], [quality for _, quality in tested])
    if reason:
        return BDRate(math.nan, reason)
    import bjontegaard  # loads matplotlib

    points = [values for curve in (anchor, tested) for values in zip(*curve, strict=True)]
    options = {"require_matching_points": False, "min_overlap": 0}
    percent = float(bjontegaard.bd_rate(*points, method, **options))
    low, high = max(anchor[0][1], tested[0][1]), min(anchor[-1][1], tested[-1][1])
    smaller = min(curve[-1][1] - curve[0][1] for curve in (anchor, tested))
    return BDRate(percent, overlap=(high - low) / smaller)


def _fault(name: str, curve: Sequence[tuple[float, float]]) -> str:
    """Return why a curve has no BD-rate; empty if it has one."""
    if len(curve) < MIN_POINTS:
        return f"{name} has {len(curve)} points, {MIN_POINTS} are needed"
    if not all(math.isfinite(value) for point in curve for value in point) or curve[0][0] <= 0:
        return f"{name} has points that are not finite, or rates that are not above 0"
    if any(first[1] >= second[1] or first[0] == second[0] for first, second in pairwise(curve)):
        return f"the quality of {name} does not grow with its rate"
    return ""


def _gap(anchor: Sequence[float], tested: Sequence[float]) -> str:
    """Return a message with both ranges of quality if they do not overlap; empty otherwise."""
    low, high = max(anchor[0], tested[0]), min(anchor[-1], tested[-1])
    if low < high:
        return ""
    return (
        f"no quality is on both curves: {anchor[0]:.4g} to {anchor[-1]:.4g} and "
        f"{tested[0]:.4g} to {tested[-1]:.4g}"
    )
