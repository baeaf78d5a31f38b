"""Explanations of common errors of argument parsing, Lightning and torch.compile in one line."""

import argparse
import re
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from spike_zoo.errors import UsageError, closest, first_line
from spike_zoo.training.configs import config_files
from spike_zoo.training.provenance import argument_defaults, leaves
from spike_zoo.utils.yaml_files import read_yaml

_STATE_DICT_ERROR = "Error(s) in loading state_dict"  # torch's report
#: Errors of a path that is no file, no folder or not readable.
_FILE_ERRORS = (
    *(FileNotFoundError, FileExistsError),
    *(IsADirectoryError, NotADirectoryError, PermissionError),
)
_LOOP = re.compile(r"Symlink loop from '(.*)'")  # pathlib's report before Python 3.13
_OF_LIGHTNING = (ValueError, TypeError, RuntimeError, ImportError)
_CALLBACKS = "lightning.pytorch.callbacks."
#: Modules of torch.compile's errors: no compiler, or a network that cannot be compiled.
_COMPILER_MODULES = ("torch._dynamo", "torch._inductor")
#: jsonargparse's reports of an unknown option, and of an unknown key in a file.
_UNKNOWN = re.compile(r"(?:[Uu]nrecognized arguments|Key\(s\) not expected)[^:]*: (.+)")
_UNKNOWN_KEY = re.compile(r"Subcommand '[^']+' does not accept option '([^']+)'")
#: argparse's report of missing arguments.
_REQUIRED = re.compile(r"arguments are required: (.+)")
#: jsonargparse's reports of a number outside its range, and of a value of another type.
_RESTRICTION = re.compile(r"does not conform to restriction (.+)")
_OPERATORS = {"v>=": "at least ", "v<=": "at most ", "v>": "above ", "v<": "below "}
_EXPECTED = re.compile(r"(?:Expected a <class '|literal for |Literal)(\w+|\[[^]]*\])")
_KINDS = {"int": "an integer", "float": "a number", "bool": "true or false"}
_UNION = "Does not validate against any of the Union subtypes"  # jsonargparse's report


def unknown_option(given: str, known: Iterable[str]) -> str:
    """Return the message for an unknown option, possibly with a value, with the nearest one."""
    name = re.split(r"[ =]", given, maxsplit=1)[0]
    if not name.startswith("-"):
        return f"{given}: unexpected argument; --help lists the options"
    return f"unknown option {given}.{closest(name, known)} --help lists the options"


def check_options_known(
    error: argparse.ArgumentError, known: Iterable[str], arguments: Sequence[str] = ()
) -> None:
    """Raise UsageError with the nearest known option if a parser reports an unknown one.

    For an unknown key the message names its configuration among the ``arguments``.
    """
    if unknown := _UNKNOWN.search(str(error)):
        known = [*known, *(f"--{name}" for name in _arguments_of_class(str(error)))]
        raise UsageError(unknown_option(unknown[1].splitlines()[0], known)) from error
    if unknown := _UNKNOWN_KEY.search(str(error)):
        near = closest(unknown[1], [option.lstrip("-") for option in known])
        message = f"{unknown[1]}: unknown key.{near}"
        raise UsageError(_in_file(unknown[1], arguments) + message) from error


def check_missing(error: argparse.ArgumentError, options: Iterable[str]) -> None:
    """Raise UsageError if a parser reports missing arguments; name options as they are typed."""
    if required := _REQUIRED.search(str(error)):
        names = [name.rpartition(".")[2] for name in required[1].split(", ")]
        typed = [
            f"--{name.replace('_', '-')}" if name in options else name.upper() for name in names
        ]
        raise UsageError(
            f"{' and '.join(typed)} must be given; --help describes the arguments"
        ) from error


def explain(error: BaseException, arguments: Sequence[str]) -> str | None:
    """Return a message of one line for a usage error, None for an internal error."""
    if isinstance(error, argparse.ArgumentError | argparse.ArgumentTypeError):
        return _of_arguments(str(error), error, arguments)
    if isinstance(error, ValueError | TypeError) and _UNION in str(error):  # building a class
        return _flat(innermost(error))
    if isinstance(error, _FILE_ERRORS):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    if isinstance(error, RuntimeError) and (loop := _LOOP.fullmatch(str(error))):
        return f"{loop[1]}: the symbolic link leads to itself"
    if _is_of_lightning(error):
        return " ".join(str(error).split())
    if type(error).__module__.startswith(_COMPILER_MODULES):
        return (
            f"compile: the networks cannot be compiled here ({first_line(innermost(error))}). "
            "Leave --compile out, or name one that needs no compiler, as --compile aot_eager"
        )
    if isinstance(error, RuntimeError) and str(error).startswith(_STATE_DICT_ERROR):
        first = str(error).splitlines()[1:2]
        return f"the weights do not fit the configured model: {''.join(first).strip()}"
    return None


