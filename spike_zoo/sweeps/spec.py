"""A sweep as data: W&B's own file, and what must be there before it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spike_zoo.errors import ConfigError, MissingFileError, closest
from spike_zoo.sweeps.parameters import read_parameters
from spike_zoo.yaml_files import read_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

NEEDS_FILENAME = "needs.yaml"  # beside the sweep files: W&B warns of keys it does not know
TABLE_FILENAME = "table.yaml"
REQUIRED = {"name", "method", "parameters", "command"}
METHODS = ("grid", "random", "bayes")
#: Keys of W&B's schema for sweeps.
KNOWN = REQUIRED | {
    *("apiVersion", "kind", "controller", "description", "program", "job", "image_uri", "entity"),
    *("project", "run_cap", "metric", "metrics", "scheduler", "early_terminate"),
}
GOALS = ("maximize", "minimize")
#: Keys of mappings that W&B's agent reads: those that must be there, and the others.
_NESTED = {
    "metric": ({"name"}, {"goal", "target", "impute"}),
    "early_terminate": ({"type"}, {"min_iter", "max_iter", "s", "eta", "strict"}),
}


@dataclass(frozen=True)
class SweepSpec:
    """A sweep file.

    Attributes:
        path: The file.
        name: Name of the sweep.
        method: ``"grid"``, ``"random"`` or ``"bayes"``.
        parameters: Dotted option -> what it may be, in W&B's words.
        command: How a run is started, with W&B's macros.
        program: What ``${program}`` stands for.
        run_cap: Largest number of runs.
        stops_early: Whether W&B's agent ends poor runs early (``early_terminate``).
        needs: Sweep files whose runs must be finished before.
        archives: Archive -> the command that makes it, but for ``--out``.
    """

    path: Path
    name: str
    method: str
    parameters: dict[str, dict[str, Any]]
    command: tuple[str, ...]
    program: str | None = None
    run_cap: int | None = None
    stops_early: bool = False
    needs: tuple[Path, ...] = ()
    archives: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Needs:
    """What the sweeps of a folder need, which ``make`` reads too.

    Attributes:
        sweeps: Sweep file -> those that come before it.
        archives: Archive -> the command that makes it, but for ``--out``.
        tables: Method whose rows the tables here show too -> why.
    """

    sweeps: Mapping[str, list[str]] = field(default_factory=dict)
    archives: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, str] = field(default_factory=dict)


def read_sweep(path: str | Path) -> SweepSpec:
    """Read a sweep file and what ``needs.yaml`` beside it says about it.

    Raises:
        MissingFileError: If there is none, or a sweep or table it needs is not there.
        ConfigError: If a key is missing, unknown or of the wrong kind; names file and key.
    """
    file = Path(path)
    content = _mapping(file)
    _check_keys(file, content)
    parameters = read_parameters(file, content["parameters"])
    command, run_cap = content["command"], content.get("run_cap")
    needs = read_needs(file.with_name(NEEDS_FILENAME))
    return SweepSpec(
        path=file,
        name=str(content["name"]),
        method=str(content["method"]),
        parameters=parameters,
        command=tuple(str(part) for part in command),
        program=content.get("program"),
        run_cap=run_cap,
        stops_early=content.get("early_terminate") is not None,
        needs=tuple(file.parent / other for other in needs.sweeps.get(file.name, [])),
        archives=needs.archives,
    )


def _check_keys(file: Path, content: dict[str, Any]) -> None:
    """Raise an error if a key is missing, unknown or of the wrong kind; parameters are separate."""
    missing, unknown = sorted(REQUIRED - content.keys()), sorted(map(str, content.keys() - KNOWN))
    if missing:
        raise ConfigError(f"{file}: a sweep must have the key {missing[0]!r}")
    if unknown:
        raise ConfigError(
            f"{file}: {unknown[0]!r} is not a key of W&B's sweeps; known are "
            f"{', '.join(sorted(KNOWN))}. "
            f"What a sweep needs is listed in {NEEDS_FILENAME} beside it."
        )
    method, command, run_cap = str(content["method"]), content["command"], content.get("run_cap")
    if method not in METHODS:
        raise ConfigError(
            f"{file}: unknown method {method!r}.{closest(method, METHODS)} W&B has "
            f"{', '.join(METHODS)}"
        )
    if not isinstance(command, list):
        raise ConfigError(f"{file}: command must be a list, found {type(command).__name__}")
    if run_cap is not None and (type(run_cap) is not int or run_cap < 1):
        raise ConfigError(f"{file}: run_cap must be a whole number of runs >= 1, found {run_cap!r}")
    for key, (required, optional) in _NESTED.items():
        _check_nested(file, key, content.get(key), required, optional)
    goal = (content.get("metric") or {}).get("goal", GOALS[0])
    if goal not in GOALS:
        raise ConfigError(f"{file}: metric.goal must be {' or '.join(GOALS)}, found {goal!r}")


def _check_nested(
    file: Path,
    key: str,
    content: Any,  # noqa: ANN401  (any YAML value)
    required: set[str],
    optional: set[str],
) -> None:
    """Raise an error if a mapping of W&B's lacks a key or has one that W&B does not know."""
    if content is None:
        return
    if not isinstance(content, dict) or not required <= content.keys():
        raise ConfigError(
            f"{file}: {key} must be a mapping with {', '.join(sorted(required))}, found {content!r}"
        )
    known = required | optional
    unknown = sorted(map(str, content.keys() - known))
    if unknown:
        raise ConfigError(
            f"{file}: {key}: unknown key {unknown[0]!r}.{closest(unknown[0], known)} Its keys are "
            f"{', '.join(sorted(known))}"
        )


