"""Speed and photograph of a recording, read from its name; results are grouped by them.

Does not import torch, so that tables load fast.
"""

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


def photograph_of(name: str) -> str:
    """Return the photograph that a recording of the simulated or sample scenes shows.

    The parts of one photograph (``upper``, ``left``) and the sample clips of one scene have the
    same name. A recording with another name is a photograph of its own.

    >>> photograph_of("blur-test-casa-mila-fast-51"), photograph_of("kitten.light-0.05")
    ('casa-mila', 'kitten')
    >>> photograph_of("203_part2_key_id151"), photograph_of("digit-0-1413-motion-0")
    ('203', 'digit-0-1413-motion-0')
    """
    if clip := re.match(r"(\d+)_part\d", name):
        return clip[1]
    scene = re.fullmatch(r"(?:blur-)?test-(.+)-(?:slow|medium|fast)-\d+", name)
    condition = re.fullmatch(r"([^.]+)\.[a-z]+-[\d.]+", name)
    found = scene or condition
    return re.sub(r"-(lower|upper|left|right|middle)$", "", found[1]) if found else name


def split_speed(metric: str) -> tuple[str, str | None]:
    """Split the speed from the end of a metric's name; the speed is None if none exists.

    >>> split_speed("psnr_fast"), split_speed("psnr_stir")
    (('psnr', 'fast'), ('psnr_stir', None))
    """
    name, _, last = metric.rpartition("_")
    return (name, last) if name and last in SPEEDS else (metric, None)
