"""Points of a sweep, the parameter values of each run, and the commands of its runs."""

from __future__ import annotations

import itertools
import random
import re
import warnings
from typing import TYPE_CHECKING, Any

from spike_zoo.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spike_zoo.tables.sweeps.spec import SweepSpec

Point = dict[str, Any]
SEED = "seed_everything"  # option with the seed of a run
_VARIABLE = re.compile(r"\$\{envvar:([A-Z0-9_]*)\}")


def points_of(spec: SweepSpec, count: int | None = None) -> list[Point]:
    """Return the points of a sweep; every call returns the same points.

    Parameters are sorted by name, as W&B's server sends them. Repeated points are omitted.

    Args:
        spec: The sweep.
        count: Number of runs of a random search; by default its ``run_cap``.
    """
    if count is not None and count < 1:
        raise UsageError(f"--count {count}: at least 1 run; leave it out for run_cap of the file")
    if spec.method == "grid":
        names = sorted(spec.parameters)
        values = itertools.product(*(_choices(spec, name) for name in names))
        points = [dict(zip(names, point, strict=True)) for point in values]
    elif spec.method == "random":
        points = _random(spec, count or spec.run_cap)
    else:
        raise UsageError(
            f"{spec.path}: a Bayesian search chooses each run by the ones before, on W&B's server: "
            f"'wandb sweep {spec.path}', then 'PROFILE=cpu wandb agent ID'. Here run grid and "
            "random."
        )
    distinct = {repr(sorted(point.items())): point for point in points}  # 1, 1.0, True differ
    return list(distinct.values())[: spec.run_cap if spec.method == "grid" else None]


def repetitions(spec: SweepSpec, count: int | None = None) -> int:
    """Return the number of omitted draws of a random search that repeat an earlier point."""
    drawn = count or spec.run_cap or 0
    return drawn - len(points_of(spec, count)) if spec.method == "random" else 0


def only_points(points: list[Point], only: str | None) -> list[Point]:
    """Return the points at which a parameter has a value; all points if no point has the value.

    Args:
        points: Points of a sweep.
        only: ``NAME=VALUE``; None returns all points.
    """
    if only is None:
        return points
    name, is_pair, value = only.partition("=")
    if not is_pair:
        raise UsageError(f"--only {only}: write NAME=VALUE, as seed_everything=0")
    return [point for point in points if str(point.get(name)) == value] or points


def _choices(spec: SweepSpec, name: str) -> list[Any]:
    """Return the values of a parameter in a grid."""
    parameter = spec.parameters[name]
    low, high = parameter.get("min"), parameter.get("max")
    if "value" in parameter or "values" in parameter:
        return list(parameter.get("values", [parameter.get("value")]))
    if isinstance(low, int) and isinstance(high, int):
        return list(range(low, high + 1))
    raise ConfigError(
        f"{spec.path}: parameters.{name}: a grid needs 'value', 'values' or whole 'min' and 'max'"
    )


def _random(spec: SweepSpec, count: int | None) -> list[Point]:
    if count is None:
        raise UsageError(
            f"{spec.path}: a random search needs the number of runs; pass --count N, or set "
            "run_cap in the file"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # sweeps was written for an older pydantic
            from sweeps import next_run
    except ImportError as error:
        raise UsageError(
            f"{spec.path}: a random search needs W&B's package for it: pip install "
            "'spike-zoo[sweeps]'"
        ) from error
    search = {"method": spec.method, "parameters": spec.parameters}
    state = random.getstate()  # sweeps draws from Python's global generator
    try:
        random.seed(spec.name)
        drawn = [next_run(search, []) for _ in range(count)]
    except ValueError as error:
        raise ConfigError(f"{spec.path}: parameters: {error}") from error
    finally:
        random.setstate(state)
    values = [{name: run.config[name]["value"] for name in sorted(run.config)} for run in drawn]
    # numpy scalars become Python scalars, which are printed as plain numbers
    return [
        {name: value.item() if hasattr(value, "item") else value for name, value in point.items()}
        for point in values
    ]


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
