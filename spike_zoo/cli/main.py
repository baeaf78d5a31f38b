"""Dispatch of commands, and the exit code and message of every error."""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import os
import signal
import sys
import threading
import traceback
import warnings
from argparse import ArgumentError
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from spike_zoo.cli.console import configure_streams, drop_unwritten, is_unwritable, quiet
from spike_zoo.cli.lazy_signature import outline
from spike_zoo.cli.trainer_commands import TRAINER_VERBS, run_verb
from spike_zoo.errors import SpikeZooError, UsageError, closest, visible
from spike_zoo.runs.configs import check_configs
from spike_zoo.runs.libraries import plain_warning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import FrameType

PROGRAM = "spike-zoo"
INTERRUPTED, TERMINATED, INVALID, USAGE, FAULT = 130, 143, 1, 2, 70

EVERYWHERE = ("--debug", "--quiet")  # switches of the program, anywhere on the line
_ARCHIVE = {
    "build": "spike_zoo.cli.archive:archive_build",
    "info": "spike_zoo.cli.archive:archive_info",
    "verify": "spike_zoo.cli.archive:archive_verify",
    "export": "spike_zoo.cli.archive_export:archive_export",
}
_SUMMARIES = {
    "simulate": "simulate a spike camera on scenes, videos or images; makes the default archives",
    "archive": "build, show, verify or export an HDF5 spike archive",
    "reconstruct": "turn a recording into a picture, a folder of pictures or a video",
    "deblur": "turn a blurry image and the spikes of its exposure into sharp images",
    "classify": "classify a recording, with the probability of the class",
    "compress": "turn a recording into a bitstream",
    "decompress": "turn a bitstream into a video, pictures, features or its recording",
    "info": "show what a recording, archive or bitstream is, without decoding it",
    "sweep": "run a W&B sweep file here, without an account",
    "table": "results of runs as a Markdown, CSV or HTML table",
    "compare": "a run beside methods that need no training, on the images it was tested on",
    "score": "NIQE and BRISQUE, which need no ground truth",
    "report": "a recording, archive, run or bitstream as one page to look at, compare and zoom "
    "into",
    "app": "a page on this machine on which recordings are dropped",
    "live": "a recording as a video on a page while it is written",
    "configs": "the configurations that ship: list them, or copy some to change them",
    "export": "a checkpoint as weights that load anywhere",
    "doctor": "versions, devices, optional parts, search paths",
    "completion": "what makes bash, zsh or fish complete commands and options",
}
#: Command -> (where it is, what it does); a dictionary is a group of commands.
COMMANDS: dict[str, tuple[str | dict[str, str], str]] = {
    name: (_ARCHIVE if name == "archive" else f"spike_zoo.cli.{name}:{name}", summary)
    for name, summary in _SUMMARIES.items()
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Exit codes: 0 done, 1 content unreadable or invalid, or no way to write, 2 wrong usage, missing
    file or unknown key, 130 interrupted, 143 terminated, 70 a fault of this package.

    Args:
        argv: Arguments after the program's name; by default those of the process.
    """
    if "_ARGCOMPLETE" in os.environ:  # a shell asks what may follow
        from spike_zoo.cli.completion import complete

        complete({name: entry[0] for name, entry in COMMANDS.items()}, TRAINER_VERBS)
    given = list(sys.argv[1:] if argv is None else argv)
    warnings.formatwarning = plain_warning
    arguments = [argument for argument in given if argument not in EVERYWHERE]
    try:
        with quiet(wanted="--quiet" in given):
            configure_streams()
            code = _dispatch(arguments)
            sys.stdout.flush()  # a pipe that was closed shows here, not when Python ends
    except BaseException as error:  # noqa: BLE001  (the edge of the program)
        code, message = _outcome(error, arguments)
        if "--debug" in given and code:
            print(visible("".join(traceback.format_exception(error))), end="", file=sys.stderr)
        if message:
            print(visible(message), file=sys.stderr)
    return code


def overview() -> str:
    """Return the help of the whole program: every command in one line."""
    lines = [
        f"usage: {PROGRAM} COMMAND [options]        (run {PROGRAM} COMMAND --help for its options)",
        "",
        "Train, compare, reproduce and use methods for spike cameras.",
        "",
    ]
    summaries = {**TRAINER_VERBS, **{name: entry[1] for name, entry in COMMANDS.items()}}
    lines += [f"  {name:<12} {summary}" for name, summary in summaries.items()]
    lines += [
        "",
        "Everywhere: --help, --version, --quiet (results that are asked for, warnings and errors",
        "alone), --debug (a traceback with an error).",
    ]
    return "\n".join(lines)


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
        raise SystemExit(
            f"{PROGRAM}: there is no command {command!r}.{closest(command, known)} "
            f"'{PROGRAM} --help' lists all."
        )
    return _run_function(command, rest)


def _run_function(command: str, arguments: list[str]) -> int:
    from jsonargparse import auto_cli

    target = COMMANDS[command][0]
    components: Any = outline(target) if isinstance(target, str) else None
    chosen = components
    if isinstance(target, dict):
        components = {name: outline(path) for name, path in target.items()}
        chosen = components.get(arguments[0]) if arguments else None
    parameters = inspect.signature(chosen).parameters if chosen else {}
    if chosen:
        check_options(parameters, arguments)
        check_configs(arguments)
    parsed = as_parsed(arguments, parameters)
    with _ended_by_sigterm():  # Lightning's verbs have a handler of their own
        try:
            result = auto_cli(
                components, args=parsed, prog=f"{PROGRAM} {command}", exit_on_error=False
            )
        except ArgumentError as error:
            from spike_zoo.runs.problems import check_missing

            check_missing(
                error, {name for name, one in parameters.items() if one.kind is one.KEYWORD_ONLY}
            )
            raise
    return result if isinstance(result, int) else 0


def check_options(known: Iterable[str], arguments: Sequence[str]) -> None:
    """Reject the first option that a command does not have, with the nearest one that it has.

    Args:
        known: Parameters of the command.
        arguments: Of the command line.
    """
    names = [f"--{one.replace('_', '-')}" for one in (*known, "help", "config", "print_config")]
    for argument in arguments:
        given = argument.partition("=")[0].rstrip("+").replace("_", "-")
        if given.startswith("--") and given not in names:
            from spike_zoo.runs.problems import unknown_option

            raise UsageError(unknown_option(argument, names))


def as_parsed(arguments: Sequence[str], parameters: Mapping[str, inspect.Parameter]) -> list[str]:
    """Return arguments as the parser takes them.

    Options may be written with hyphens (``--rate-scale``). A switch without a value
    (``--overwrite``) means yes. Several values of one option become a list: ``--results runs/a
    runs/b`` is ``--results=["runs/a", "runs/b"]``.

    Args:
        arguments: Of the command line.
        parameters: Of the command.
    """
    parsed: list[str] = []
    name = ""
    values: list[str] | None = None
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue="--"):
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            name = name.replace("-", "_")
            parameter = parameters.get(name)
            is_switch = parameter is not None and isinstance(parameter.default, bool)
            if is_switch and not equals and following.lower() not in ("true", "false"):
                equals, value = "=", "true"
            is_list = parameter is not None and "list[" in str(parameter.annotation)
            values = [] if is_list and not value else None
            parsed.append(f"--{name}{equals}{value}")
        elif values is None or argument.startswith("["):
            parsed.append(argument)
        else:
            values.append(argument)
            parsed[-1] = f"--{name}={json.dumps(values)}"
    return parsed


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end a command as an error does, so that nothing half written stays behind.

    What was done on SIGTERM before is done again afterwards: a caller's processes that inherited
    our handler could sleep through the signal that is to end them.
    """
    if threading.current_thread() is not threading.main_thread():  # others may set no handler
        yield
        return
    hook = sys.unraisablehook
    before = signal.signal(signal.SIGTERM, _terminate)
    sys.unraisablehook = functools.partial(_terminate_again, hook)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)  # None: not one of Python's


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)


