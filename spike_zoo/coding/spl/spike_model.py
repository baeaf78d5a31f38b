"""Initial state of the lossless coder's context model."""

from functools import cache
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

TABLES: Final = 8
CHOICES: Final = (320, 2048)
"""Number of weight sets of each mixer."""
MAX_COUNT: Final = 250
"""Largest count of a table entry. From this count on, the adaptation rate is constant: 1/250."""
MAX_LOG_ODDS: Final = 3071
"""Largest log odds, in 1/256."""
MAX_INTERVAL: Final = 2047
"""Longest interval between spikes that the model distinguishes, in 1/16 planes."""
_FIRST_WEIGHT: Final = 14_000  # of 65536; the sum of a set is above 1
_STEP: Final = 18_374_827_034_086_858_297  # exp(-1/256) in 2**-64


class Pixel(Protocol):
    """State of one pixel. Its clock predicts the next spike, in ticks of 1/64 plane."""

    elapsed: int  # planes since the last spike, or since the first plane
    interval: int  # planes between the last two spikes; 0 before the second spike
    spike_count: int  # at most 3
    period: int  # estimated inter-spike interval, in ticks
    due: int  # ticks until the next spike is due; a spike is on time from -63 to 0
    streak: int  # consecutive spikes on time, at most 15
    lateness: int  # 12 times that of the last spike in ticks, < 0 if early; decays by 1/8 per plane
    light_interval: int  # ``period``, or the elapsed ticks if more; 0 before the second spike
    phase: int  # ``elapsed`` (upper four bits) and ``interval`` (lower four), each at most 15


class FiringModel(NamedTuple):
    """State of the context model. Arrays are int64 unless stated otherwise."""

    pixels: NDArray[Any]  # record of int32 per Pixel, with a border of pixels that never fire
    counts: NDArray[Any]  # eight probability tables, uint32 (8, 2**18): 22 bits, a count of 10 bits
    weights: NDArray[Any]  # (320 + 2048, 8), sets of the first and second mixer; 65536 is 1
    neighbours: NDArray[Any]  # offsets of the left, above, right, below and the corner neighbours
    odds: NDArray[Any]  # probabilities of 12 bits to log odds in 1/256
    chance: NDArray[Any]  # log odds in 1/256 to probabilities of 16 bits
    adaptation_rates: NDArray[Any]  # of a probability, by its count; 65536 is 1
    octaves: NDArray[Any]  # intervals in 1/16 planes to eighths of octaves
    contexts: NDArray[Any]  # index into each probability table
    table_odds: NDArray[Any]  # log odds predicted by each table


def firing_model(height: int, width: int) -> FiringModel:
    """Return the initial model for planes of the given size."""
    pitch = width + 2
    pixel = np.dtype([(name, np.int32) for name in Pixel.__annotations__])
    chance, count, middles = _probabilities(), np.arange(MAX_COUNT + 1), np.arange(4096) * 16 + 8
    ranks = chance.searchsorted(middles) + chance.searchsorted(middles, "right")
    model = FiringModel(
        pixels=np.zeros((height + 2) * pitch, pixel).view(np.recarray),
        counts=np.empty((TABLES, 1 << 18), np.uint32),
        weights=np.empty((sum(CHOICES), TABLES), np.int64),
        neighbours=np.array([-1, -pitch, 1, pitch, -pitch - 1, -pitch + 1, pitch - 1, pitch + 1]),
        odds=ranks // 2 - MAX_LOG_ODDS,
        chance=chance,
        adaptation_rates=65536 * 10 // (10 * count + 16),
        octaves=np.array([_octave(interval) for interval in range(MAX_INTERVAL + 1)]),
        contexts=np.zeros(TABLES, np.int64),
        table_odds=np.zeros(TABLES, np.int64),
    )
    reset(model)
    return model


def reset(model: FiringModel) -> None:
    """Reset a model to its initial state."""
    model.pixels.fill(0)
    model.counts.fill(1 << 31)  # probability 1/2, count 0
    model.weights.fill(_FIRST_WEIGHT)


@cache
def _probabilities() -> NDArray[np.int64]:
    """Return ``65536 / (1 + exp(-x / 256))`` for x from -3071 to 3071, as integers 1 to 65535.

    Computed with integers, because libraries differ in the last digit of an exponential.
    """
    above, power = [], 1 << 64
    for _ in range(MAX_LOG_ODDS + 1):
        above.append((1 << 80) // ((1 << 64) + power))
        power = power * _STEP >> 64
    return np.array([65536 - probability for probability in above[:0:-1]] + above)


def _octave(interval: int) -> int:
    """Return the logarithm of an interval in 1/16 planes, in eighths of an octave, at most 63."""
    doublings = max(interval.bit_length() - 4, 0)
    return max(doublings * 8 + (interval >> doublings) - 8, 0)
