"""Readers of W&B sweep files and of ``needs.yaml`` in the same folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from jsonargparse.typing import PositiveInt

from spike_zoo.errors import ConfigError, MissingFileError
from spike_zoo.tables.sweeps.parameters import read_parameters
from spike_zoo.utils.yaml_files import parse_dataclass, read_yaml

NEEDS_FILENAME = "needs.yaml"  # not part of the sweep file: W&B warns about unknown keys
TABLE_FILENAME = "table.yaml"
#: Keys of W&B's schema for sweeps that have no effect here.
_IGNORED: Final = {
    *("apiVersion", "kind", "controller", "description", "job", "image_uri", "entity"),
    *("project", "metrics", "scheduler"),
}


@dataclass(frozen=True)
class SweepSpec:
    """A sweep file."""

    path: Path  #: the file
    name: str  #: name of the sweep
    method: Literal["grid", "random", "bayes"]  #: the search
    parameters: dict[str, dict[str, Any]]  #: dotted option -> W&B's distribution of its values
    command: tuple[str, ...]  #: command of a run, with W&B's macros
    program: str | None = None  #: value of the macro ``${program}``
    run_cap: PositiveInt | None = None  #: largest number of runs
    stops_early: bool = False  #: whether W&B's agent ends poor runs early (``early_terminate``)
    needs: tuple[Path, ...] = ()  #: sweep files whose runs must be finished first
    #: archive -> the command that makes it, without ``--out``
    archives: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SweepMetric:
    """The metric that W&B's search optimises."""

    name: str
    goal: Literal["maximize", "minimize"] = "minimize"
    target: float | None = None
    impute: str | None = None


@dataclass(frozen=True)
class EarlyTermination:
    """Settings of the early termination of poor runs by W&B's agent."""

    type: str
    min_iter: int | None = None
    max_iter: int | None = None
    s: int | None = None
    eta: float | None = None
    strict: bool | None = None


@dataclass(frozen=True)
class Needs:
    """Requirements of the sweeps of a folder.

    Attributes:
        sweeps: Sweep file -> sweep files to run first.
        archives: Archive -> the command that makes it, without ``--out``.
        tables: Other method whose rows the tables contain -> reason.
    """

    sweeps: Mapping[str, list[str]] = field(default_factory=dict)
    archives: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, str] = field(default_factory=dict)


def read_sweep(path: str | Path) -> SweepSpec:
    """Read a sweep file and its requirements in ``needs.yaml``.

    Raises:
        MissingFileError: If the file, a required sweep or a required table does not exist.
        ConfigError: If a key is missing, unknown or of another type; states file and key.
    """
    file = Path(path)
    content = {key: value for key, value in _mapping(file).items() if key not in _IGNORED}
    content.setdefault("name", file.stem)
    stops_early = content.get("early_terminate") is not None
    for key, kind in (("metric", SweepMetric), ("early_terminate", EarlyTermination)):
        if (value := content.pop(key, None)) is not None:
            parse_dataclass(kind, value, f"{file}: {key}")
    if "needs" in content:
        raise ConfigError(f"{file}: needs: list them in {NEEDS_FILENAME} beside the sweep")
    if "parameters" not in content:
        raise ConfigError(f"{file}: the key 'parameters' is missing")
    parameters = read_parameters(file, content.pop("parameters"))
    needs = read_needs(file.with_name(NEEDS_FILENAME))
    return parse_dataclass(
        SweepSpec,
        content,
        str(file),
        path=file,
        parameters=parameters,
        stops_early=stops_early,
        needs=tuple(file.parent / other for other in needs.sweeps.get(file.name, [])),
        archives=needs.archives,
    )


def needed_first(spec: SweepSpec) -> list[SweepSpec]:
    """Return a sweep and all required sweeps in the order of execution."""
    ordered: dict[Path, SweepSpec] = {}

    def visit(current: SweepSpec, ancestors: tuple[Path, ...]) -> None:
        if current.path in ancestors:
            circle = " -> ".join(str(path) for path in (*ancestors, current.path))
            needs = current.path.with_name(NEEDS_FILENAME)
            raise ConfigError(f"{needs}: the sweeps need each other: {circle}")
        for needed in current.needs:
            if needed not in ordered:
                visit(read_sweep(needed), (*ancestors, current.path))
        ordered[current.path] = current

    visit(spec, ())
    return list(ordered.values())


def read_needs(file: Path) -> Needs:
    """Read a ``needs.yaml``; a missing file means no requirements."""
    if not file.is_file():
        return Needs()
    content = _mapping(file)
    sections = {key: content.pop(key) for key in ("archives", "tables") if key in content}
    needs = parse_dataclass(Needs, {**sections, "sweeps": content}, str(file))
    for method in needs.tables:
        table = file.resolve().parents[1] / method / TABLE_FILENAME  # "." has no parent
        if not table.is_file():
            raise MissingFileError(f"{file}: tables: {method}: there is no {table}")
    for name, others in needs.sweeps.items():
        for other in (name, *others):
            if not (file.parent / other).is_file():
                raise MissingFileError(f"{file}: {other}: there is no such sweep in this folder")
    return needs


def _mapping(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise MissingFileError(f"{file}: there is no such sweep file", path=str(file))
    content = read_yaml(file)
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: expected a mapping, got {content!r}")
    return content
