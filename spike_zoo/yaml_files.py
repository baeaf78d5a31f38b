"""YAML files that users write: configurations, sweeps, tables and sidecars of recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from spike_zoo.errors import ConfigError, SpikeZooError

if TYPE_CHECKING:
    from pathlib import Path


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
