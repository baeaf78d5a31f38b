"""Speed of a recording (slow, medium, fast), read from its name; results are grouped by it.

Does not import torch, so that tables load fast.
"""

from __future__ import annotations

import re
from typing import Final

SPEEDS: Final = ("slow", "medium", "fast")
"""Words in names of recordings that state the speed, the slowest first."""
BY_SPEED: Final = ("psnr", "ssim", "epe", "epe_still")
"""Metrics that are also logged for the recordings of each speed alone, as ``psnr_fast``."""


def speed_of(name: str) -> str | None:
    """Return the speed that a name contains as a whole word; None for no or several speeds.

    >>> speed_of("test-astronaut-fast-02"), speed_of("street_SLOW.3"), speed_of("breakfast-1")
    ('fast', 'slow', None)
    """
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    speeds = [speed for speed in SPEEDS if speed in words]
    return speeds[0] if len(speeds) == 1 else None


def split_speed(metric: str) -> tuple[str, str | None]:
    """Split the speed from the end of a metric's name; the speed is None if none exists.

    >>> split_speed("psnr_fast"), split_speed("psnr_stir")
    (('psnr', 'fast'), ('psnr_stir', None))
    """
    name, _, last = metric.rpartition("_")
    return (name, last) if name and last in SPEEDS else (metric, None)
