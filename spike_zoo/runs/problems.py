"""What argument parsing and Lightning complain about, as one line a user can act on."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from spike_zoo.errors import ConfigError, UsageError, closest
from spike_zoo.records.provenance import argument_defaults
from spike_zoo.runs.configs import config_files
from spike_zoo.runs.libraries import TRUSTED
from spike_zoo.yaml_files import read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


_OTHER_WEIGHTS = "Error(s) in loading state_dict"  # torch's report
#: A path of the command line that is no file, no folder, or not to be read.
_OF_FILES = (
    *(FileNotFoundError, FileExistsError),
    *(IsADirectoryError, NotADirectoryError, PermissionError),
)
#: What of the command line a module of Lightning complains about without naming it.
_NAMES = {"lightning.fabric.utilities.seed": "seed_everything: "}
#: Where torch.compile's errors live: no compiler, or a network that it cannot translate.
_COMPILING = ("torch._dynamo", "torch._inductor")
#: jsonargparse's reports of an option that it does not know.
_UNKNOWN = re.compile(r"(?:[Uu]nrecognized arguments|Key\(s\) not expected)[^:]*: (.+)")
#: Its report of a key that nothing takes, in a file.
_UNKNOWN_KEY = re.compile(r"Subcommand '[^']+' does not accept option '([^']+)'")
#: argparse's report of a word that is not among the choices.
_CHOICES = re.compile(r"invalid choice: '([^']*)' \(choose from ([^)]*)\)")
_REQUIRED = re.compile(r"arguments are required: (.+)")  # argparse's report
_DENIED = re.compile(r"Importing '([^']+)' is not allowed")  # jsonargparse's, with --safe
_UNION = "Does not validate against any of the Union subtypes"  # jsonargparse's report


def unknown_option(given: str, known: Iterable[str]) -> str:
    """Return what is said of an unknown option (a value may follow), with the nearest known one."""
    name = re.split(r"[ =]", given, maxsplit=1)[0]
    if not name.startswith("-"):
        return f"{given}: nothing takes this word; --help lists the options there are"
    return f"unknown option {given}.{closest(name, known)} --help lists what there is"


def check_options_known(
    error: argparse.ArgumentError, known: Iterable[str], arguments: Sequence[str] = ()
) -> None:
    """Raise a usage error with the nearest option, where the parser's is of an unknown one.

    Args:
        error: The parser's.
        known: All options there are, with their hyphens.
        arguments: The command line, for the file that holds an unknown key.
    """
    if unknown := _UNKNOWN.search(str(error)):
        raise UsageError(unknown_option(unknown[1].splitlines()[0], known)) from error
    if unknown := _UNKNOWN_KEY.search(str(error)):
        key, keys = unknown[1], [option.lstrip("-") for option in known]
        holders = [file for file in config_files(arguments) if _has_path(_read(file), key)]
        files = ", ".join(holders or config_files(arguments))
        where = f"{files}: " if files else ""
        raise UsageError(f"{where}{key}: nothing takes this key.{closest(key, keys)}") from error


def check_missing(error: argparse.ArgumentError, options: Iterable[str]) -> None:
    """Raise a usage error where required arguments are missing, named as they are typed.

    Args:
        error: The parser's.
        options: Names of the command's arguments that are options, such as ``out``.
    """
    if required := _REQUIRED.search(str(error)):
        names = [name.rpartition(".")[2] for name in required[1].split(", ")]
        typed = [
            f"--{name.replace('_', '-')}" if name in options else name.upper() for name in names
        ]
        raise UsageError(
            f"{' and '.join(typed)} must be given; --help describes the arguments"
        ) from error


def explain(error: BaseException, arguments: Sequence[str]) -> str | None:
    """Return one line for an error of the user's, None for a fault of ours."""
    if isinstance(error, argparse.ArgumentError | argparse.ArgumentTypeError):
        return _of_arguments(error, arguments)
    if isinstance(error, ValueError | TypeError) and _UNION in str(error):  # building a class
        return _flat(innermost(error))
    if isinstance(error, _OF_FILES):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    if type(error).__name__ == "MisconfigurationException":
        return " ".join(str(error).split())
    if type(error).__module__.startswith(_COMPILING):
        reason = next(iter(str(innermost(error)).strip().splitlines()), type(error).__name__)
        return (
            f"compile: the networks cannot be translated here ({reason}). Leave it out, or name a "
            "backend that needs no compiler, as --compile aot_eager"
        )
    if isinstance(error, ValueError) and (home := _raised_in(error)).startswith("lightning."):
        return _NAMES.get(home, "") + " ".join(str(error).split())
    if isinstance(error, yaml.YAMLError):
        return " ".join(str(error).split())
    if isinstance(error, RuntimeError) and str(error).startswith(_OTHER_WEIGHTS):
        first = str(error).splitlines()[1:2]
        return f"the weights do not fit the model that is configured: {''.join(first).strip()}"
    return None


