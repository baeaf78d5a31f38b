"""The loops of the lossless coder: how likely each pixel fires, and spikes to words and back.

A pixel gathers light and fires when its charge is full, so steady light makes it fire after
intervals that differ by one plane at most. What is known of a pixel is the interval between its
last spikes, the planes since, and when the next one is due: a clock that is set right by each
spike that comes too early or too late. What is known of the light is what the eight neighbours'
clocks say, of which those to the left and above have shown this plane already.

Eight tables of adaptive counts each look at a part of that, and two mixers weigh their answers,
each with weights of its own choice (logistic mixing: Mahoney, *Adaptive Weighing of Context Models
for Lossless Data Compression*, 2005). The chance that comes out codes the spike by rANS with a
state of 32 bits, words and chances of 16, as in :mod:`spike_zoo.coding.sci.kernels`. All
values are integers, so every machine makes the same bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from spike_zoo.spikes.compiling import compiled, compiled_inline

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spike_zoo.coding.spl.spike_model import FiringModel, Pixel

FIRST_STATE: Final = 1 << 16
TABLES: Final = 8
CHOICES: Final = (320, 2048)
"""Sets of weights of the two mixers."""
MOST_MET: Final = 250
"""A chance that was met so often, or more, moves by 1/250 of its error."""
REACH: Final = 3071
"""Largest log odds, in 1/256."""
LONGEST_LIGHT: Final = 2047
"""Longest interval of light that is predicted from longer ones, in 1/16 planes."""
_PLANE: Final = 64  # ticks of a pixel's clock in one plane
_LONGEST: Final = 65_535  # planes; a longer time is not predicted from it
_LOW: Final = 0xFFFF

# No array is bound to a name below: numba would count its uses for every pixel, at half the speed.


@compiled_inline
def _between(value: int, most: int) -> int:
    return max(0, min(value, most))


@compiled_inline
def _around(model: FiringModel, pixel: int) -> tuple[int, int]:
    """Return how bright the neighbours are, and whether it has become brighter there.

    Returns:
        The logarithm of their mean interval, from 1 to 63, or where none has a clock 64 and how
        many have fired; and 0 to 31: below 16 they fired earlier than they should.
    """
    clocks = intervals = surprises = 0
    for side in range(8):  # sums without a question: `_note` has prepared what is added up
        other = model.pixels[pixel + model.near[side]]
        clocks += other.glow > 0
        intervals += other.glow
        surprises += other.surprise
    if clocks == 0:
        fired = 0
        for side in range(8):
            fired += model.pixels[pixel + model.near[side]].seen > 0
        return 64 + fired, 16
    light = model.octaves[min((intervals // clocks) >> 2, LONGEST_LIGHT)]
    return max(1, light), _between((surprises >> 9) + 16, 31)


@compiled_inline
def _look(model: FiringModel, pixel: int) -> tuple[int, int]:
    """Write what each table is asked about a pixel.

    Returns:
        Which weights each of the mixers uses.
    """
    mine = model.pixels[pixel]
    elapsed, interval, seen = mine.elapsed, mine.interval, mine.seen
    light, recent = _around(model, pixel)
    own = (min(elapsed, 31) << 12) | (min(interval, 15) << 8)
    for side in range(4):  # how far the neighbour is in its interval, and how long that was
        model.contexts[side] = own | model.pixels[pixel + model.near[side]].phase
    lit = light if light < 64 else 0
    model.contexts[4] = (min(elapsed, 63) << 9) | (light << 2) | seen
    model.contexts[5] = (min(elapsed, 31) << 13) | (min(interval, 31) << 8) | (lit << 2) | seen
    left = model.pixels[pixel - 1].elapsed == 0
    above = model.pixels[pixel + model.near[1]].elapsed == 0
    second = CHOICES[0] + (min(elapsed, 31) << 6) + (lit & 60) + 2 * left + above
    if seen < 2:  # no clock yet
        model.contexts[6] = (1 << 17) | (min(elapsed, 63) << 2) | seen
        model.contexts[7] = (min(elapsed, 63) << 11) | (recent << 6) | seen
        return (seen << 5) | min(elapsed, 31), second
    due, streak = mine.due, mine.streak
    period = min(model.octaves[min(mine.period >> 2, LONGEST_LIGHT)], 31)
    model.contexts[6] = (_between((due + 512) >> 2, 255) << 9) | (period << 4) | streak
    hand = _between((due + 256) >> 3, 63)
    model.contexts[7] = (hand << 11) | (recent << 6) | (period >> 1 << 2) | seen
    return 64 + (min(streak, 7) << 5) + min(hand >> 1, 31), second


@compiled_inline
def _mixed(model: FiringModel, choice: tuple[int, int]) -> tuple[int, int, int]:
    """Return the chance of a spike, 1 to 65535 of 65536, and what either mixer said of it."""
    one = two = 0
    for table in range(TABLES):
        answer = model.odds[model.counts[table, model.contexts[table]] >> np.uint32(20)]
        model.answers[table] = answer
        one += model.weights[choice[0], table] * answer
        two += model.weights[choice[1], table] * answer
    one = _between((one >> 16) + REACH, 2 * REACH)
    two = _between((two >> 16) + REACH, 2 * REACH)
    return model.chance[(one + two) >> 1], model.chance[one], model.chance[two]


@compiled_inline
def _learn(model: FiringModel, choice: tuple[int, int], said: tuple[int, int], spike: int) -> None:
    """Move tables and weights towards what happened.

    Args:
        model: What said so.
        choice: The weights that were used.
        said: What either mixer said.
        spike: 1 if the pixel fired.
    """
    one = ((spike << 16) - said[0]) * 10
    two = ((spike << 16) - said[1]) * 10
    target = ((1 << 22) - 1) * spike
    for table in range(TABLES):
        answer, context = model.answers[table], model.contexts[table]
        model.weights[choice[0], table] += (answer * one + (1 << 17)) >> 18
        model.weights[choice[1], table] += (answer * two + (1 << 17)) >> 18
        entry = np.int64(model.counts[table, context])
        met, chance = entry & 1023, entry >> 10
        chance += ((target - chance) * model.pace[met]) >> 16
        model.counts[table, context] = (chance << 10) | min(met + 1, MOST_MET)


@compiled_inline
def _note(mine: Pixel, spike: int) -> None:
    """Take a plane into what is known of a pixel."""
    elapsed = min(mine.elapsed + 1, _LONGEST)
    mine.surprise -= mine.surprise >> 3
    if spike:
        if mine.seen > 0:
            _set_clock(mine, elapsed)
            mine.glow = mine.period
            mine.interval = elapsed
            mine.phase = min(elapsed, 15)
        else:
            mine.phase = 0
        mine.seen = min(mine.seen + 1, 3)
        mine.elapsed = 0
    else:
        mine.elapsed = elapsed
        mine.due = max(mine.due - _PLANE, -_LONGEST * _PLANE)
        mine.phase = (min(elapsed, 15) << 4) | (mine.phase & 15)
        if mine.seen > 1:
            mine.glow = max(mine.glow, (elapsed + 1) * _PLANE)


@compiled_inline
def _set_clock(mine: Pixel, interval: int) -> None:
    """Set a pixel's clock by a spike: it goes half as wrong as it was."""
    if mine.seen == 1:
        mine.period = interval * _PLANE
        mine.due = interval * _PLANE - _PLANE // 2 - _PLANE
        return
    due, late = mine.due, 0
    if due < 1 - _PLANE:
        late = 1 - _PLANE - due
    elif due > 0:
        late = -due
    period = max(_PLANE, mine.period + (late >> 1))
    mine.streak = 0 if late else min(mine.streak + 1, 15)
    mine.surprise = 12 * late
    mine.period = period
    mine.due = due + late + period - _PLANE


