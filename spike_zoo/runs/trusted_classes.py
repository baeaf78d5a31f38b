"""``--safe``: which classes a configuration may name."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from spike_zoo.errors import ConfigError
from spike_zoo.runs.configs import config_files
from spike_zoo.yaml_files import read_yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

SAFE: Final = "--safe"
TRUSTED: Final = ("spike_zoo", "lightning", "torch", "torchmetrics")
"""Packages whose classes a configuration may name with ``--safe``."""
_DOTTED: Final = re.compile(r"(?<![\w./\\-])[A-Za-z_]\w*(\.[A-Za-z_]\w*)+(?![\w./\\-])")
_FILES: Final = ("h5", "ckpt", "safetensors", "yaml", "json", "jsonl", "csv", "pth", "pt")


def check_classes(arguments: Sequence[str]) -> None:
    """Reject a name of a module outside :data:`TRUSTED` anywhere in a verb's configuration.

    Nothing is imported: a dotted name counts if its first part is a module that is installed or
    lies in the working folder.

    Args:
        arguments: Of a verb, with its ``--config`` files.

    Raises:
        ConfigError: Naming the file or the option, and the name.
    """
    for argument in arguments:
        option, _, value = argument.rpartition("=")
        _check(value, option or "the command line")
    for file in config_files(arguments):
        if Path(file).is_file():
            for text in _texts(read_yaml(Path(file))):
                _check(text, file)


def _check(text: str, place: str) -> None:
    for match in _DOTTED.finditer(text):
        root, _, rest = match[0].partition(".")
        is_file = rest in _FILES  # as in test.h5; a module has no class of that name
        if root not in TRUSTED and not is_file and _is_module(root):
            raise ConfigError(
                f"{place}: {match[0]!r} is not of {', '.join(TRUSTED)}, and {SAFE} allows no other "
                f"classes. Leave out {SAFE} if you trust it: its code runs"
            )


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _texts(content: Any) -> Iterator[str]:  # noqa: ANN401  (any YAML value)
    """Yield every text in a YAML value, keys too."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for key, value in content.items():
            yield from _texts(key)
            yield from _texts(value)
    elif isinstance(content, list):
        for value in content:
            yield from _texts(value)
