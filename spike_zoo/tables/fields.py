"""What every part of a table file is checked by; errors name the file and the place in it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from spike_zoo.errors import ConfigError, closest
from spike_zoo.metrics.facts import METRICS
from spike_zoo.tables.columns import COSTS, FIELDS, direction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Fields:
    """Checks parts of a table file.

    Args:
        file: The table file.
        place: Which of its tables, in words.
    """

    def __init__(self, file: Path, place: str) -> None:
        self.file = file
        self.place = place

    def sequence(self, content: Any, key: str) -> Sequence[Any]:  # noqa: ANN401
        """Return a list."""
        if not isinstance(content, list | tuple):
            raise self.error(f"{key} must be a list, found {type(content).__name__}")
        return content

    def number(self, place: str, value: Any) -> float:  # noqa: ANN401
        """Return a number."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(f"{place}: not a number: {value!r}")
        return float(value)

    def finite(self, place: str, value: Any, *, above: float = -math.inf) -> float:  # noqa: ANN401
        """Return a finite number above another."""
        found = self.number(place, value)
        if not math.isfinite(found) or found <= above:
            wanted = "a finite number" if math.isinf(above) else f"a finite number above {above:g}"
            raise self.error(f"{place}: expected {wanted}, got {value!r}")
        return found

    def text(self, place: str, value: Any) -> str:  # noqa: ANN401
        """Return a text."""
        if not isinstance(value, str):
            raise self.error(f"{place}: expected text, got {value!r}")
        return value

    def metric(self, key: str) -> None:
        """Refuse a metric that is not known."""
        *place, _ = key.split("/")
        if direction(key) is not None or place[:1] == ["train"]:
            return
        if place[:1] == ["costs"]:
            raise self.error(
                f"unknown column {key!r}: a cost is costs/JOB/WHAT, with {', '.join(COSTS)} as WHAT"
            )
        known = [*FIELDS, *("/".join([*(place or ["test"]), metric]) for metric in METRICS)]
        raise self.error(
            f"unknown column {key!r}.{closest(key, known, most=3)} A metric of your own states its "
            f"direction: {{metric: {key}, better: higher}}"
        )

    def once(self, names: Sequence[str], what: str) -> None:
        """Refuse a name that stands twice."""
        for index, name in enumerate(names):
            if name in names[:index]:
                raise self.error(f"the {what} {name!r} stands twice")

    def keys(
        self,
        content: Any,  # noqa: ANN401
        required: set[str],
        optional: set[str],
        place: str | None = None,
    ) -> None:
        """Refuse what is no mapping, lacks a key or has one that nobody knows."""
        where = place or self.place
        front = f"{self.file}: {where}" if place is None else f"{self.file}: {self.place}, {where}"
        if not isinstance(content, dict):
            raise ConfigError(f"{front} must be a mapping, found {type(content).__name__}")
        missing = sorted(required - content.keys())
        unknown = sorted(str(key) for key in content.keys() - required - optional)
        if missing:
            raise ConfigError(f"{front} lacks the key {missing[0]!r}")
        if unknown:
            known = sorted(required | optional)
            raise ConfigError(
                f"{front} has the unknown key {unknown[0]!r}.{closest(unknown[0], known, most=3)} "
                f"Known are {', '.join(known)}"
            )

    def error(self, text: str) -> ConfigError:
        """Return an error that names the file and the table."""
        return ConfigError(f"{self.file}: {self.place}: {text}", path=str(self.file))