def needed_first(spec: SweepSpec) -> list[SweepSpec]:
    """Return the sweeps that one needs, in the order in which to run them, and itself last.

    Raises:
        ConfigError: If sweeps need each other in a circle.
    """
    ordered: dict[Path, SweepSpec] = {}

    def visit(current: SweepSpec, above: tuple[Path, ...]) -> None:
        if current.path in above:
            circle = " -> ".join(str(path) for path in (*above, current.path))
            raise ConfigError(f"{current.path.parent / NEEDS_FILENAME}: a circle: {circle}")
        for needed in current.needs:
            if needed not in ordered:
                visit(read_sweep(needed), (*above, current.path))
        ordered[current.path] = current

    visit(spec, ())
    return list(ordered.values())


def read_needs(sidecar: Path) -> Needs:
    """Read what the sweeps of a folder need; nothing where there is no such file.

    Raises:
        MissingFileError: If a sweep or a method's table is not there.
        ConfigError: If something stands in the wrong form; names file and key.
    """
    if not sidecar.is_file():
        return Needs()
    content = _mapping(sidecar)
    archives, tables = content.pop("archives", {}), content.pop("tables", {})
    for key, named in (("archives", archives), ("tables", tables)):
        is_right = isinstance(named, dict) and all(isinstance(one, str) for one in named.values())
        if not is_right:
            raise ConfigError(f"{sidecar}: {key} must say one line of each name, found {named!r}")
    for method in tables:
        table = sidecar.resolve().parents[1] / str(method) / TABLE_FILENAME  # "." has no parent
        if not table.is_file():
            raise MissingFileError(f"{sidecar}: tables: {method}: there is no {table}")
    for name, others in content.items():
        if not isinstance(others, list):
            raise ConfigError(f"{sidecar}: {name} must name a list of sweep files")
        for other in (name, *others):
            if not (sidecar.parent / str(other)).is_file():
                raise MissingFileError(f"{sidecar}: {other}: there is no such sweep beside it")
    sweeps = {name: [str(other) for other in others] for name, others in content.items()}
    return Needs(sweeps, archives, tables)


def _mapping(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise MissingFileError(f"{file}: there is no such sweep file", path=str(file))
    content = read_yaml(file)
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: must be a mapping, found {type(content).__name__}")
    return content
