"""Compiled kernels of the lossless coder: spike prediction by context mixing, and rANS.

A pixel accumulates light and fires at a threshold, so under constant light its inter-spike
intervals differ by at most one plane. The state of a pixel is the last interval, the planes since
the last spike, and a clock: an estimate of the period and of the time of the next spike, corrected
by every early or late spike. The light at a pixel is estimated from the clocks of the eight
neighbours; the left and upper ones already include the current plane.

Eight tables of adaptive probabilities use different contexts of this state. Two mixers, each with
context-dependent weights, combine the predictions (logistic mixing: Mahoney, *Adaptive Weighing of
Context Models for Lossless Data Compression*, 2005). The resulting probability codes the spike by
rANS with a state of 32 bits, words and probabilities of 16 bits, as in
:mod:`spike_zoo.coding.kernels`. The arithmetic is integer only, so the bytes are the same on
every machine.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from spike_zoo.coding.spl.spike_model import (
    CHOICES,
    MAX_COUNT,
    MAX_INTERVAL,
    MAX_LOG_ODDS,
    TABLES,
    FiringModel,
    Pixel,
)
from spike_zoo.spikes.compiling import compiled, compiled_inline

FIRST_STATE: Final = 1 << 16
_PLANE: Final = 64  # ticks of a pixel's clock in one plane
_MAX_LENGTH: Final = 65_535  # planes; longer times are clipped
_LOW: Final = 0xFFFF

# No array is bound to a local name below: numba would count references for every pixel, which
# halves the speed.


@compiled_inline
def _clamp(value: int, most: int) -> int:
    return max(0, min(value, most))


@compiled_inline
def _neighbourhood(model: FiringModel, pixel: int) -> tuple[int, int]:
    """Return the light at the eight neighbours and its change.

    Returns:
        The logarithm of the neighbours' mean interval, 1 to 63, or, if none has a clock, 64 plus
        the number of neighbours that have fired; and the mean lateness, 0 to 31: below 16 if they
        fired early, that is, if the light increases.
    """
    clock_count = intervals = lateness_sum = 0
    for side in range(8):  # sums without branches: `_update_pixel` prepares the summands
        other = model.pixels[pixel + model.neighbours[side]]
        clock_count += other.light_interval > 0
        intervals += other.light_interval
        lateness_sum += other.lateness
    if clock_count == 0:
        fired = 0
        for side in range(8):
            fired += model.pixels[pixel + model.neighbours[side]].spike_count > 0
        return 64 + fired, 16
    light = model.octaves[min((intervals // clock_count) >> 2, MAX_INTERVAL)]
    return max(1, light), _clamp((lateness_sum >> 9) + 16, 31)


@compiled_inline
def _set_contexts(model: FiringModel, pixel: int) -> tuple[int, int]:
    """Write the context of a pixel for each table; return the index of each mixer's weight set."""
    state = model.pixels[pixel]
    elapsed, interval, spike_count = state.elapsed, state.interval, state.spike_count
    light, recent = _neighbourhood(model, pixel)
    own = (min(elapsed, 31) << 12) | (min(interval, 15) << 8)
    for side in range(4):  # phase: elapsed planes and last interval of the neighbour
        model.contexts[side] = own | model.pixels[pixel + model.neighbours[side]].phase
    lit = light if light < 64 else 0
    model.contexts[4] = (min(elapsed, 63) << 9) | (light << 2) | spike_count
    model.contexts[5] = (
        (min(elapsed, 31) << 13) | (min(interval, 31) << 8) | (lit << 2) | spike_count
    )
    left = model.pixels[pixel - 1].elapsed == 0
    above = model.pixels[pixel + model.neighbours[1]].elapsed == 0
    second = CHOICES[0] + (min(elapsed, 31) << 6) + (lit & 60) + 2 * left + above
    if spike_count < 2:  # no clock yet
        model.contexts[6] = (1 << 17) | (min(elapsed, 63) << 2) | spike_count
        model.contexts[7] = (min(elapsed, 63) << 11) | (recent << 6) | spike_count
        return (spike_count << 5) | min(elapsed, 31), second
    due, streak = state.due, state.streak
    period = min(model.octaves[min(state.period >> 2, MAX_INTERVAL)], 31)
    model.contexts[6] = (_clamp((due + 512) >> 2, 255) << 9) | (period << 4) | streak
    coarse_due = _clamp((due + 256) >> 3, 63)
    model.contexts[7] = (coarse_due << 11) | (recent << 6) | (period >> 1 << 2) | spike_count
    return 64 + (min(streak, 7) << 5) + min(coarse_due >> 1, 31), second


@compiled_inline
def _mix_predictions(model: FiringModel, choice: tuple[int, int]) -> tuple[int, int, int]:
    """Return the probability of a spike, 1 to 65535 of 65536, and those of the two mixers."""
    first = second = 0
    for table in range(TABLES):
        odds = model.odds[model.counts[table, model.contexts[table]] >> np.uint32(20)]
        model.table_odds[table] = odds
        first += model.weights[choice[0], table] * odds
        second += model.weights[choice[1], table] * odds
    first = _clamp((first >> 16) + MAX_LOG_ODDS, 2 * MAX_LOG_ODDS)
    second = _clamp((second >> 16) + MAX_LOG_ODDS, 2 * MAX_LOG_ODDS)
    return model.chance[(first + second) >> 1], model.chance[first], model.chance[second]


