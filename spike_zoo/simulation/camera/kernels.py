"""Numba kernels of the integrate-and-fire camera, without and with noise."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from spike_zoo.spikes.compiling import compiled, compiled_inline

SOFT: Final = 0
MODULO: Final = 1
HARD: Final = 2

EXACT_BELOW: Final = 50.0
"""Mean number of electrons up to which Poisson draws are exact; above, they are rounded normal."""

_REJECTION_FROM: Final = 10.0
_FACTORIALS: Final = 256  # larger counts have a probability below 1e-90
_LOG_FACTORIALS: Final = np.array([math.lgamma(count + 1.0) for count in range(_FACTORIALS)])
_RECIPROCALS: Final = 1.0 / np.maximum(np.arange(float(_FACTORIALS)), 1.0)
_BURN_IN: Final = 8


@compiled
def integrate(
    light: NDArray[np.float32],
    rules: tuple[tuple[np.float32, np.float32], np.float32, np.float32, int, int],
    charge: NDArray[np.float32],
    fired: NDArray[np.uint8],
    first: int,
    last: int,
) -> np.uint32:
    """Integrate pixels ``[first, last)`` of all planes without noise.

    Args:
        light: Luminance, ``(T, P)``, P pixels.
        rules: Two factors of the gain, multiplied one after the other; threshold, the charge that
            a spike subtracts; smallest charge that fires (the threshold or the next larger number);
            SOFT, MODULO or HARD; clock steps per plane.
        charge: ``(P,)``, updated in place.
        fired: ``(T, P)``, filled with 0 and 1.
        first: First pixel.
        last: One past the last pixel.

    Returns:
        The largest bit pattern of the luminances. It is below the bit pattern of infinity exactly
        if all luminances are finite and no sign bit is set; then it is that of their maximum.
    """
    # non-negative floats sort like their bits; sign bits and NaN sort above infinity
    bits, worst = light.view(np.uint32), np.uint32(0)
    for plane in range(light.shape[0]):
        band, out = light[plane, first:last], fired[plane, first:last]
        stored, seen = charge[first:last], bits[plane, first:last]
        # the usual camera has no branch per pixel, so that the loop is vectorised
        if rules[3] == SOFT and rules[4] == 1:
            worst = max(worst, _soft_plane(band, seen, rules, stored, out))
        else:
            worst = max(worst, _largest(seen))
            _clocked_plane(band, rules, stored, out)
    return worst


@compiled
def _largest(bits: NDArray[np.uint32]) -> np.uint32:
    worst = np.uint32(0)
    for value in bits:
        worst = max(worst, value)
    return worst


@compiled_inline
def _soft_plane(
    light: NDArray[np.float32],
    bits: NDArray[np.uint32],
    rules: tuple[tuple[np.float32, np.float32], np.float32, np.float32, int, int],
    charge: NDArray[np.float32],
    fired: NDArray[np.uint8],
) -> np.uint32:
    """Integrate one plane with a soft reset, without branches; return the largest bit pattern."""
    gain, threshold, level, _, _ = rules
    worst = np.uint32(0)
    for pixel in range(light.size):
        # this order of products reproduces simulators with rounding in between bit by bit
        total = charge[pixel] + (light[pixel] * gain[0]) * gain[1]
        fires = total >= level
        fired[pixel] = fires
        left = total - threshold
        left = left if left < threshold else threshold
        charge[pixel] = left if fires else total
        worst = max(worst, bits[pixel])
    return worst


@compiled
def _clocked_plane(
    light: NDArray[np.float32],
    rules: tuple[tuple[np.float32, np.float32], np.float32, np.float32, int, int],
    charge: NDArray[np.float32],
    fired: NDArray[np.uint8],
) -> None:
    """Integrate one plane, with any reset, in clock steps with one read-out of the flag."""
    gain, threshold, level, reset, clock_steps = rules
    steps = np.float32(clock_steps)
    for pixel in range(light.size):
        gathered = ((light[pixel] * gain[0]) * gain[1]) / steps
        total, flag = charge[pixel], False
        for _ in range(clock_steps):
            total = total + gathered
            if total >= level:
                flag = True
                total = _discharged(total, threshold, reset)
        fired[pixel] = flag
        charge[pixel] = total


@compiled_inline
def _discharged(total: np.float32, threshold: np.float32, reset: int) -> np.float32:
    """Return the charge that remains after a spike."""
    if reset == HARD:
        return np.float32(0)
    if reset == SOFT:
        return min(np.float32(total - threshold), threshold)
    # below twice the threshold the difference is exact and much faster than fmod
    if total < threshold + threshold:
        return np.float32(total - threshold)
    return np.float32(np.fmod(total, threshold))


@compiled_inline
def _random_bits(key: np.uint64, counter: np.uint64) -> np.uint64:
    """Return the 64 random bits of a counter.

    Source: Steele et al., *Fast splittable pseudorandom number generators*, OOPSLA 2014
    (SplitMix64 with random access).
    """
    # without state, so that the noise does not depend on the order of pixels or on threads
    value = key + (counter + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@compiled_inline
def _uniform(bits: np.uint64) -> float:
    """Convert random bits to a number in [0, 1)."""
    return float(bits >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@compiled
def _normal(bits: np.uint64) -> float:
    """Convert random bits to a standard normal number, accurate to about 7 digits.

    Source: Wichura, *Algorithm AS 241*, Applied Statistics 37, 1988 (PPND7).
    """
    # the offset of one half avoids 0 and 1, whose quantiles are infinite
    uniform = (float(bits >> np.uint64(12)) + 0.5) * (1.0 / 4503599627370496.0)
    offset = uniform - 0.5
    if abs(offset) <= 0.425:
        r = 0.180625 - offset * offset
        top = ((59.109374720 * r + 159.29113202) * r + 50.434271938) * r + 3.3871327179
        return offset * top / (((67.187563600 * r + 78.757757664) * r + 17.895169469) * r + 1.0)
    r = math.sqrt(-math.log(min(uniform, 1.0 - uniform)))
    if r <= 5.0:
        r -= 1.6
        top = ((0.17023821103 * r + 1.3067284816) * r + 2.7568153900) * r + 1.4234372777
        value = top / ((0.12021132975 * r + 0.73700164250) * r + 1.0)
    else:
        r -= 5.0
        top = ((0.017337203997 * r + 0.42868294337) * r + 3.0812263860) * r + 6.6579051150
        value = top / ((0.012258202635 * r + 0.24197894225) * r + 1.0)
    return value if offset > 0.0 else -value


@compiled
def _poisson(mean: float, key: np.uint64, counter: np.uint64) -> float:
    """Draw a Poisson number: exact up to a mean of 50, a rounded normal number above."""
    if mean <= 0.0:
        return 0.0
    bits = _random_bits(key, counter)
    if mean > EXACT_BELOW:
        return max(0.0, math.floor(mean + math.sqrt(mean) * _normal(bits) + 0.5))
    if mean >= _REJECTION_FROM:
        return _rejected_poisson(mean, bits)
    # inversion, starting at 0: few steps for small means, and a single random number
    left, count, probability = _uniform(bits), 0, math.exp(-mean)
    while left >= probability and count < _FACTORIALS - 1:
        left -= probability
        count += 1
        probability *= mean * _RECIPROCALS[count]
    return float(count)


@compiled
def _rejected_poisson(mean: float, bits: np.uint64) -> float:
    """Draw an exact Poisson number with a mean from 10 to 50 by transformed rejection.

    Source: Hörmann, *The transformed rejection method for generating Poisson random variables*,
    Insurance: Mathematics and Economics 12, 1993 (PTRS).
    """
    width = 0.931 + 2.53 * math.sqrt(mean)
    slope = -0.059 + 0.02483 * width
    quick = 0.9277 - 3.6224 / (width - 2.0)
    while True:
        offset = (float(bits >> np.uint64(32)) + 0.5) * (1.0 / 4294967296.0) - 0.5
        height = (float(bits & np.uint64(0xFFFFFFFF)) + 0.5) * (1.0 / 4294967296.0)
        edge = 0.5 - abs(offset)
        count = math.floor((2.0 * slope / edge + width) * offset + mean + 0.43)
        if edge >= 0.07 and height <= quick:
            return count
        if 0 <= count < _FACTORIALS and (edge >= 0.013 or height <= edge):
            scale = (1.1239 + 1.1328 / (width - 3.4)) / (slope / (edge * edge) + width)
            likelihood = count * math.log(mean) - mean - _LOG_FACTORIALS[int(count)]
            if math.log(height * scale) <= likelihood:
                return count
        # rejected: the bits are the key of the next attempt, which needs no further counter
        bits = _random_bits(bits, np.uint64(0))


@compiled
def integrate_noisy(
    light: NDArray[np.float32],
    plane: int,
    rules: tuple[np.float32, np.float32, int, int],
    terms: tuple[float, float, float, float, float],
    maps: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
    keys: NDArray[np.uint64],
    state: tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.uint32]],
    fired: NDArray[np.uint8],
    first: int,
    last: int,
) -> np.uint32:
    """Integrate pixels ``[first, last)`` of all planes with all noise terms.

    Each draw depends only on the key, the plane and the pixel.

    Args:
        light: Luminance, ``(T, P)``, P pixels.
        plane: Index of the first plane, counted from the camera's first exposure.
        rules: Second factor of the gain, nominal threshold, reset, clock steps per plane.
        terms: Electrons per threshold, deviation of the reset, mean and deviation of the gaps of
            spurious spikes, probability of a missed spike.
        maps: First factor of the gain, threshold, smallest charge that fires, dark charge per
            plane; each ``(P,)``.
        keys: Keys of the draws: light, reset, spurious, missed.
        state: Charge, time and number of the next spurious spike, ``(P,)``, updated in place.
        fired: ``(T, P)``, filled with 0 and 1.
        first: First pixel.
        last: One past the last pixel.

    Returns:
        The largest bit pattern of the luminances, as in :func:`integrate`.
    """
    bits = light.view(np.uint32)
    worst = np.uint32(0)
    for index in range(light.shape[0]):
        worst = max(worst, _largest(bits[index, first:last]))
        job = light[index], plane + index, rules, terms, maps, keys, state, fired[index]
        _noisy_plane(*job, first, last)
    return worst


@compiled
def _noisy_plane(
    light: NDArray[np.float32],
    now: int,
    rules: tuple[np.float32, np.float32, int, int],
    terms: tuple[float, float, float, float, float],
    maps: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
    keys: NDArray[np.uint64],
    state: tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.uint32]],
    fired: NDArray[np.uint8],
    first: int,
    last: int,
) -> None:
    """Integrate pixels ``[first, last)`` of plane ``now`` with all noise terms."""
    factor, _, _, clock_steps = rules
    _, _, gap_mean, gap_deviation, missed = terms
    charge, times, counts = state
    pixels, spurious = np.uint64(light.size), (times, counts)
    for pixel in range(first, last):
        gathered = (light[pixel] * maps[0][pixel]) * factor + maps[3][pixel]
        total, flag = charge[pixel], False
        for step in range(clock_steps):
            # unique for each clock step of the camera, because `now` counts from its first plane
            tick = np.uint64(now * clock_steps + step) * pixels + np.uint64(pixel)
            level = maps[1][pixel], maps[2][pixel]
            total, fires = _noisy_step(total, gathered, level, tick, rules, terms, keys)
            flag |= fires
        charge[pixel] = total
        if gap_mean > 0.0:
            flag |= _spurious(now, pixel, pixels, gap_mean, gap_deviation, keys[2], spurious)
        if flag and missed > 0.0:
            counter = np.uint64(now) * pixels + np.uint64(pixel)
            flag = _uniform(_random_bits(keys[3], counter)) >= missed
        fired[pixel] = flag


@compiled_inline
def _noisy_step(
    total: np.float32,
    gathered: np.float32,
    levels: tuple[np.float32, np.float32],
    tick: np.uint64,
    rules: tuple[np.float32, np.float32, int, int],
    terms: tuple[float, float, float, float, float],
    keys: NDArray[np.uint64],
) -> tuple[np.float32, bool]:
    """Advance one pixel by one clock step; return its charge and whether it fired."""
    _, nominal, reset, clock_steps = rules
    electrons, reset_deviation = terms[0], terms[1]
    if clock_steps > 1:
        gathered = gathered / np.float32(clock_steps)
    if electrons > 0.0:
        # relative to the nominal threshold: the charge of an electron is the same in all pixels
        electron = nominal / electrons
        gathered = np.float32(_poisson(float(gathered / electron), keys[0], tick) * electron)
    total = np.float32(total + gathered)
    if total < levels[1]:
        return total, False
    threshold = levels[0]
    total = _discharged(total, threshold, reset)
    if reset_deviation > 0.0:
        left = reset_deviation * threshold * _normal(_random_bits(keys[1], tick))
        total = np.float32(total + np.float32(left))
    return total, True


@compiled
def _spurious(
    now: int,
    pixel: int,
    pixels: np.uint64,
    mean: float,
    deviation: float,
    key: np.uint64,
    state: tuple[NDArray[np.float64], NDArray[np.uint32]],
) -> bool:
    """Return whether a spurious spike occurs in plane ``now``, and advance to the next spike.

    The process starts several gaps before the first plane, so that pixels are not synchronised.
    """
    times, counts = state
    flag = False
    while times[pixel] < now + 1:
        if times[pixel] >= now:
            flag = True
        # the counter is the number of spikes, so that the draws do not depend on chunks
        bits = _random_bits(key, np.uint64(counts[pixel]) * pixels + np.uint64(pixel))
        if counts[pixel] == 0:
            times[pixel] = -mean * (_BURN_IN + _uniform(bits))
        times[pixel] += mean + deviation * _normal(bits) if counts[pixel] else 0.0
        counts[pixel] += np.uint32(1)
    return flag
