"""Strict reader of YAML files, and construction of dataclasses from YAML."""

from __future__ import annotations

import math
import re
from argparse import ArgumentError
from collections.abc import Collection, Iterable
from dataclasses import MISSING, fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_type_hints

import yaml

from spike_zoo.errors import ConfigError, SpikeZooError, closest

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

Data = TypeVar("Data")
_MAX_REPEATED: Final = 10_000  # largest number of values that aliases may add to a document


def read_yaml(path: Path, error: type[SpikeZooError] = ConfigError) -> Any:  # noqa: ANN401  (any YAML value)
    """Read a YAML file in UTF-8.

    Raises an error of class ``error`` if the content is not YAML, if a mapping has a key twice, or
    if aliases repeat more than 10,000 values; states file and line.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)
    except _ContentError as reason:
        raise error.at(path, _located(reason)) from reason
    except yaml.MarkedYAMLError as reason:
        raise error.at(path, _located(reason, "not YAML: ")) from reason
    except RecursionError as reason:
        raise error.at(path, "its values are nested too deeply") from reason
    except (yaml.YAMLError, UnicodeDecodeError) as reason:
        text = " ".join(str(reason).split())
        raise error.at(path, f"not YAML in UTF-8: {text}") from reason


@lru_cache
def limit_aliases_of_options() -> None:
    """Set the loader of jsonargparse, so that it also rejects aliases that repeat many values."""
    from jsonargparse import get_loader, set_loader

    load = get_loader("yaml")

    def load_checked(text: str) -> Any:  # noqa: ANN401  (any YAML value)
        if "*" in text and "&" in text:
            yaml.load(text, _StrictLoader)
        return load(text)

    set_loader("yaml", load_checked, exceptions=(yaml.YAMLError,))


def check_keys(content: Iterable[Any], known: Collection[str], place: str) -> None:
    """Raise ConfigError with the nearest known key for the first unknown one."""
    for key in content:
        if key not in known:
            raise ConfigError(
                f"{place}: unknown key {key!r}.{closest(str(key), known, most=3)} "
                f"The keys are {', '.join(known)}"
            )


def parse_dataclass(cls: type[Data], content: Any, place: str, **built: Any) -> Data:  # noqa: ANN401  (any YAML value)
    """Build a dataclass from a mapping; jsonargparse checks the types of its fields.

    The type hints must be evaluable at run time. ``place`` is file and entry, for error messages;
    ``built`` are values of fields that are not read from ``content``. Raises ConfigError if
    ``content`` is not a mapping, or a key is missing, unknown or of another type, or if the
    dataclass raises ``ValueError``.
    """
    expected = {item.name: item for item in fields(cls) if item.name not in built}  # type: ignore[arg-type]  # any dataclass
    if not isinstance(content, dict):
        raise ConfigError(f"{place}: expected a mapping, got {content!r}")
    check_keys(content, expected, place)
    for name, item in expected.items():
        if item.default is MISSING and item.default_factory is MISSING and name not in content:
            raise ConfigError(f"{place}: the key {name!r} is missing")
    try:
        parser = _parser_of(cls, tuple(built))  # type: ignore[arg-type]  # a class is hashable
        values = parser.parse_object(content).as_dict()
    except ArgumentError as error:
        match = re.search(r'key "(\w+)', str(error))
        name = match[1] if match else ""
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


def _check_aliases(node: Any, sizes: dict[int, float]) -> float:  # noqa: ANN401  (yaml has no hints)
    """Return the number of values of a node with expanded aliases.

    Raises _ContentError if aliases repeat too many values, or if a value contains itself.
    """
    if (counted := sizes.get(id(node))) is not None:
        return counted
    sizes[id(node)] = math.inf  # remains for a node that contains itself
    parts = node.value if isinstance(node, yaml.CollectionNode) else ()
    if isinstance(node, yaml.MappingNode):
        parts = [child for pair in parts for child in pair]
    size = 1 + sum(_check_aliases(child, sizes) for child in parts)
    if size > len(sizes) + _MAX_REPEATED:
        raise _ContentError(
            problem=f"aliases (*name) repeat more than {_MAX_REPEATED:,} values, or a value "
            "contains itself; write the values out",
            problem_mark=node.start_mark,
        )
    sizes[id(node)] = size
    return size


class _ContentError(yaml.MarkedYAMLError):  # type: ignore[misc]  # yaml has no hints
    """Valid YAML with rejected content."""


class _StrictLoader(yaml.SafeLoader):  # type: ignore[misc]  # yaml has no hints
    """Loader that rejects excessive aliases and repeated keys, of which PyYAML keeps the last."""

    def get_single_node(self) -> Any:  # noqa: ANN401  (yaml has no hints)
        """Compose the document and check the number of values with expanded aliases."""
        root = super().get_single_node()
        if root is not None:
            _check_aliases(root, {})
        return root

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: ANN401  (yaml has no hints)
        """Build one mapping; reject repeated keys."""
        keys: list[Any] = []
        for key, _ in node.value:  # before the values of "<<" are merged into it
            if key.value in keys:
                raise _ContentError(
                    problem=f"the key {key.value!r} is given twice; keep one of the two",
                    problem_mark=key.start_mark,
                )
            keys.append(key.value)
        return super().construct_mapping(node, deep)
