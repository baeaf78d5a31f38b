"""Options of modules: dataclasses that command lines and checkpoints store as mappings."""

from collections.abc import Mapping
from typing import Any, TypeVar, get_args

Options = TypeVar("Options")


def options_of(kind: type[Options], options: Options | Mapping[str, Any]) -> Options:
    """Return options from an instance, or from the mapping that a checkpoint stores."""
    return kind(**options) if isinstance(options, Mapping) else options


def check_choice(name: str, value: str | int, kind: Any) -> None:  # noqa: ANN401  (a Literal)
    """Raise unless a value is one of the values of a ``Literal`` type."""
    if value not in get_args(kind):
        choices = ", ".join(map(str, get_args(kind)))
        raise ValueError(f"{name} must be one of {choices}, got {value!r}")