@compiled_inline
def _update_model(
    model: FiringModel, choice: tuple[int, int], predicted: tuple[int, int], spike: int
) -> None:
    """Adapt tables and weights to a coded spike, from weight set and prediction of each mixer."""
    first = ((spike << 16) - predicted[0]) * 10
    second = ((spike << 16) - predicted[1]) * 10
    target = ((1 << 22) - 1) * spike
    for table in range(TABLES):
        odds, context = model.table_odds[table], model.contexts[table]
        model.weights[choice[0], table] += (odds * first + (1 << 17)) >> 18
        model.weights[choice[1], table] += (odds * second + (1 << 17)) >> 18
        entry = np.int64(model.counts[table, context])
        count, chance = entry & 1023, entry >> 10
        chance += ((target - chance) * model.adaptation_rates[count]) >> 16
        model.counts[table, context] = (chance << 10) | min(count + 1, MAX_COUNT)


@compiled_inline
def _update_pixel(pixel: Pixel, spike: int) -> None:
    """Update the state of a pixel with its spike on the current plane, 0 or 1."""
    elapsed = min(pixel.elapsed + 1, _MAX_LENGTH)
    pixel.lateness -= pixel.lateness >> 3
    if spike:
        if pixel.spike_count > 0:
            _set_clock(pixel, elapsed)
            pixel.light_interval = pixel.period
            pixel.interval = elapsed
            pixel.phase = min(elapsed, 15)
        else:
            pixel.phase = 0
        pixel.spike_count = min(pixel.spike_count + 1, 3)
        pixel.elapsed = 0
    else:
        pixel.elapsed = elapsed
        pixel.due = max(pixel.due - _PLANE, -_MAX_LENGTH * _PLANE)
        pixel.phase = (min(elapsed, 15) << 4) | (pixel.phase & 15)
        if pixel.spike_count > 1:
            pixel.light_interval = max(pixel.light_interval, (elapsed + 1) * _PLANE)


@compiled_inline
def _set_clock(pixel: Pixel, interval: int) -> None:
    """Correct a pixel's clock by a spike: the period by half of the lateness, the time by all."""
    if pixel.spike_count == 1:
        pixel.period = interval * _PLANE
        pixel.due = interval * _PLANE - _PLANE // 2 - _PLANE
        return
    due, late = pixel.due, 0
    if due < 1 - _PLANE:
        late = 1 - _PLANE - due
    elif due > 0:
        late = -due
    period = max(_PLANE, pixel.period + (late >> 1))
    pixel.streak = 0 if late else min(pixel.streak + 1, 15)
    pixel.lateness = 12 * late
    pixel.period = period
    pixel.due = due + late + period - _PLANE


@compiled
def predict(model: FiringModel, planes: NDArray[np.uint8], chances: NDArray[np.uint16]) -> None:
    """Write the probability of every spike, adapting the model after each spike.

    ``planes`` are ``(T, H, W)`` of 0 and 1; ``chances`` are ``(T * H * W,)``, 1 to 65535 of 65536.
    """
    depth, height, width = planes.shape
    index = 0
    for plane in range(depth):
        for row in range(height):
            for column in range(width):
                pixel = (row + 1) * (width + 2) + column + 1
                choice = _set_contexts(model, pixel)
                chance, first, second = _mix_predictions(model, choice)
                spike = 1 if planes[plane, row, column] else 0
                _update_model(model, choice, (first, second), spike)
                _update_pixel(model.pixels[pixel], spike)
                chances[index] = chance
                index += 1


@compiled
def encode(
    planes: NDArray[np.uint8], chances: NDArray[np.uint16], words: NDArray[np.uint16]
) -> tuple[int, int]:
    """Encode spikes from the last to the first; fill ``words`` from the end backwards.

    Spikes and their probabilities are ``(N,)``; ``words`` is a buffer of at least N words. Returns
    the final state, and the number of free words.
    """
    state, free = np.int64(FIRST_STATE), words.size
    for index in range(planes.size - 1, -1, -1):
        chance = np.int64(chances[index])
        fires = planes[index] != 0
        start, share = np.int64(0) if fires else chance, chance if fires else 65536 - chance
        if state >= share << 16:
            free -= 1
            words[free] = state & _LOW
            state >>= 16
        quotient = state // share
        state = (quotient << 16) + start + (state - quotient * share)
    return int(state), free


@compiled
def decode(
    model: FiringModel, words: NDArray[np.uint16], state: int, planes: NDArray[np.uint8]
) -> tuple[int, int]:
    """Decode the words of a payload into planes ``(T, H, W)``, adapting the model after each spike.

    ``state`` is the encoder's final state. Returns the final state, and the number of words read;
    -1 if there are too few words.
    """
    depth, height, width = planes.shape
    rest, read = np.int64(state), 0
    for plane in range(depth):
        for row in range(height):
            for column in range(width):
                pixel = (row + 1) * (width + 2) + column + 1
                choice = _set_contexts(model, pixel)
                chance, first, second = _mix_predictions(model, choice)
                low = rest & _LOW
                spike = 1 if low < chance else 0
                share = chance if spike else 65536 - chance
                rest = share * (rest >> 16) + (low if spike else low - chance)
                if rest < FIRST_STATE:
                    if read >= words.size:
                        return int(rest), -1
                    rest = (rest << 16) | np.int64(words[read])
                    read += 1
                _update_model(model, choice, (first, second), spike)
                _update_pixel(model.pixels[pixel], spike)
                planes[plane, row, column] = spike
    return int(rest), read
