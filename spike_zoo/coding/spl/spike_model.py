"""What the lossless coder knows of pixels and has learnt of them, before it knows anything."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import numpy as np

from spike_zoo.coding.spl.kernels import CHOICES, LONGEST_LIGHT, MOST_MET, REACH, TABLES

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FIRST_WEIGHT: Final = 14_000  # of 65536; together a little more than one
_STEP: Final = 18_374_827_034_086_858_297  # exp(-1/256) in 2**-64


class Pixel(Protocol):
    """What is known of a pixel.

    Attributes:
        elapsed: Planes without a spike, since the last one or the beginning.
        interval: Planes between the last two spikes; 0 before there are two.
        seen: Spikes so far, at most 3.
        period: The clock's interval, in ticks.
        due: Ticks until the next spike is due; it is on time from -63 to 0.
        streak: Spikes in a row that were on time, at most 15.
        surprise: Twelve times the ticks by which the last spike was late, below 0 early; it fades.
        glow: Ticks of the interval it is in, as far as that is known; 0 without a clock.
        phase: Elapsed and interval, each at most 15, in four bits.
    """

    elapsed: int
    interval: int
    seen: int
    period: int
    due: int
    streak: int
    surprise: int
    glow: int
    phase: int


class FiringModel(NamedTuple):
    """All that is known and learnt, and room to think.

    Attributes:
        pixels: A :class:`Pixel` of int32 each, row by row, in a border of one that never fires.
        counts: ``(8, 2**18)`` uint32, a chance of 22 bits, and of 10 how often it was met.
        weights: ``(320 + 2048, 8)`` int64, as all that follows: those of the first mixer, then of
            the second; 65536 is one.
        near: Where the eight neighbours lie: left, above, right, below, then the corners.
        odds: Chances of 12 bits to log odds.
        chance: Log odds to chances of 16 bits.
        pace: Part of its error by which a chance moves, by how often it was met; of 65536.
        octaves: Intervals in 1/16 planes to eighths of octaves.
        contexts: Which entry of each table is asked.
        answers: What it says.
    """

    pixels: NDArray[Any]
    counts: NDArray[Any]
    weights: NDArray[Any]
    near: NDArray[Any]
    odds: NDArray[Any]
    chance: NDArray[Any]
    pace: NDArray[Any]
    octaves: NDArray[Any]
    contexts: NDArray[Any]
    answers: NDArray[Any]


def firing_model(height: int, width: int) -> FiringModel:
    """Return a model that has seen nothing of planes of a size."""
    pitch = width + 2
    pixel = np.dtype([(name, np.int32) for name in Pixel.__annotations__])
    chance, met, middles = _chances(), np.arange(MOST_MET + 1), np.arange(4096) * 16 + 8
    model = FiringModel(
        pixels=np.zeros((height + 2) * pitch, pixel).view(np.recarray),
        counts=np.empty((TABLES, 1 << 18), np.uint32),
        weights=np.empty((sum(CHOICES), TABLES), np.int64),
        near=np.array([-1, -pitch, 1, pitch, -pitch - 1, -pitch + 1, pitch - 1, pitch + 1]),
        odds=(chance.searchsorted(middles) + chance.searchsorted(middles, "right")) // 2 - REACH,
        chance=chance,
        pace=65536 * 10 // (10 * met + 16),
        octaves=np.array([_octave(interval) for interval in range(LONGEST_LIGHT + 1)]),
        contexts=np.zeros(TABLES, np.int64),
        answers=np.zeros(TABLES, np.int64),
    )
    reset(model)
    return model


def reset(model: FiringModel) -> None:
    """Make a model what it was before it saw anything."""
    model.pixels.fill(0)
    model.counts.fill(1 << 31)  # even chances, never met
    model.weights.fill(_FIRST_WEIGHT)


@cache
def _chances() -> NDArray[np.int64]:
    """Return ``65536 / (1 + exp(-x / 256))`` from -3071 to 3071, rounded into 1 to 65535.

    By integers: libraries differ in the last digit of an exponential.
    """
    above, power = [], 1 << 64
    for _ in range(REACH + 1):
        above.append((1 << 80) // ((1 << 64) + power))
        power = power * _STEP >> 64
    return np.array([65536 - chance for chance in above[:0:-1]] + above)


def _octave(interval: int) -> int:
    """Return the logarithm of an interval in 1/16 planes, eight steps an octave, at most 63."""
    doublings = max(interval.bit_length() - 4, 0)
    return max(doublings * 8 + (interval >> doublings) - 8, 0)
