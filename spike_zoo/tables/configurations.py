"""Which runs repeat each other: a row shows those of one configuration, never a mixture."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spike_zoo.records.initial_weights import recipe
from spike_zoo.records.provenance import INCIDENTAL_KEYS, arguments_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from spike_zoo.tables.recorded import RecordedRun

_OURS = "spike_zoo."  # nothing else is imported for a record


@dataclass
class Configuration:
    """Runs that were made alike but for their seeds."""

    made: dict[str, Any]
    config: Mapping[str, Any]
    runs: list[RecordedRun] = field(default_factory=list)

    def is_alike(self, made: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
        """Tell whether a run was made so too, whatever parameters came in between."""
        if any(self.made[key] != made[key] for key in self.made.keys() & made.keys()):
            return False
        return all(
            _is_default(known, key, values[key])
            for values, other, known in (
                (self.made, made, self.config),
                (made, self.made, config),
            )
            for key in values.keys() - other.keys()
        )

    @property
    def newest(self) -> str:
        """When the last of its runs ended."""
        return max(run.result.finished or "" for run in self.runs)


def configurations_of(runs: Iterable[RecordedRun]) -> list[Configuration]:
    """Group runs of one row that repeat each other, in the order in which they were found."""
    found: list[Configuration] = []
    for run in runs:
        decides, config = recipe(run.result), run.result.config
        made = {key: value for key, value in decides.items() if key not in INCIDENTAL_KEYS}
        home = next((one for one in found if one.is_alike(made, config)), None)
        if home is None:
            home = Configuration(made, config)
            found.append(home)
        home.runs.append(run)
    return found


def shown_configuration(found: Sequence[Configuration]) -> Configuration:
    """Return the configuration that a row shows: of the place named first, the newest."""
    first = min(run.place for one in found for run in one.runs)
    there = [one for one in found if any(run.place == first for run in one.runs)]
    return max(there, key=lambda one: one.newest)


def _is_default(config: Mapping[str, Any], key: str, value: Any) -> bool:  # noqa: ANN401  (any value)
    """Tell whether a parameter that another record does not know stands at its default."""
    part, _, name = key.partition(".init_args.")
    if part == "trainer" or part.startswith("trainer."):
        return True  # Lightning's own come and go
    if not name:
        return False  # no argument of a class, as the checkpoint that a test began with
    path = str((config.get(part) or {}).get("class_path", ""))
    if not path.startswith(_OURS):
        return False
    module, _, class_name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), class_name)
    except (ImportError, AttributeError):  # a class that is gone
        return False
    parameter = arguments_of(found).get(name)
    if parameter is None:
        return False
    default = parameter.default
    return bool((list(default) if isinstance(default, tuple) else default) == value)