def innermost(error: BaseException) -> BaseException:
    """Return the error that all others were raised from."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


def _raised_in(error: BaseException) -> str:
    """Return the module whose code raised an error."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return "" if place is None else str(place.tb_frame.f_globals.get("__name__", ""))


def _of_arguments(error: BaseException, arguments: Sequence[str]) -> str:
    message = str(error)
    option = re.search(r"Option '([^']+)' is not accepted", message)
    if option:
        return _of_unknown_option(option[1], message, arguments)
    if unknown := _UNKNOWN.search(message):
        return unknown_option(unknown[1].splitlines()[0], ())
    if needed := _REQUIRED.search(message):
        names = needed[1].split(", ")
        if any(name.endswith((".data", ".model")) for name in names):
            return "no model or data is named; give --config FILE ('spike-zoo configs' lists some)"
        return f"{', '.join(f'--{name}' for name in names)} must be given; --help lists the options"
    if absent := re.search(r'expected "subcommand" to be one of \{([^}]*)\}', message):
        return f"name one of {absent[1].replace(',', ', ')}; --help describes them"
    if chosen := _CHOICES.search(message):
        known = re.findall(r"'([^']+)'", chosen[2])
        listed = ", ".join(known)
        return f"there is no {chosen[1]!r} here.{closest(chosen[1], known)} There are {listed}"
    keys = list(dict.fromkeys(re.findall(r'Parser key "([^"]+)"', message)))
    where = _file_with(keys[-1].rsplit(".", 1)[-1], arguments) if keys else None
    name = ".init_args.".join(keys)
    return ": ".join(part for part in (where, name, _flat(innermost(error))) if part)


def _flat(error: BaseException) -> str:
    """Return an error's text in one line, without what the name before it says already."""
    if denied := _DENIED.search(str(error)):
        return (
            f"--safe allows no class from outside {', '.join(TRUSTED)}, and {denied[1]!r} is one. "
            "Leave out --safe if you trust it: its code runs"
        )
    lines = [line.strip(" -\t") for line in str(error).splitlines()]
    kept = [line for line in lines if line and not line.startswith(("Parser key", "Given value"))]
    text = "; ".join(kept) or type(error).__name__
    return text.replace("a typing.Literal", "one of ").replace("typing.", "")[:400]


def _of_unknown_option(name: str, message: str, arguments: Sequence[str]) -> str:
    key = re.search(r'Parser key "([^"]+)"', message)
    path = re.search(r"class_path '([^']+)'", message)
    leaf = name.rsplit(".", 1)[-1]
    where = _file_with(leaf, arguments)
    accepted = list(argument_defaults(path[1])) if path else []
    place = f" of {path[1]}" if path else ""
    listed = f" It takes: {', '.join(accepted)}." if accepted else ""
    full = f"{key[1]}.init_args.{name}" if key and path else name
    return (
        f"{where + ': ' if where else ''}{full}: unknown key{place}."
        f"{closest(leaf, accepted)}{listed}"
    )


def _file_with(key: str, arguments: Sequence[str]) -> str | None:
    """Return the last stacked configuration that holds a key, the one whose value counted.

    None where an option has it: the command line has priority over any file.
    """
    options = [argument.partition("=")[0] for argument in arguments if argument.startswith("--")]
    if any(re.split("--|[.]", option.removesuffix(".class_path"))[-1] == key for option in options):
        return None
    return next((f for f in reversed(config_files(arguments)) if _holds(_read(f), key)), None)


def _read(file: str) -> Any:  # noqa: ANN401  (any YAML value)
    """Return what a configuration says, None where it cannot be read."""
    try:
        return read_yaml(Path(file))
    except (OSError, ConfigError):
        return None


def _has_path(content: Any, dotted: str) -> bool:  # noqa: ANN401  (any YAML value)
    for key in dotted.split("."):
        if not isinstance(content, dict) or key not in content:
            return False
        content = content[key]
    return True


def _holds(content: Any, key: str) -> bool:  # noqa: ANN401  (any YAML value)
    if isinstance(content, dict):
        return key in content or any(_holds(value, key) for value in content.values())
    return isinstance(content, list) and any(_holds(value, key) for value in content)
