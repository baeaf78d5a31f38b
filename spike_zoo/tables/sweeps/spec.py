"""Readers of W&B sweep files and of ``needs.yaml`` in the same folder."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from jsonargparse.typing import PositiveInt

from spike_zoo.errors import ConfigError, MissingFileError
from spike_zoo.utils.yaml_files import parse_dataclass, read_yaml

NEEDS_FILENAME = "needs.yaml"  # not part of the sweep file: W&B warns about unknown keys
TABLE_FILENAME = "table.yaml"
#: Keys of W&B's schema for sweeps that have no effect here.
_IGNORED: Final = {*("apiVersion", "kind", "description", "entity", "project", "metric", "metrics")}
_OF_WANDB: Final = ("early_terminate", "controller", "scheduler", "job", "image_uri")


@dataclass(frozen=True)
class SweepSpec:
    """A sweep file."""

    path: Path  #: the file
    name: str  #: name of the sweep
    method: Literal["grid", "random", "bayes"]  #: the search
    parameters: dict[str, dict[str, Any]]  #: dotted option -> its values, as W&B describes them
    command: tuple[str, ...]  #: command of a run, with W&B's macros
    program: str | None = None  #: value of the macro ``${program}``
    run_cap: PositiveInt | None = None  #: largest number of runs
    not_applied: tuple[str, ...] = ()  #: keys by which W&B starts or stops runs
    needs: tuple[Path, ...] = ()  #: sweep files whose runs must be finished first
    #: archive -> the command that makes it, without ``--out``
    archives: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class GridParameter:
    """Values of an option in a grid."""

    value: Any = None  #: a single value
    values: list[Any] | None = None  #: the values
    min: int | None = None  #: the first of consecutive whole numbers
    max: int | None = None  #: the last of consecutive whole numbers
    distribution: Literal["constant", "categorical", "int_uniform"] | None = None


@dataclass(frozen=True)
class Needs:
    """Requirements of the sweeps of a folder."""

    #: sweep file -> sweep files to run first
    sweeps: Mapping[str, list[str]] = field(default_factory=dict)
    #: archive -> the command that makes it, without ``--out``
    archives: Mapping[str, str] = field(default_factory=dict)
    #: other method whose rows the tables contain -> reason
    tables: Mapping[str, str] = field(default_factory=dict)


def read_sweep(path: str | Path) -> SweepSpec:
    """Read a sweep file and its requirements in ``needs.yaml``."""
    file = Path(path)
    given = _mapping(file)
    content = {key: given[key] for key in given if key not in (*_IGNORED, *_OF_WANDB)}
    content.setdefault("name", file.stem)
    if "needs" in content:
        raise ConfigError(f"{file}: needs: list them in {NEEDS_FILENAME} beside the sweep")
    parameters = content.pop("parameters", None)  # jsonargparse would read the text 'null' as None
    if not isinstance(parameters, dict) or not parameters:
        raise ConfigError(f"{file}: parameters: expected a mapping of options, got {parameters!r}")
    needs = read_needs(file.with_name(NEEDS_FILENAME))
    spec = parse_dataclass(
        SweepSpec,
        content,
        str(file),
        path=file,
        parameters=parameters,
        not_applied=tuple(key for key in _OF_WANDB if given.get(key)),
        needs=tuple(file.parent / other for other in needs.sweeps.get(file.name, [])),
        archives=needs.archives,
    )
    for name, parameter in spec.parameters.items() if spec.method == "grid" else ():
        _check_parameter(parameter, f"{file}: parameters.{name}")
    return spec


def _check_parameter(parameter: Mapping[str, Any], place: str) -> None:
    parse_dataclass(GridParameter, deepcopy(parameter), place)  # parsing changes lists
    choices = parameter.get("values", [parameter.get("value", "")])
    if not ({"value", "values"} & parameter.keys() or {"min", "max"} <= parameter.keys()):
        raise ConfigError(f"{place}: a grid needs 'value', 'values' or 'min' and 'max'")
    if parameter.get("min", 0) > parameter.get("max", float("inf")):
        raise ConfigError(f"{place}: min {parameter['min']} is above max {parameter['max']}")
    if not choices or None in choices:
        raise ConfigError(f"{place}: expected values; W&B passes null as 'None', write 'null'")


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
        raise MissingFileError.at(file, "there is no such sweep file")
    content = read_yaml(file)
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: expected a mapping, got {content!r}")
    return content
