"""How the learning rate moves over a run, in fractions of its length."""

from __future__ import annotations

import math
from typing import Literal, get_args

ScheduleKind = Literal["cosine", "milestones", "constant"]
MILESTONES = (0.25, 0.5, 0.75)
MILESTONE_FACTOR = 0.7


class Schedule:
    """Factor of the learning rate at each step: a linear warm-up, then the schedule.

    Args:
        kind: ``"cosine"`` falls to 0 at the end; ``"milestones"`` multiplies by 0.7 after each
            quarter of the run, as published; ``"constant"`` stays.
        steps: Optimiser steps of the run.
        warmup: Fraction of the run in which the factor rises from 0.

    Raises:
        ValueError: If the kind is unknown or the warm-up is outside [0, 1).
    """

    def __init__(self, kind: ScheduleKind, steps: float, warmup: float = 0.0) -> None:
        if kind not in get_args(ScheduleKind):
            raise ValueError(f"schedule must be one of {get_args(ScheduleKind)}, got {kind!r}")
        if not 0.0 <= warmup < 1.0:
            raise ValueError(f"warmup is a fraction of the run in [0, 1), got {warmup}")
        self.kind = kind
        self.steps = steps
        self.warmup = warmup

    def __call__(self, step: int) -> float:
        """Return the factor for a step, counted from 0."""
        rising = min(1.0, (step + 1) / (self.warmup * self.steps)) if self.warmup else 1.0
        return rising * self._after_warmup(step / self.steps)

    def _after_warmup(self, done: float) -> float:
        if self.kind == "cosine":
            left = (min(done, 1.0) - self.warmup) / (1.0 - self.warmup)
            return 0.5 * (1.0 + math.cos(math.pi * max(left, 0.0)))
        if self.kind == "milestones":
            return MILESTONE_FACTOR ** sum(done >= milestone for milestone in MILESTONES)
        return 1.0
