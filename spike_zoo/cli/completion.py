"""Command ``completion``: shell completion of commands, options and values."""

from __future__ import annotations

import argparse
import inspect
import os
import typing
from typing import TYPE_CHECKING, Any, Literal

from spike_zoo.cli.lazy_signature import signature_stub

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM = "spike-zoo"
_METHODS = ("method", "weights")  # options with the name of a method
_NO_FILE = ("name", "device", "profile", "sweep")


def completion(shell: Literal["bash", "zsh", "fish"]) -> None:
    """Print a script for shell completion of commands, options and values of spike-zoo.

    bash: put eval "$(spike-zoo completion bash)" into ~/.bashrc. zsh: put eval "$(spike-zoo
    completion zsh)" into ~/.zshrc, after compinit. fish: run spike-zoo completion fish >
    ~/.config/fish/completions/spike-zoo.fish

    Args:
        shell: The shell.
    """
    from argcomplete.shell_integration import shellcode

    print(shellcode([PROGRAM], shell=shell))


def complete(commands: Mapping[str, str | dict[str, str]], verbs: Mapping[str, str]) -> None:
    """Print the completions of an unfinished command line, and exit the process.

    Args:
        commands: Command -> module and function; a dictionary is a group of commands.
        verbs: Lightning's verbs.
    """
    import argcomplete

    parser = argparse.ArgumentParser(PROGRAM, add_help=False)
    words = os.environ.get("COMP_LINE", "").split()  # not shlex: quotes may be open
    subparsers = parser.add_subparsers()
    for name in [*verbs, *commands]:
        subparser = subparsers.add_parser(name)
        if name not in words:
            continue
        if name in verbs:
            _add_usual_options(subparser)
        elif isinstance(paths := commands[name], dict):
            group = subparser.add_subparsers()
            for word, path in paths.items():
                _add_parameters(group.add_parser(word), path)
        else:
            _add_parameters(subparser, paths)
    argcomplete.autocomplete(parser, always_complete_options="long")


def _add_parameters(parser: argparse.ArgumentParser, path: str) -> None:
    """Add the parameters of a command's function to a parser."""
    function = signature_stub(path)
    hints = typing.get_type_hints(function)
    for name, parameter in inspect.signature(function).parameters.items():
        is_option = parameter.kind is parameter.KEYWORD_ONLY
        is_switch = isinstance(parameter.default, bool)
        choices = ["true", "false"] if is_switch else _choices(hints[name])
        named = [f"--{name.replace('_', '-')}"] if is_option else [name]
        added = parser.add_argument(*named, nargs="?" if is_switch or not is_option else None)
        is_text = not choices and "str" in str(parameter.annotation)
        _set_completer(
            added, choices or _known_names(name), is_path=is_text and name not in _NO_FILE
        )
    for switch in ("--quiet", "--debug"):
        parser.add_argument(switch, action="store_true")


def _add_usual_options(parser: argparse.ArgumentParser) -> None:
    from spike_zoo.cli.trainer_commands import USUAL_OPTIONS
    from spike_zoo.runs.configs import shipped_configs

    for option in dict.fromkeys(usual.split()[0] for usual in USUAL_OPTIONS):
        if option != "--help":
            added = parser.add_argument(option, action="append")
            _set_completer(
                added, list(shipped_configs()) if option == "--config" else [], is_path=True
            )


def _set_completer(action: argparse.Action, words: list[str], *, is_path: bool) -> None:
    """Complete the values of an option with words, and with files if it may be a path."""
    from argcomplete.completers import FilesCompleter

    def completer(prefix: str, **_: Any) -> list[str]:
        files = FilesCompleter()(prefix) if is_path else []
        return [*(word for word in words if word.startswith(prefix)), *files]

    action.completer = completer  # type: ignore[attr-defined]  # read by argcomplete


def _choices(hint: Any) -> list[str]:  # noqa: ANN401  (any type)
    """Return the values of a Literal, also in a union with None."""
    if typing.get_origin(hint) is Literal:
        return [str(value) for value in typing.get_args(hint)]
    return [value for part in typing.get_args(hint) for value in _choices(part)]


def _known_names(name: str) -> list[str]:
    """Return the names of methods or profiles, for an option that takes such a name."""
    if name in _METHODS:
        from spike_zoo.checkpoints.published import shipped_names

        return list(shipped_names())
    if name == "profile":
        from spike_zoo.runs.configs import known_profiles

        return known_profiles()
    return []
