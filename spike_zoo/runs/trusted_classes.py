"""``--safe``: which classes a configuration may name."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
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
_NESTED: Final = re.compile(r"[^\s,={}\[\]'\"]+\.(?:yaml|yml|json)\b")
#: Suffixes of files: ``test.h5`` is the archive, although Python has a module ``test``.
_FILES: Final = (
    *("h5", "ckpt", "safetensors", "yaml", "yml", "json", "jsonl", "csv", "pth", "pt"),
    *("npz", "npy", "dat", "spl", "sci", "mp4", "png"),
)


def check_classes(arguments: Sequence[str]) -> None:
    """Reject a name from outside :data:`TRUSTED` anywhere in a verb's configuration.

    A dotted name counts if its first part is a module that is installed or lies in the working
    folder; only modules of trusted packages are imported. Files that a value names are read too.

    Args:
        arguments: Of a verb, with its ``--config`` files.

    Raises:
        ConfigError: Naming the file or the option, and the name.
    """
    read: set[Path] = set()
    for argument in arguments:
        _check(argument, "the command line", read)
    for file in config_files(arguments):
        _check_file(Path(file), read)


def _check_file(file: Path, read: set[Path]) -> None:
    if file in read or not file.is_file():
        return
    read.add(file)
    for text in _texts(read_yaml(file)):
        _check(text, str(file), read)


def _check(text: str, place: str, read: set[Path]) -> None:
    for match in _DOTTED.finditer(text):
        if not _is_trusted(match[0]):
            raise ConfigError(
                f"{place}: {match[0]!r} is not of {', '.join(TRUSTED)}, and {SAFE} allows no other "
                f"classes. Leave out {SAFE} if you trust it: its code runs"
            )
    for match in _NESTED.finditer(text):  # a value may be a file with the value
        _check_file(Path(match[0]), read)


def _is_trusted(name: str) -> bool:
    root, _, rest = name.partition(".")
    if root in TRUSTED:
        return _is_defined_in_trusted(name)
    if rest in _FILES and not Path(root, f"{rest}.py").exists():
        is_own = Path(f"{root}.py").exists() or Path(root, "__init__.py").exists()
        return root in sys.stdlib_module_names or not is_own
    try:
        return importlib.util.find_spec(root) is None
    except (ImportError, ValueError):
        return True


def _is_defined_in_trusted(name: str) -> bool:
    """Return whether what a trusted package has under a name is its own, unlike ``torch.os``."""
    found: Any = None
    root, *parts = name.split(".")
    place = root
    try:
        found = importlib.import_module(root)
        for part in parts:
            place = f"{place}.{part}"
            found = getattr(found, part, None) or importlib.import_module(place)
    except ImportError:
        return True  # nothing there: the command ends with an error
    home = getattr(found, "__module__", None) or getattr(found, "__name__", "")
    return str(home).partition(".")[0] in TRUSTED


def _texts(content: Any) -> Iterator[str]:  # noqa: ANN401  (any YAML value)
    """Yield every text in a YAML value, keys too."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for pair in content.items():
            yield from _texts(pair)
    elif isinstance(content, list | tuple | set):
        for value in content:
            yield from _texts(value)
