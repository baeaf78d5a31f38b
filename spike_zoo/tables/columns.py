"""Table columns with metric, better direction and number format."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Final, Literal

from spike_zoo.metrics.facts import MIDDLE, facts_of
from spike_zoo.metrics.speeds import speed_of, split_speed

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
COSTS: Final = {"macs": "GMAC", "macs_per_pixel": "MAC per pixel", "seconds": "ms"}
ARROWS: Final[dict[Better, str]] = {"higher": " ↑", "lower": " ↓", "neither": ""}
#: Field of ``result.json`` with a cost of one reconstruction -> its number.
_OF_FORWARD: Final = {
    "macs": "macs",
    "macs_per_pixel": "macs_per_pixel",
    "seconds_per_image": "seconds",
}
_SCALES: Final = {"macs": 1e-9, "seconds": 1e3}
#: Metrics in decibels or percent, which have two decimal places.
_OF_TWO_PLACES: Final = ("psnr", "bd_rate", "bit_saving", "accuracy_decrease")


@dataclass(frozen=True)
class Column:
    """One column of numbers."""

    metric: str  #: log key, as ``test/psnr``, or a field of ``result.json``
    name: str  #: name used by published values and claims
    better: Better  #: the better direction
    #: shell pattern of the names of recordings in ``per_image.csv`` that are averaged
    scenes: str | None = None
    #: lower (inclusive) and upper (exclusive) bound of the spikes per plane at white of recordings
    #: that are averaged
    rate_scale: tuple[float, float] | None = None

    @property
    def measure(self) -> str:
        """Last part of the log key, for example ``psnr``."""
        return self.metric.rsplit("/", 1)[-1]

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
    def cost(self) -> tuple[str, str] | None:
        """Job and number of a cost; None for other columns."""
        return cost_of(self.metric)

    @property
    def is_cost(self) -> bool:
        """Whether the column is a cost, not a quality."""
        return self.metric in FIELDS or self.cost is not None

    @property
    def is_exact(self) -> bool:
        """Whether the value depends on the network only, not on the seed."""
        return self.metric == "parameters" or (self.cost is not None and self.cost[1] != "seconds")

    @property
    def sign(self) -> float:
        """Factor that makes a larger value the better one."""
        return -1.0 if self.better == "lower" else 1.0

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
        text = metric
        if facts := facts_of(metric):
            speed = split_speed(metric)[1]
            text = facts.heading + (", middle" if metric.endswith(MIDDLE) else "")
            text += f", {speed}" if speed else ""
        return " ".join([*(part for part in prefix if part != "test"), text])

    @property
    def title(self) -> str:
        """Heading with an arrow in the better direction."""
        return self.heading + ARROWS[self.better]

    def averages(self, name: str) -> bool:
        """Return whether the column averages recordings of this name."""
        _, speed = split_speed(self.measure)
        return fnmatchcase(name, self.scenes or "*") and speed in (None, speed_of(name))

    def by_recording(self, images: Iterable[Mapping[str, Any]]) -> dict[str, list[float]]:
        """Return name of a recording -> values of its images, for the averaged recordings.

        A metric of the middle images of exposures has only the values of these images.
        """
        measure, _ = split_speed(self.measure)
        metric = measure.removesuffix(MIDDLE)
        values = defaultdict[str, list[tuple[int, float]]](list)
        for image in images if self.metric.startswith("test/") else ():
            name, scale = str(image["name"]), self.rate_scale
            is_averaged = self.averages(name) and (
                scale is None or scale[0] <= image["rate_scale"] < scale[1]
            )
            if is_averaged and image.get(metric) is not None:
                values[name].append((image.get("plane", 0), image[metric]))
        if metric == measure:
            return {name: [value for _, value in pairs] for name, pairs in values.items()}
        middles = {name: sorted(p for p, _ in pairs) for name, pairs in values.items()}
        return {
            name: [v for p, v in pairs if p == middles[name][len(pairs) // 2]]
            for name, pairs in values.items()
        }

    @property
    def scale(self) -> float:
        """Factor from a value to the unit of the heading."""
        return _SCALES.get(self.cost[1] if self.cost else self.metric, 1.0)

    def text(self, value: float) -> str:
        """Format a value for a cell."""
        number = self.cost[1] if self.cost else self.metric
        scaled = value * self.scale
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
    *prefix, metric = key.split("/")
    facts = facts_of(metric) if prefix else None
    if facts is None:
        return None
    return "higher" if facts.higher_is_better else "lower"


def cost_of(key: str) -> tuple[str, str] | None:
    """Return the job and the number of the key of a cost; None for other keys.

    >>> cost_of("costs/compress/seconds"), cost_of("macs")
    (('compress', 'seconds'), ('forward', 'macs'))
    """
    prefix, _, rest = key.partition("/")
    job, _, number = rest.rpartition("/")
    if prefix == "costs" and job and number in COSTS:
        return job, number
    return ("forward", _OF_FORWARD[key]) if key in _OF_FORWARD else None


def plain_column(key: str) -> Column:
    """Return a column that is named after its key."""
    return Column(key, key, direction(key) or "neither")
