"""Provenance of results: commit, versions, digests of configurations, redaction of secrets."""

import dataclasses
import getpass
import hashlib
import importlib
import inspect
import json
import platform
import re
import subprocess
from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from importlib import metadata
from pathlib import Path
from typing import Any

import spike_zoo

PACKAGES = ("torch", "lightning", "torchmetrics", "kornia", "numpy", "h5py")
#: Dotted keys of a configuration without effect on numbers beyond rounding: output folders,
#: logging, machine and speed. Runs that differ only in these keys are the same run.
INCIDENTAL = (
    *("run_dir", "config", "ckpt_path", "verbose", "test_after_fit", "weights_only"),
    "init_strict",  # may reject a run, but does not change its numbers
    *("trainer.logger", "trainer.default_root_dir", "trainer.enable_checkpointing"),
    *("trainer.enable_progress_bar", "trainer.enable_model_summary", "trainer.log_every_n_steps"),
    *("trainer.enable_autolog_hparams", "trainer.profiler", "trainer.detect_anomaly"),
    *("trainer.accelerator", "trainer.benchmark", "trainer.deterministic"),
    *("data.init_args.workers", "model.init_args.cache_dir"),
)
#: Keys that affect numbers only if set; records of earlier versions do not contain them.
OPTIONAL = ("compile", "init_from")
#: Dotted keys without effect on the result of a run without training.
OF_FITS = tuple(
    f"trainer.{name}"
    for name in (
        *("max_epochs", "min_epochs", "max_steps", "min_steps", "max_time"),
        *("limit_train_batches", "limit_val_batches", "num_sanity_val_steps"),
        *("val_check_interval", "check_val_every_n_epoch"),
        *("accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm"),
    )
)
CHECKOUT = Path(spike_zoo.__file__).resolve().parent.parent
DIRTY = "-dirty"
_WITHOUT_EFFECT = tuple(f":(exclude){path}" for path in ("experiments/*/results/*", "docs", "*.md"))
_NAMED_KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
HIDDEN = "(hidden)"
_SECRET_NAME = re.compile(r"(api_?key|password|passwd|secret|token|credentials?)$", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")  # user:token@ before the host of an address


def versions() -> dict[str, str]:
    """Return the versions of this package, of Python and of the libraries that affect numbers."""
    installed = {"spike_zoo": spike_zoo.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            installed[package] = "missing"
    return installed


def commit() -> str | None:
    """Return the commit of this checkout, with ``-dirty`` if code differs; None without one."""
    if not (CHECKOUT / ".git").exists():
        return None
    name = _git("describe", "--always", "--abbrev=12", "--exclude=*").strip()
    return (f"{name}{DIRTY}" if changed_code() else name) or None


def changed_code() -> list[str]:
    """Return the files of this checkout that are not committed and may affect results.

    Records and rendered tables, documents and Markdown do not.
    """
    listed = _git("status", "--porcelain", "--no-renames", "-uall", "--", ".", *_WITHOUT_EFFECT)
    return [line[3:] for line in listed.splitlines()]


def _git(*arguments: str) -> str:
    """Return the output of a git command; empty if it fails."""
    command = ["git", "-C", str(CHECKOUT), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def effective_config(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the part of a configuration that affects numbers, without ``INCIDENTAL`` keys.

    ``prefix`` is the dotted key of the part with a dot, as ``"trainer."``.
    """
    keys = {name: f"{prefix}{name}" for name in config}
    return {
        name: effective_config(value, f"{keys[name]}.") if isinstance(value, dict) else value
        for name, value in config.items()
        if keys[name] not in INCIDENTAL and (value or keys[name] not in OPTIONAL)
    }


def config_hash(
    config: dict[str, Any], begins_with: Mapping[str, Mapping[str, Any]] | None = None
) -> str:
    """Return a digest of the effective configuration and of the initial weights of a run.

    It is independent of names and folders of the run.
    """
    content = effective_config(config)
    if begins_with:
        content["begins_with"] = {key: origin.get("sha256") for key, origin in begins_with.items()}
    return digest_of(plain_numbers(content))


def digest_of(content: dict[str, Any]) -> str:
    """Return a digest of plain values."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def plain_numbers(value: Any) -> Any:  # noqa: ANN401  (any YAML value)
    """Return a value with whole floats as integers, because parsers write 1 or 1.0."""
    if isinstance(value, dict):
        return {key: plain_numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def differences(
    recorded: dict[str, Any],
    wanted: dict[str, Any],
    defaults: Mapping[str, Any],
    *,
    apart_from: Collection[str] = (),
) -> list[str]:
    """Return descriptions of the differences between two effective configurations.

    Parameters that were added since, and have their default (``defaults``), are no difference.
    """
    before, now = (
        {key: value for key, value in leaves(effective_config(config)) if key not in apart_from}
        for config in (recorded, wanted)
    )
    changes = [
        f"{key}: {value!r}, was {before[key]!r}"
        for key, value in now.items()
        if key in before and not _is_same(before[key], value)
    ]
    added = [key for key in now if key not in before and key not in defaults]
    changes += [f"{key}: {now[key]!r}, was not set" for key in added]
    removed = [key for key in before if key not in now and not key.startswith("trainer.")]
    return changes + [f"{key}: not set, was {before[key]!r}" for key in removed]


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401  (any YAML value)
    """Yield every dotted key of nested mappings with its value; lists are not entered."""
    if not isinstance(value, dict):
        yield key, value
        return
    for name, inner in value.items():
        yield from leaves(inner, f"{key}.{name}" if key else str(name))


def _is_same(recorded: Any, wanted: Any) -> bool:  # noqa: ANN401  (any YAML value)
    """Return whether two values are equal; ``{name}`` in a wanted text matches any characters."""
    if isinstance(wanted, str) and isinstance(recorded, str) and "{" in wanted:
        return recorded == wanted or fnmatchcase(recorded, re.sub(r"\{\w*\}", "*", wanted))
    return bool(recorded == wanted)


def arguments_of(cls: type) -> dict[str, inspect.Parameter]:
    """Return the arguments of a class by name, with the base's arguments behind ``**options``."""
    named: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        _, *parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
        named = {
            parameter.name: parameter for parameter in parameters if parameter.kind in _NAMED_KINDS
        } | named
        if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
            break
    return named


def argument_defaults(class_path: str) -> dict[str, Any]:
    """Return a class's arguments with defaults in YAML's types; empty if the import fails."""
    module, _, name = class_path.rpartition(".")
    try:
        parameters = arguments_of(getattr(importlib.import_module(module), name))
    except (ImportError, AttributeError, ValueError, TypeError):
        return {}
    return {name: _as_yaml(parameter.default) for name, parameter in parameters.items()}


def _as_yaml(default: Any) -> Any:  # noqa: ANN401  (any default)
    if dataclasses.is_dataclass(default) and not isinstance(default, type):
        return {name: _as_yaml(value) for name, value in vars(default).items()}
    return list(default) if isinstance(default, tuple) else default


def redact(value: Any) -> Any:  # noqa: ANN401  (any value of a configuration)
    """Return a configuration or record (plain values) without secrets and personal folder names.

    Values of keys such as ``token`` or ``password`` are replaced by ``(hidden)``. User and password
    are removed from addresses. Paths inside the working folder become relative. In other absolute
    paths the home folder becomes ``~`` and the user name becomes ``USER``.
    """
    if isinstance(value, dict):
        return {
            redact(name): HIDDEN if item and _SECRET_NAME.search(str(name)) else redact(item)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact(item) for item in value]
    return _redacted_text(str(value)) if isinstance(value, str | Path) else value


def _redacted_text(text: str) -> str:
    text = _CREDENTIALS.sub("", text)
    if not text.startswith("/"):
        return text
    path = Path(text)
    if path.is_relative_to(Path.cwd()):
        return str(path.relative_to(Path.cwd()))
    if path.is_relative_to(Path.home()):
        return str(Path("~") / path.relative_to(Path.home()))
    root, *parts = path.parts
    return str(Path(root, *("USER" if part == _user() else part for part in parts)))


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # the user of a container may have no name
        return None
