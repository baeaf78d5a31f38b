"""Columns of a table: what they show, which way is better, how their numbers are written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Final, Literal

from spike_zoo.metrics.facts import MIDDLE, facts_of
from spike_zoo.metrics.speeds import split_speed

Better = Literal["higher", "lower", "neither"]

#: Numbers of a record itself; all of them are costs.
FIELDS: Final[dict[str, str]] = {
    "parameters": "parameters",
    "macs": "GMAC",
    "macs_per_pixel": "MAC per pixel",
    "seconds_per_image": "ms per image",
    "wall_seconds": "run (s)",
}
#: Numbers of one job: ``costs/compress/seconds``.
COSTS: Final[dict[str, str]] = {
    "macs": "GMAC",
    "macs_per_pixel": "MAC per pixel",
    "seconds": "ms",
}
ARROWS: Final[dict[Better, str]] = {"higher": " ↑", "lower": " ↓", "neither": ""}
#: Fields that say what one reconstruction costs -> the job and its number.
_OF_FORWARD: Final = {
    "macs": ("forward", "macs"),
    "macs_per_pixel": ("forward", "macs_per_pixel"),
    "seconds_per_image": ("forward", "seconds"),
}
_SCALES: Final = {"macs": 1e-9, "seconds": 1e3}
#: Metrics in decibels or percent, of which two places count.
_OF_TWO_PLACES: Final = ("psnr", "bd_rate", "bit_saving", "accuracy_decrease")


@dataclass(frozen=True)
class Column:
    """One column of numbers.

    Attributes:
        key: Log key, as ``test/psnr``, or a field of ``result.json``.
        name: What published values and expectations call it; default the key.
        better: Which way is better.
        scenes: Shell pattern: only recordings of such names count (``per_image.csv``).
        rate_scale: Only recordings with at least the first and less than the second value of
            spikes per plane at white count.
    """

    key: str
    name: str
    better: Better
    scenes: str | None = None
    rate_scale: tuple[float, float] | None = None

    @property
    def metric(self) -> str:
        """The key without its split and set: ``psnr``."""
        return self.key.rsplit("/", 1)[-1]

    @property
    def may_be_missing(self) -> bool:
        """Whether a run may lack it, as it needs a file that cannot always be had."""
        known = facts_of(self.metric)
        return known is not None and known.needs_file

    @property
    def is_grouped(self) -> bool:
        """Whether only some recordings count."""
        return self.scenes is not None or self.rate_scale is not None

    @property
    def is_cost(self) -> bool:
        """Whether it is what a result costs, not how good it is."""
        return self.key in FIELDS or self.cost is not None

    @property
    def cost(self) -> tuple[str, str] | None:
        """A job and which of its numbers is shown, None where it is not the cost of a job."""
        return cost_of(self.key)

    @property
    def is_exact(self) -> bool:
        """Whether seeds cannot change it: a property of the network alone."""
        return self.key == "parameters" or (self.cost is not None and self.cost[1] != "seconds")

    def is_same_as(self, other: Column) -> bool:
        """Return whether two columns have the same numbers, whatever their names."""
        return replace(self, name="") == replace(other, name="")

    @property
    def heading(self) -> str:
        """What stands above the column, without the arrow."""
        if self.name != self.key:
            return self.name
        *place, metric = self.key.split("/")
        if self.key in FIELDS:
            return FIELDS[self.key]
        if self.cost is not None:
            return f"{self.cost[0]} ({COSTS[metric]})"
        known = facts_of(metric)
        text = known.heading if known else metric
        if known and metric.endswith(MIDDLE):
            text += ", middle"
        _, pace = split_speed(metric)
        if known and pace:
            text += f", {pace}"
        return " ".join([*place[1:], text] if place[:1] == ["test"] else [*place, text])

    def counts(self, name: str, rate_scale: float) -> bool:
        """Tell whether a recording counts in this column."""
        if self.scenes is not None and not fnmatchcase(name, self.scenes):
            return False
        if self.rate_scale is None:
            return True
        low, high = self.rate_scale
        return low <= rate_scale < high

    def text(self, value: float) -> str:
        """Return a value as it stands in a cell."""
        number = self.cost[1] if self.cost else self.key
        scaled = value * _SCALES.get(number, 1.0)
        if number in ("parameters", "macs_per_pixel"):
            return f"{scaled:,.0f}"
        if self.metric.startswith(_OF_TWO_PLACES):
            return f"{scaled:.2f}"
        if "/" in self.key and not self.is_cost:
            return f"{scaled:.4f}"
        if scaled == 0 or abs(scaled) >= 100:
            return f"{scaled:.0f}"
        return f"{scaled:#.3g}"


def direction(key: str) -> Better | None:
    """Return which way of a key is better, None where it is not known."""
    if key in FIELDS or cost_of(key) is not None:
        return "lower"
    *place, metric = key.split("/")
    known = facts_of(metric) if place else None
    if known is None:
        return None
    return "higher" if known.higher_is_better else "lower"


def cost_of(key: str) -> tuple[str, str] | None:
    """Return the job and the number that a key names, None where it names no cost of a job.

    >>> cost_of("costs/compress/seconds"), cost_of("macs")
    (('compress', 'seconds'), ('forward', 'macs'))
    """
    place, _, rest = key.partition("/")
    job, _, number = rest.rpartition("/")
    if place == "costs" and job and number in COSTS:
        return job, number
    return _OF_FORWARD.get(key)


def plain_column(key: str) -> Column:
    """Return the column of a key that is known, or one without a better way."""
    return Column(key, key, direction(key) or "neither")
