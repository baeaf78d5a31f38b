"""YAML files that users write: configurations, sweeps, tables and sidecars of recordings."""

from __future__ import annotations

import re
from argparse import ArgumentError
from dataclasses import MISSING, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import yaml

from spike_zoo.errors import ConfigError, SpikeZooError, closest

if TYPE_CHECKING:
    from pathlib import Path

    from jsonargparse import ArgumentParser

Data = TypeVar("Data")


def read_yaml(path: Path, error: type[SpikeZooError] = ConfigError) -> Any:  # noqa: ANN401  (any YAML value)
    """Read a YAML file.

    Args:
        path: The file, in UTF-8.
        error: Class of the error for content that is not valid.

    Raises:
        SpikeZooError: Of that class, if the content is not YAML or a mapping has a key twice; names
            file and line.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _UniqueKeyLoader)
    except _DuplicateKeyError as reason:
        raise error(f"{path}: {_located(reason)}", path=str(path)) from reason
    except yaml.MarkedYAMLError as reason:
        raise error(f"{path}: {_located(reason, 'not YAML: ')}", path=str(path)) from reason
    except (yaml.YAMLError, UnicodeDecodeError) as reason:
        text = " ".join(str(reason).split())
        raise error(f"{path}: not YAML in UTF-8: {text}", path=str(path)) from reason


def parse_dataclass(cls: type[Data], content: Any, place: str, **built: Any) -> Data:  # noqa: ANN401  (any YAML value)
    """Build a dataclass from a mapping; jsonargparse checks the types of its fields.

    Args:
        cls: The dataclass, with type hints that can be evaluated at run time.
        content: Field -> value, as YAML yields it.
        place: File and entry, for error messages.
        built: Fields that are not read from ``content``.

    Raises:
        ConfigError: If ``content`` is not a mapping, or a key is missing, unknown or of another
            type, or if the dataclass raises ``ValueError``.
    """
    expected = {one.name: one for one in fields(cls) if one.name not in built}  # type: ignore[arg-type]  # any dataclass
    if not isinstance(content, dict):
        raise ConfigError(f"{place}: expected a mapping, got {content!r}")
    for key in content:
        if key not in expected:
            raise ConfigError(
                f"{place}: unknown key {key!r}.{closest(str(key), expected, most=3)} "
                f"The keys are {', '.join(expected)}"
            )
    for name, one in expected.items():
        if one.default is MISSING and one.default_factory is MISSING and name not in content:
            raise ConfigError(f"{place}: the key {name!r} is missing")
    try:
        parser = _parser_of(cls, tuple(built))  # type: ignore[arg-type]  # a class is hashable
        values = parser.parse_object(content).as_dict()
    except ArgumentError as error:
        found = re.search(r'key "(\w+)', str(error))
        name = found[1] if found else ""
        raise ConfigError(
            f"{place}: {name}: expected {_type_text(cls, name)}, got {content[name]!r}"
            if name in expected
            else f"{place}: {error}"
        ) from error
    try:
        return cls(**values, **built)
    except ValueError as error:
        raise ConfigError(f"{place}: {error}") from error


def _type_text(cls: type, name: str) -> str:
    """Return the type of a field without modules: ``Literal['cubic', 'pchip']``."""
    hint = get_type_hints(cls)[name]
    return re.sub(
        r"\b(\w+\.)+(?=[A-Za-z])", "", hint.__name__ if isinstance(hint, type) else repr(hint)
    )


@lru_cache
def _parser_of(cls: Any, skipped: tuple[str, ...]) -> ArgumentParser:  # noqa: ANN401  (any dataclass)
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(cls, skip=set(skipped))
    return parser


def _located(reason: yaml.MarkedYAMLError, prefix: str = "") -> str:
    line = f"line {reason.problem_mark.line + 1}: " if reason.problem_mark else ""
    return f"{line}{prefix}{reason.problem}"


class _DuplicateKeyError(yaml.MarkedYAMLError):  # type: ignore[misc]  # yaml has no hints
    """A mapping has the same key twice."""


class _UniqueKeyLoader(yaml.SafeLoader):  # type: ignore[misc]  # yaml has no hints
    """Rejects a key that a mapping has twice; YAML's own loader drops the first value."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: ANN401  (yaml has no hints)
        """Build one mapping."""
        keys: list[Any] = []
        for key, _ in node.value:  # before the values of "<<" are merged into it
            if key.value in keys:
                raise _DuplicateKeyError(
                    problem=f"the key {key.value!r} is given twice; keep one of the two",
                    problem_mark=key.start_mark,
                )
            keys.append(key.value)
        return super().construct_mapping(node, deep)
