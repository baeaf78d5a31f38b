"""Points of a sweep: the parameter values of each run in a grid or random search."""

from __future__ import annotations

import itertools
import random
import warnings
from typing import TYPE_CHECKING, Any

from spike_zoo.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from spike_zoo.sweeps.spec import SweepSpec

Point = dict[str, Any]
SEED = "seed_everything"  # option with the seed of a run


def points_of(spec: SweepSpec, count: int | None = None) -> list[Point]:
    """Return the points of a sweep; every call returns the same points.

    Parameters are sorted by name, as W&B's server sends them. Repeated points are omitted.

    Args:
        spec: The sweep.
        count: Number of runs of a random search; by default its ``run_cap``.

    Raises:
        ConfigError: If a parameter has no values for a grid; states file and parameter.
        UsageError: If the method needs W&B's server or an optional part of this package, or
            ``count`` is below 1.
    """
    if count is not None and count < 1:
        raise UsageError(f"--count {count}: at least 1 run; leave it out for run_cap of the file")
    if spec.method == "grid":
        return _distinct(_grid(spec))[: spec.run_cap]
    if spec.method == "random":
        return _distinct(_random(spec, spec.run_cap if count is None else count))
    raise UsageError(
        f"{spec.path}: a Bayesian search chooses each run by the ones before, on W&B's server: "
        f"'wandb sweep {spec.path}', then 'PROFILE=cpu wandb agent ID'. Here run grid and random."
    )


def repetitions(spec: SweepSpec, count: int | None = None) -> int:
    """Return the number of omitted draws of a random search that repeat an earlier point."""
    drawn = spec.run_cap if count is None else count
    return (drawn or 0) - len(points_of(spec, count)) if spec.method == "random" else 0


def only_points(points: list[Point], only: str | None) -> list[Point]:
    """Return the points at which a parameter has a value; all points if no point has the value.

    Args:
        points: Points of a sweep.
        only: ``NAME=VALUE``; None returns all points.

    Raises:
        UsageError: If ``only`` has another form.
    """
    if only is None:
        return points
    name, is_pair, value = only.partition("=")
    if not is_pair:
        raise UsageError(f"--only {only}: write NAME=VALUE, as seed_everything=0")
    return [point for point in points if str(point.get(name)) == value] or points


def _distinct(points: list[Point]) -> list[Point]:
    """Return the points without repetitions; 1, 1.0 and True are different values."""
    return list({repr(sorted(point.items())): point for point in points}.values())


def _grid(spec: SweepSpec) -> list[Point]:
    names = sorted(spec.parameters)
    choices = [_choices(spec, name) for name in names]
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*choices)]


def _choices(spec: SweepSpec, name: str) -> list[Any]:
    """Return the values of a parameter in a grid."""
    parameter = spec.parameters[name]
    if "value" in parameter:
        return [parameter["value"]]
    if "values" in parameter:
        return list(parameter["values"])
    if isinstance(parameter.get("min"), int) and isinstance(parameter.get("max"), int):
        return list(range(parameter["min"], parameter["max"] + 1))
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
    return [
        {name: _plain(run.config[name]["value"]) for name in sorted(run.config)} for run in drawn
    ]


def _plain(value: Any) -> Any:  # noqa: ANN401  (any scalar)
    """Convert a numpy scalar to a Python scalar, which is printed as a plain number."""
    return value.item() if hasattr(value, "item") else value