def _terminate_again(
    hook: Callable[[sys.UnraisableHookArgs], object], lost: sys.UnraisableHookArgs, /
) -> None:
    """Send a signal again whose exception was raised in a destructor, where Python drops it."""
    if isinstance(lost.exc_value, SystemExit):
        main_thread = threading.main_thread().ident
        threading.Timer(0.1, signal.pthread_kill, (main_thread, signal.SIGTERM)).start()
    else:
        hook(lost)


def _outcome(error: BaseException, arguments: Sequence[str]) -> tuple[int, str]:
    """Return the exit code and the one message for an error."""
    is_interrupt = isinstance(error, KeyboardInterrupt)
    ours = None if is_interrupt else _ours(error)
    if ours is not None:
        return ours.exit_code, f"error: {_said(ours)}"
    if type(error).__name__ == "SIGTERMException":  # a SystemExit of Lightning's
        return TERMINATED, "terminated; --ckpt_path last resumes where --run_dir says"
    if is_interrupt or isinstance(error.__context__, KeyboardInterrupt):
        resumes = (
            "; --ckpt_path last resumes where --run_dir says"
            if list(arguments[:1]) == ["fit"]
            else ""
        )
        return INTERRUPTED, f"interrupted{resumes}"  # Lightning turns it into an exit with 1
    if isinstance(error, BrokenPipeError) or isinstance(error.__context__, BrokenPipeError):
        drop_unwritten()
        return 0, ""
    if isinstance(error, OSError) and is_unwritable(error):
        drop_unwritten()
        return INVALID, _not_written(error, arguments[:1])
    if isinstance(error, SystemExit):
        return _of_exit(error)
    from spike_zoo.runs.problems import explain

    explained = explain(error, arguments)
    if explained is not None:
        return USAGE, f"error: {explained}"
    summary = next(iter(str(error).strip().splitlines()), "")
    return FAULT, (
        f"error: internal error of spike-zoo: {type(error).__name__}: {summary}\n"
        "Run it again with --debug and report the traceback."
    )


def _not_written(error: OSError, command: Sequence[str]) -> str:
    """Return the message for a disk that is full or a file system that is read-only."""
    reason = error.strerror or error
    if not error.filename:
        return f"error: the output cannot be written ({reason}); free space, or write elsewhere"
    option = "--run_dir" if TRAINER_VERBS.keys() & {*command} else "--out"
    where = "" if "sweep" in command else f" ({option})"
    return (
        f"error: {error.filename}: cannot be written ({reason}); free space, or write to another "
        f"folder{where}"
    )


def _ours(error: BaseException | None) -> SpikeZooError | None:
    """Return the error of this package that was raised or wrapped, if there is one.

    What is raised while one is handled is another error, but for parsers, which end with their own.
    """
    while error is not None and not isinstance(error, SpikeZooError):
        is_parsers = isinstance(error, SystemExit) or type(error).__name__ == "ArgumentError"
        error = error.__cause__ or (error.__context__ if is_parsers else None)
    return error


def _said(error: SpikeZooError) -> str:
    """Return what an error says, without the traceback around one of a loader's worker."""
    if not error.message.startswith("Caught "):
        return error.message
    return error.message.strip().splitlines()[-1].split("Error: ", 1)[-1]


def _of_exit(error: SystemExit) -> tuple[int, str]:
    if isinstance(error.code, str):
        return USAGE, f"error: {error.code.removeprefix(f'{PROGRAM}: ')}"
    return int(error.code or 0), ""
