"""Paired tests over the recordings of a test set, beside the test over seeds."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from typing import TYPE_CHECKING

from spike_zoo.metrics.speeds import speed_of, split_speed
from spike_zoo.tables.noise import StandardError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spike_zoo.tables.columns import Column
    from spike_zoo.tables.filled import FilledRow


def by_recording(row: FilledRow, column: Column) -> dict[str, float]:
    """Return the mean of each recording over images and seeds, from ``per_image.csv``.

    It is empty where single images do not have the metric.
    """
    found = defaultdict(list)
    metric, pace = split_speed(column.metric)
    for run in row.runs if column.key.startswith("test/") else ():
        for image in run.images:
            name = str(image["name"])
            is_counted = column.counts(name, image["rate_scale"]) and pace in (None, speed_of(name))
            if is_counted and metric in image:
                found[name].append(image[metric])
    return {name: statistics.fmean(values) for name, values in found.items()}


def paired_differences(
    first: Mapping[str, float], second: Mapping[str, float] | float
) -> list[float]:
    """Return differences of recordings; none unless both have the same ones, all finite.

    Args:
        first: Name of a recording -> value.
        second: The same, or a number that all are compared with.
    """
    if isinstance(second, int | float):
        second = dict.fromkeys(first, second)
    if first.keys() != second.keys():
        return []
    found = [value - second[name] for name, value in first.items()]
    return found if all(map(math.isfinite, found)) else []


def error_of_mean(values: Sequence[float]) -> StandardError:
    """Return the standard error of the mean of at least two values."""
    return StandardError(statistics.stdev(values) / math.sqrt(len(values)), len(values) - 1)