@compiled
def predict(model: FiringModel, planes: NDArray[np.uint8], chances: NDArray[np.uint16]) -> None:
    """Write the chance of every spike before it is seen, and learn from it.

    Args:
        model: Goes on from the planes before; changed.
        planes: ``(T, H, W)``, 0 or 1.
        chances: ``(T * H * W,)``, 1 to 65535 of 65536; written.
    """
    depth, height, width = planes.shape
    index = 0
    for plane in range(depth):
        for row in range(height):
            for column in range(width):
                pixel = (row + 1) * (width + 2) + column + 1
                choice = _look(model, pixel)
                chance, one, two = _mixed(model, choice)
                spike = 1 if planes[plane, row, column] else 0
                _learn(model, choice, (one, two), spike)
                _note(model.pixels[pixel], spike)
                chances[index] = chance
                index += 1


@compiled
def encode(
    planes: NDArray[np.uint8], chances: NDArray[np.uint16], words: NDArray[np.uint16]
) -> tuple[int, int]:
    """Push spikes, the last one first, and write words from the end of their room backwards.

    Args:
        planes: ``(N,)``, 0 or 1.
        chances: Of a spike, ``(N,)``.
        words: Room for one word of each.

    Returns:
        The state at the end, and the words that are still free.
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
    """Pull planes out of words in the order in which they were pushed.

    Args:
        model: Goes on from the planes before; changed.
        words: All words.
        state: The state that pushing ended with.
        planes: ``(T, H, W)``; written.

    Returns:
        The state at the end, and the words that were read; -1 if there were not enough.
    """
    depth, height, width = planes.shape
    rest, read = np.int64(state), 0
    for plane in range(depth):
        for row in range(height):
            for column in range(width):
                pixel = (row + 1) * (width + 2) + column + 1
                choice = _look(model, pixel)
                chance, one, two = _mixed(model, choice)
                low = rest & _LOW
                spike = 1 if low < chance else 0
                share = chance if spike else 65536 - chance
                rest = share * (rest >> 16) + (low if spike else low - chance)
                if rest < FIRST_STATE:
                    if read >= words.size:
                        return int(rest), -1
                    rest = (rest << 16) | np.int64(words[read])
                    read += 1
                _learn(model, choice, (one, two), spike)
                _note(model.pixels[pixel], spike)
                planes[plane, row, column] = spike
    return int(rest), read
