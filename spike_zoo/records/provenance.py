"""Where a result comes from: code, versions, configuration."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import inspect
import json
import platform
import re
import subprocess
from fnmatch import fnmatchcase
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import spike_zoo

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

PACKAGES = ("torch", "lightning", "torchmetrics", "kornia", "numpy", "h5py")
#: Keys of a configuration that say where or how a run is watched, not what it computes.
INCIDENTAL = (
    *("run_dir", "config", "ckpt_path", "verbose", "test_after_fit", "weights_only"),
    "init_strict",  # decides whether a run starts, not what it computes
)
INCIDENTAL_TRAINER = (
    "logger",
    "default_root_dir",
    "enable_checkpointing",
    "enable_progress_bar",
    "enable_model_summary",
    "log_every_n_steps",
)
#: Decide numbers where they are given; records of earlier versions do not have them.
OPTIONAL = ("compile", "init_from")
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
#: Dotted keys that change no number, but count in digests of earlier records.
INCIDENTAL_KEYS = ("data.init_args.workers", "model.init_args.cache_dir")


def versions() -> dict[str, str]:
    """Return the versions of this package, Python and the libraries that decide numbers."""
    found = {"spike_zoo": spike_zoo.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "missing"
    return found


def commit() -> str | None:
    """Return the commit of this package's checkout, ``-dirty`` where files differ; else None."""
    root = Path(spike_zoo.__file__).resolve().parent.parent
    described = _git(root, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    return described or None


def effective_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return what of a configuration decides the numbers, without names and ways to watch."""
    kept = {
        key: value
        for key, value in config.items()
        if key not in INCIDENTAL and (value or key not in OPTIONAL)
    }
    if isinstance(kept.get("trainer"), dict):
        kept["trainer"] = {
            key: value for key, value in kept["trainer"].items() if key not in INCIDENTAL_TRAINER
        }
    return kept


def config_hash(
    config: dict[str, Any], begins_with: Mapping[str, Mapping[str, Any]] | None = None
) -> str:
    """Return a digest of what a configuration computes, whatever its run is called.

    Args:
        config: Complete configuration.
        begins_with: The checkpoints it names, which count by their weights.
    """
    content = effective_config(config)
    if begins_with:
        content["begins_with"] = {key: one.get("sha256") for key, one in begins_with.items()}
    text = json.dumps(plain_numbers(content), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def plain_numbers(value: Any) -> Any:  # noqa: ANN401  (any YAML value)
    """Return a value in which 1.0 is 1: parsers write the one or the other."""
    if isinstance(value, dict):
        return {key: plain_numbers(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain_numbers(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def differences(
    recorded: dict[str, Any],
    wanted: dict[str, Any],
    defaults: Mapping[str, Any],
    *,
    apart_from: Collection[str] = (),
) -> list[str]:
    """Return in what two configurations do not compute the same, in words.

    Parameters that came in between and stand at their default change nothing.

    Args:
        recorded: Complete configuration of a run.
        wanted: Complete configuration of another.
        defaults: Dotted key -> value, for keys of ``wanted`` that stand at their default.
        apart_from: Dotted keys that do not count.
    """
    before, now = (_counted(config, apart_from) for config in (recorded, wanted))
    found = [
        f"{key}: {value!r}, was {before[key]!r}"
        for key, value in now.items()
        if key in before and not _is_same(before[key], value)
    ]
    new = [key for key in now if key not in before and key not in defaults]
    found += [f"{key}: {now[key]!r}, was not there" for key in new]
    gone = [key for key in before if key not in now and not key.startswith("trainer.")]
    return found + [f"{key}: not there, was {before[key]!r}" for key in gone]


def _counted(config: dict[str, Any], apart_from: Collection[str]) -> dict[str, Any]:
    left_out = {*INCIDENTAL_KEYS, *apart_from}
    return {key: value for key, value in leaves(effective_config(config)) if key not in left_out}


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401  (any YAML value)
    """Yield every dotted key with its value; lists are values."""
    if not isinstance(value, dict):
        yield key, value
        return
    for name, inner in value.items():
        yield from leaves(inner, f"{key}.{name}" if key else str(name))


def _is_same(recorded: Any, wanted: Any) -> bool:  # noqa: ANN401  (any YAML value)
    """Compare values; a text with names in braces is any file that it may have stood for."""
    if isinstance(wanted, str) and isinstance(recorded, str) and "{" in wanted:
        return recorded == wanted or fnmatchcase(recorded, re.sub(r"\{\w*\}", "*", wanted))
    return bool(recorded == wanted)


def _git(root: Path, *arguments: str) -> str:
    if not (root / ".git").exists():
        return ""
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def arguments_of(found: type) -> dict[str, inspect.Parameter]:
    """Return the arguments of a class by name: its own, and its base's behind ``**options``."""
    named: dict[str, inspect.Parameter] = {}
    for base in found.__mro__:
        if "__init__" not in vars(base):
            continue
        _, *parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
        named = {one.name: one for one in parameters if one.kind in _NAMED} | named
        if not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters):
            break
    return named


def argument_defaults(class_path: str) -> dict[str, Any]:
    """Return a class's arguments with defaults as YAML has them; none if it cannot be imported."""
    module, _, name = class_path.rpartition(".")
    try:
        parameters = arguments_of(getattr(importlib.import_module(module), name))
    except (ImportError, AttributeError, ValueError, TypeError):
        return {}
    return {name: _as_yaml(one.default) for name, one in parameters.items()}


def _as_yaml(default: Any) -> Any:  # noqa: ANN401  (any default)
    if dataclasses.is_dataclass(default) and not isinstance(default, type):
        return {name: _as_yaml(value) for name, value in vars(default).items()}
    return list(default) if isinstance(default, tuple) else default
