"""Table columns with metric, better direction and number format."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Final, Literal

from spike_zoo.metrics.facts import MIDDLE, facts_of
from spike_zoo.metrics.speeds import split_speed

Better = Literal["higher", "lower", "neither"]

#: Fields of ``result.json`` -> heading; all of them are costs.
FIELDS: Final[dict[str, str]] = {
    "parameters": "parameters",
    "macs": "GMAC",
    "macs_per_pixel": "MAC per pixel",
    "seconds_per_image": "ms per image",
    "wall_seconds": "run (s)",
}
#: Last part of a key ``costs/JOB/NUMBER``, as ``costs/compress/seconds`` -> heading.
COSTS: Final[dict[str, str]] = {
    "macs": "GMAC",
    "macs_per_pixel": "MAC per pixel",
    "seconds": "ms",
}
SCORES: Final = "scores/"
"""Prefix of columns with scores of other tools, which :attr:`Row.scores` contains."""
ARROWS: Final[dict[Better, str]] = {"higher": " ↑", "lower": " ↓", "neither": ""}
#: Field of ``result.json`` with a cost of one reconstruction -> its job and number.
_OF_FORWARD: Final = {
    "macs": ("forward", "macs"),
    "macs_per_pixel": ("forward", "macs_per_pixel"),
    "seconds_per_image": ("forward", "seconds"),
}
_SCALES: Final = {"macs": 1e-9, "seconds": 1e3}
#: Metrics in decibels or percent, which have two decimal places.
_OF_TWO_PLACES: Final = ("psnr", "bd_rate", "bit_saving", "accuracy_decrease")


@dataclass(frozen=True)
class Column:
    """One column of numbers.

    Attributes:
        metric: Log key, as ``test/psnr``, or a field of ``result.json``.
        name: Name used by published values and claims.
        better: The better direction.
        scenes: Shell pattern of the names of recordings in ``per_image.csv`` that are averaged.
        rate_scale: Lower (inclusive) and upper (exclusive) bound of the spikes per plane at white
            of recordings that are averaged.
    """

    metric: str
    name: str
    better: Better
    scenes: str | None = None
    rate_scale: tuple[float, float] | None = None

    @property
    def measure(self) -> str:
        """Last part of the log key, for example ``psnr``."""
        return self.metric.rsplit("/", 1)[-1]

    @property
    def is_score(self) -> bool:
        """Whether values are read from the file of scores of a row."""
        return self.metric.startswith(SCORES)

    @property
    def may_be_missing(self) -> bool:
        """Whether a run may lack the metric, which needs a file that is not always available."""
        facts = facts_of(self.measure)
        return facts is not None and facts.needs_file

    @property
    def is_grouped(self) -> bool:
        """Whether only selected recordings are averaged."""
        return self.scenes is not None or self.rate_scale is not None

    @property
    def is_cost(self) -> bool:
        """Whether the column is a cost, not a quality."""
        return self.metric in FIELDS or self.cost is not None

    @property
    def cost(self) -> tuple[str, str] | None:
        """Job and number of a cost; None for other columns."""
        return cost_of(self.metric)

    @property
    def is_exact(self) -> bool:
        """Whether the value depends on the network only, not on the seed."""
        return self.metric == "parameters" or (self.cost is not None and self.cost[1] != "seconds")

    def is_same_as(self, other: Column) -> bool:
        """Return whether two columns differ in their names only."""
        return replace(self, name="") == replace(other, name="")

    @property
    def heading(self) -> str:
        """Heading of the column, without the arrow."""
        if self.name != self.metric:
            return self.name
        *prefix, metric = self.metric.split("/")
        if self.metric in FIELDS:
            return FIELDS[self.metric]
        if self.cost is not None:
            return f"{self.cost[0]} ({COSTS[metric]})"
        facts = facts_of(metric)
        text = facts.heading if facts else metric
        if facts and metric.endswith(MIDDLE):
            text += ", middle"
        _, speed = split_speed(metric)
        if facts and speed:
            text += f", {speed}"
        is_plain = prefix[:1] in (["test"], [SCORES.rstrip("/")])
        return " ".join([*prefix[1:], text] if is_plain else [*prefix, text])

    def counts(self, name: str, rate_scale: float) -> bool:
        """Return whether a recording is averaged in this column."""
        if self.scenes is not None and not fnmatchcase(name, self.scenes):
            return False
        if self.rate_scale is None:
            return True
        low, high = self.rate_scale
        return low <= rate_scale < high

    def text(self, value: float) -> str:
        """Format a value for a cell."""
        number = self.cost[1] if self.cost else self.metric
        scaled = value * _SCALES.get(number, 1.0)
        if number in ("parameters", "macs_per_pixel"):
            return f"{scaled:,.0f}"
        if self.measure.startswith(_OF_TWO_PLACES):
            return f"{scaled:.2f}"
        if "/" in self.metric and not self.is_cost:
            return f"{scaled:.4f}"
        if scaled == 0 or abs(scaled) >= 100:
            return f"{scaled:.0f}"
        return f"{scaled:#.3g}"


def direction(key: str) -> Better | None:
    """Return the better direction of a key; None if it is not known."""
    if key in FIELDS or cost_of(key) is not None:
        return "lower"
    *place, metric = key.split("/")
    facts = facts_of(metric) if place else None
    if facts is None:
        return None
    return "higher" if facts.higher_is_better else "lower"


def cost_of(key: str) -> tuple[str, str] | None:
    """Return the job and the number of the key of a cost; None for other keys.

    >>> cost_of("costs/compress/seconds"), cost_of("macs")
    (('compress', 'seconds'), ('forward', 'macs'))
    """
    place, _, rest = key.partition("/")
    job, _, number = rest.rpartition("/")
    if place == "costs" and job and number in COSTS:
        return job, number
    return _OF_FORWARD.get(key)


def plain_column(key: str) -> Column:
    """Return a column that is named after its key."""
    return Column(key, key, direction(key) or "neither")
