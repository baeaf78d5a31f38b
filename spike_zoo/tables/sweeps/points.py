"""Points of a sweep, the parameter values of each run, and the commands of its runs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from spike_zoo.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from spike_zoo.tables.sweeps.spec import SweepSpec

Point = dict[str, Any]
SEED = "seed_everything"  # option with the seed of a run
_VARIABLE = re.compile(r"\$\{envvar:([A-Z0-9_]*)\}")


def points_of(spec: SweepSpec) -> list[Point]:
    """Return the points of a grid, up to its ``run_cap``.

    Parameters are sorted by name, as W&B's server sends them. Repeated points are omitted.
    """
    if spec.method != "grid":
        raise UsageError(
            f"{spec.path}: the runs of a {spec.method} search are chosen on W&B's server: 'wandb "
            f"sweep {spec.path}', then 'PROFILE=cpu wandb agent ID'. Here run grids."
        )
    names = sorted(spec.parameters)
    values = itertools.product(*(_choices(spec.parameters[name]) for name in names))
    points = [dict(zip(names, point, strict=True)) for point in values]
    distinct = {repr(sorted(point.items())): point for point in points}  # 1, 1.0, True differ
    return list(distinct.values())[: spec.run_cap]


def only_points(points: list[Point], *only: str) -> list[Point]:
    """Return the points with the values of ``only``, a value that no point has left out."""
    for selection in only:
        name, is_pair, value = selection.partition("=")
        if not is_pair:
            raise UsageError(f"--only {selection}: write NAME=VALUE, as seed_everything=0")
        points = [point for point in points if str(point.get(name)) == value] or points
    return points


def _choices(parameter: Mapping[str, Any]) -> list[Any]:
    if "min" in parameter:
        return list(range(parameter["min"], parameter["max"] + 1))
    return list(parameter.get("values", [parameter.get("value")]))


def expand_command(spec: SweepSpec, point: Point, environment: Mapping[str, str]) -> list[str]:
    """Return the command of one run, as ``wandb agent`` starts it.

    ``${envvar:NAME}`` may be inside a part of the command. The other macros are complete parts:
    ``${env}``, ``${interpreter}``, ``${program}``, ``${args}`` and ``${args_no_equals}``. W&B's
    further variants of ``${args}`` are not arguments that commands of this package can read.
    """

    def variable(match: re.Match[str]) -> str:
        if match[1] not in environment:
            raise ConfigError(f"{spec.path}: command: {part}: the variable {match[1]} is not set")
        return environment[match[1]]

    macros = {
        "env": ["/usr/bin/env"],
        "interpreter": ["python"],
        "program": [spec.program] if spec.program else [],
        "args": [f"--{name}={value}" for name, value in point.items()],
        "args_no_equals": [text for n, value in point.items() for text in (f"--{n}", str(value))],
    }
    expanded: list[str] = []
    for part in spec.command:
        text = _VARIABLE.sub(variable, part)
        if not (text.startswith("${") and text.endswith("}")):
            expanded.append(text)
        elif text[2:-1] in macros:
            expanded += macros[text[2:-1]]
        else:
            known = ", ".join(f"${{{name}}}" for name in macros)
            raise ConfigError(
                f"{spec.path}: command: unknown macro {part}; the known macros are {known}"
            )
    return expanded