def innermost(error: BaseException) -> BaseException:
    """Return the first error of a chain of causes and contexts."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


def _is_of_lightning(error: BaseException) -> bool:
    """Return whether Lightning or one of its callbacks rejects its arguments with an error."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    homes = [str(frame.f_globals.get("__name__", "")) for frame in frames]
    own = [home for home in homes if home.startswith(("lightning.", "spike_zoo."))]
    is_raised_there = bool(homes) and homes[-1].startswith(("lightning.", "lightning_utilities."))
    return (
        type(error).__name__ == "MisconfigurationException"
        or (is_raised_there and isinstance(error, _OF_LIGHTNING))
        or bool(own and own[-1].startswith(_CALLBACKS))
    )


def _of_arguments(message: str, error: BaseException, arguments: Sequence[str]) -> str:
    keys = list(dict.fromkeys(re.findall(r'Parser key "([^"]+)"', message)))
    if option := re.search(r"Option '([^']+)' is not accepted", message):
        name = ".init_args.".join([*keys[:1], option[1]])
        near = closest(option[1].rpartition(".")[2], _arguments_of_class(message))
        return f"{_in_file(option[1], arguments)}{name}: unknown key.{near}"
    if unknown := _UNKNOWN.search(message):
        return unknown_option(unknown[1].splitlines()[0], ())
    if needed := _REQUIRED.search(message):
        names = [".".join([*keys, name]) for name in needed[1].split(", ")]
        if any(name.split(".")[-1] in ("data", "model") for name in names):
            return "no model or data is named; give --config FILE ('spike-zoo configs' lists some)"
        return f"{', '.join(f'--{name}' for name in names)} must be given; --help lists the options"
    if len(keys) == 1 and "." not in keys[0] and (typed := _typed_value(keys[0], arguments)):
        return f"{typed}: {_expectation(innermost(error))}"
    name = f"{'.init_args.'.join(keys)}: " if keys else ""
    return f"{_in_file(keys[-1] if keys else '', arguments)}{name}{_flat(innermost(error))}"


def _arguments_of_class(message: str) -> list[str]:
    """Return the dotted arguments of the class that jsonargparse names in a message."""
    path = re.search(r"class_path '([^']+)'", message)
    return [key for key, _ in leaves(argument_defaults(path[1]))] if path else []


def _typed_value(name: str, arguments: Sequence[str]) -> str:
    """Return an option (``name`` without hyphens) and its last typed value, else ""."""
    typed = list(zip(arguments, [*arguments[1:], ""], strict=True))
    for argument, following in reversed(typed):
        option, equals, value = argument.partition("=")
        if option.startswith("--") and option[2:].replace("-", "_") == name:
            return f"{option} {value if equals else following}"
    return ""


def _expectation(error: BaseException) -> str:
    """Return the values that an option accepts, from jsonargparse's reason for a rejection."""
    reason = str(error)
    if restriction := _RESTRICTION.search(reason):
        text = restriction[1]
        for operator, words in _OPERATORS.items():
            text = text.replace(operator, words)
        return f"must be {text}"
    if not (expected := _EXPECTED.search(reason)):
        return _flat(error)
    kind = expected[1]
    return f"expected {_KINDS.get(kind, f'one of {kind[1:-1]}')}"


def _flat(error: BaseException) -> str:
    """Return an error's text in one line, without the lines that repeat the key and the value."""
    if denied := re.search(r"Importing '([^']+)' is not allowed", str(error)):
        return f"--safe does not allow {denied[1]!r}; leave --safe out if you trust its code"
    lines = [line.strip(" -\t") for line in str(error).splitlines()]
    texts = [line for line in lines if line and not line.startswith(("Parser key", "Given value"))]
    text = "; ".join(texts) or type(error).__name__
    return text.replace("a typing.Literal", "one of ").replace("typing.", "")[:400]


def _in_file(key: str, arguments: Sequence[str]) -> str:
    """Return the last configuration file with a dotted key and a colon, to start a message.

    Empty if an option of the command line sets the key: options have priority over files.
    """
    leaf = key.rpartition(".")[2]
    options = [argument.partition("=")[0] for argument in arguments if argument.startswith("--")]
    if any(
        re.split("--|[.]", option.removesuffix(".class_path"))[-1] == leaf for option in options
    ):
        return ""
    files = (f for f in reversed(config_files(arguments)) if _holds(read_yaml(Path(f)), leaf))
    return next((f"{file}: " for file in files), "")


def _holds(content: Any, key: str) -> bool:  # noqa: ANN401  (any YAML value)
    if isinstance(content, dict):
        return key in content or any(_holds(value, key) for value in content.values())
    return isinstance(content, list) and any(_holds(value, key) for value in content)
