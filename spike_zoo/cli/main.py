"""Dispatch of commands, and exit codes and messages of errors."""

import contextlib
import errno
import importlib
import inspect
import json
import os
import shlex
import sys
import traceback
import warnings
from argparse import ArgumentError
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final, get_args, get_origin

from spike_zoo.cli.console import configure_streams, drop_unwritten, quiet
from spike_zoo.cli.options import resolve_types, types_of
from spike_zoo.cli.trainer_commands import TRAINER_VERBS, run_verb
from spike_zoo.errors import SpikeZooError, UsageError, closest, first_line, visible
from spike_zoo.training.configs import check_configs
from spike_zoo.training.libraries import plain_warning
from spike_zoo.utils.cores import limit_threads_of_torch
from spike_zoo.utils.environment import ensure_home, invalid_variable
from spike_zoo.utils.signals import (
    exit_on_signals,
    is_closed,
    noted_interrupts,
    signal_code,
    was_interrupted,
)

PROGRAM = "spike-zoo"
INTERRUPTED, TERMINATED, INVALID, USAGE, FAULT = 130, 143, 1, 2, 70
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # full disk, read-only file system

EVERYWHERE = ("--debug", "--quiet", "--safe")  # options of all commands, at any position
_ARCHIVE = {
    name: f"spike_zoo.cli.archive:archive_{name}" for name in ("build", "info", "verify", "export")
}
#: Group of the help text -> its commands with their summaries.
GROUPS: Final = {
    "use recordings": {
        "info": "show format, size and other facts of a recording, archive, bitstream or weights",
        "reconstruct": "turn a recording into an image, a folder of images or a video",
        "deblur": "turn a blurry image and the spikes of its exposure into sharp images",
        "classify": "print the most probable classes of a recording",
        "compress": "turn a recording into a bitstream or a coded video",
        "decompress": "turn a bitstream into a video, images, features or its recording",
        "report": "write an HTML report of a recording, archive, bitstream or runs",
        "live": "show a recording as a video on a local web page while it is recorded",
        "score": "measure NIQE and BRISQUE of images, without ground truth",
    },
    "train and compare": TRAINER_VERBS
    | {
        "sweep": "run the runs of a W&B sweep file on this machine, without an account",
        "table": "write the results of runs as Markdown and CSV tables, or curves as PNG",
        "compare": "test methods without training on the images that a run was tested on",
        "configs": "list or copy the configurations of the package",
        "export": "write the weights of a checkpoint as safetensors or a graph",
        "doctor": "show versions, devices, optional packages and search paths",
    },
    "data": {
        "simulate": "simulate a spike camera on scenes, videos or images; makes default archives",
        "archive": "build, show, verify or export an HDF5 spike archive",
        "calibrate": "estimate the noise of a camera from recordings of uniform light",
    },
}
#: Command -> module and function; a dictionary is a group of commands.
COMMANDS: dict[str, str | dict[str, str]] = {
    name: _ARCHIVE if name == "archive" else f"spike_zoo.cli.{name}:{name}"
    for commands in GROUPS.values()
    for name in commands
    if name not in TRAINER_VERBS
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Exit codes: 0 success; 1 invalid or unreadable content, or unwritable output; 2 wrong usage,
    missing file or unknown key; 70 internal error; 129 terminal closed; 130 interrupted; 143
    terminated.

    Args:
        argv: Arguments after the program's name; by default those of the process.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    warnings.formatwarning = plain_warning
    arguments = [argument for argument in given if argument not in EVERYWHERE]
    if os.name == "nt":
        print("Windows is not supported: use WSL (wsl --install)", file=sys.stderr)
    try:
        with noted_interrupts(), quiet(wanted="--quiet" in given):
            configure_streams()
            if "_ARGCOMPLETE" in os.environ:  # called by the shell
                _complete(os.environ.get("COMP_LINE", ""))
            limit_threads_of_torch()
            ensure_home()
            if "--safe" in given:
                os.environ["SPIKE_ZOO_SAFE"] = "1"  # also for processes that share the work
            os.environ["MPLBACKEND"] = "agg"  # charts are files; notebooks set another backend
            code = _dispatch(arguments)
            sys.stdout.flush()  # raises the error of a closed pipe here, not at the exit of Python
    except BaseException as error:  # noqa: BLE001  (every error becomes an exit code)
        code, message = _outcome(error, arguments)
        with contextlib.suppress(OSError):  # stderr is closed
            if "--debug" in given and code:
                print(visible("".join(traceback.format_exception(error))), end="", file=sys.stderr)
            if message:
                print(visible(message), file=sys.stderr)
    return code


def overview() -> str:
    """Return the help text of the program, with one line per command."""
    sections = [
        "\n".join([f"{title}:", *(f"  {name:<12} {line}" for name, line in commands.items())])
        for title, commands in GROUPS.items()
    ]
    text = "\n\n".join(sections)
    return f"""\
usage: {PROGRAM} COMMAND [options]        (run {PROGRAM} COMMAND --help for its options)

Train, compare, reproduce and use methods for spike cameras.

{text}

Options of all commands: --help, --quiet (print only results, warnings and errors),
--debug (print the traceback of an error), --safe (reject methods that run code of other
repositories). Without a command: --version."""


def _dispatch(arguments: list[str]) -> int:
    if not arguments:
        print(overview(), file=sys.stderr)
        return USAGE
    command, rest = arguments[0], arguments[1:]
    if command in ("-h", "--help", "help"):
        print(overview())
        return 0
    if command == "--version":
        from spike_zoo import __version__

        print(f"{PROGRAM} {__version__}")
        return 0
    if command in TRAINER_VERBS:
        run_verb(command, rest)
        return 0
    if command not in COMMANDS:
        known = [*TRAINER_VERBS, *COMMANDS]
        raise UsageError(
            f"there is no command {command!r}.{closest(command, known)} '{PROGRAM} --help' lists "
            "all."
        )
    return _run_function(command, rest)


def _complete(line: str) -> None:
    """Print the completions of an unfinished command line by argcomplete, and exit."""
    from jsonargparse import auto_cli

    words = line.split(" ")
    target: Any = COMMANDS
    while isinstance(target, dict) and words[1] in target and len(words) > 2:
        target = target[words.pop(1)]
    shortened = " ".join(words)  # without the command, whose parser reads the rest
    os.environ |= {"COMP_LINE": shortened, "COMP_POINT": str(len(shortened.encode()))}
    auto_cli(imported(target), prog=PROGRAM)


def imported(target: str | dict[str, str]) -> Any:  # noqa: ANN401  (one function or a group)
    """Import the function of a command, or the functions of a group of commands."""
    if isinstance(target, dict):
        return {name: imported(path) for name, path in target.items()}
    module, _, name = target.partition(":")
    command = getattr(importlib.import_module(module), name)
    resolve_types(command)
    return command


def _run_function(command: str, arguments: list[str]) -> int:
    from jsonargparse import auto_cli

    from spike_zoo.cli.help_pages import CommandHelp

    components = imported(COMMANDS[command])
    is_group = isinstance(components, dict)
    function = components.get(arguments[0] if arguments else "") if is_group else components
    types = types_of(function) if function else {}
    if function:
        _check_options(types, arguments)
        check_configs(arguments)
    with exit_on_signals():  # not for Lightning's verbs, which install handlers
        try:
            result = auto_cli(
                components,
                args=as_parsed(arguments, types),
                prog=f"{PROGRAM} {command}",
                exit_on_error=False,
                formatter_class=CommandHelp,
            )
        except ArgumentError as error:
            from spike_zoo.training.problems import check_missing

            check_missing(error, inspect.getfullargspec(function).kwonlyargs if function else ())
            raise
    return result if isinstance(result, int) else 0


def _check_options(known: Iterable[str], arguments: Sequence[str]) -> None:
    names = [
        f"--{option.replace('_', '-')}" for option in (*known, "help", "config", "print_config")
    ]
    for argument in arguments:
        given = argument.partition("=")[0].rstrip("+").replace("_", "-")
        if given.startswith("--") and given not in names:
            from spike_zoo.training.problems import unknown_option

            raise UsageError(unknown_option(argument, names))


def as_parsed(arguments: Sequence[str], types: Mapping[str, Any]) -> list[str]:
    """Return arguments in the form that jsonargparse accepts.

    Hyphens in options (``--rate-scale``) become underscores. A boolean option without a value
    (``--overwrite``) is set to true. Several values of an option become a list: ``--results runs/a
    runs/b`` becomes ``--results=["runs/a", "runs/b"]``. So do the last arguments of a command
    whose last parameter before the options is a list.
    """
    parsed: list[str] = []
    indices: list[int] = []  # of arguments that are not options or their values
    name = ""
    values: list[str] | None = None
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue="--"):
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            name = name.replace("-", "_")
            kinds = (types.get(name), *get_args(types.get(name)))
            if bool in kinds and not equals and following.lower() not in ("true", "false"):
                equals, value = "=", "true"
            is_list = any(get_origin(kind) is list for kind in kinds)
            values = [] if is_list and not value else None
            parsed.append(f"--{name}{equals}{value}")
        elif values is None or argument.startswith("["):
            if not (parsed and parsed[-1] == f"--{name}"):
                indices.append(len(parsed))
            parsed.append(argument)
        else:
            values.append(argument)
            parsed[-1] = f"--{name}={json.dumps(values)}"
    first = next((n for n, kind in enumerate(types.values()) if get_origin(kind) is list), 0)
    if first and (last := indices[first:]):
        items = json.dumps([parsed[index] for index in last])
        others = [argument for index, argument in enumerate(parsed) if index not in last]
        parsed = [*others[: last[0]], items, *others[last[0] :]]
    return parsed


def _resumes() -> str:
    """Return how to resume an interrupted fit, whose folder is in the environment."""
    folder = os.environ.get("SPIKE_ZOO_RUN_DIR", "FOLDER")
    return f"; --run_dir {shlex.quote(folder)} --ckpt_path last resumes the run"


def _outcome(error: BaseException, arguments: Sequence[str]) -> tuple[int, str]:
    """Return the exit code and the message of an error."""
    is_interrupt = isinstance(error, KeyboardInterrupt) or was_interrupted()
    if not is_interrupt and (variable := invalid_variable(error)):
        return USAGE, f"error: {variable}"
    expected = None if is_interrupt else _package_error(error)
    if expected is not None:
        return expected.exit_code, f"error: {_message_of(expected)}"
    if type(error).__name__ == "SIGTERMException":  # a SystemExit of Lightning
        return TERMINATED, f"terminated{_resumes()}"
    if is_interrupt or isinstance(error.__context__, KeyboardInterrupt):
        resumes = _resumes() if list(arguments[:1]) == ["fit"] else ""
        return INTERRUPTED, f"interrupted{resumes}"  # Lightning turns it into an exit with 1
    is_pipe = any(isinstance(fault, BrokenPipeError) for fault in (error, error.__context__))
    if is_pipe and is_closed(1):  # else the pipe to another process broke
        drop_unwritten()
        return 0, ""
    if isinstance(error, OSError) and error.errno in _UNWRITABLE:
        drop_unwritten()
        place = f"{error.filename}:" if error.filename else "the output"
        what = f"{place} cannot be written ({error.strerror or error})"
        return INVALID, f"error: {what}; free space, or write elsewhere"
    if code := signal_code(error.__context__):  # an error while unfinished files were removed
        return code, ""
    if isinstance(error, SystemExit):
        is_text = isinstance(error.code, str)
        return (USAGE, f"error: {error.code}") if is_text else (int(error.code or 0), "")
    from spike_zoo.training.problems import explain

    explained = explain(error, arguments)
    if explained is not None:
        return USAGE, f"error: {explained}"
    return FAULT, (
        f"error: internal error of spike-zoo: {type(error).__name__}: {first_line(error)}\n"
        "Run it again with --debug and report the traceback."
    )


def _package_error(error: BaseException | None) -> SpikeZooError | None:
    """Return the error of this package that was raised, or was the cause of the error, else None.

    The context of an error counts as its cause only for errors of parsers.
    """
    while error is not None and not isinstance(error, SpikeZooError):
        is_parsers = isinstance(error, SystemExit) or type(error).__name__ == "ArgumentError"
        error = error.__cause__ or (error.__context__ if is_parsers else None)
    return error


def _message_of(error: SpikeZooError) -> str:
    """Return the message of an error, without the traceback that a loader's worker adds."""
    if not error.message.startswith("Caught "):
        return error.message
    return error.message.strip().splitlines()[-1].split("Error: ", 1)[-1]
