"""``completion``: what the shell offers behind ``spike-zoo`` when the tab key is pressed."""

from __future__ import annotations

import argparse
import inspect
import os
import typing
from typing import TYPE_CHECKING, Any, Literal

from spike_zoo.cli.lazy_signature import outline

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM = "spike-zoo"
_METHODS = ("method", "weights")  # options that name one
_NO_FILE = ("name", "device", "profile", "sweep")


def completion(shell: Literal["bash", "zsh", "fish"]) -> None:
    """Print what makes a shell complete commands, options and values of spike-zoo.

    bash: eval "$(spike-zoo completion bash)" in ~/.bashrc; zsh: the same with zsh in ~/.zshrc,
    behind compinit; fish: spike-zoo completion fish > ~/.config/fish/completions/spike-zoo.fish

    Args:
        shell: Shell for which the script is printed.
    """
    from argcomplete.shell_integration import shellcode

    print(shellcode([PROGRAM], shell=shell))


def complete(commands: Mapping[str, str | dict[str, str]], verbs: Mapping[str, str]) -> None:
    """Answer a shell that asks what may follow, and end the process.

    Args:
        commands: Command -> where its function is; a dictionary is a group of commands.
        verbs: Lightning's verbs.
    """
    import argcomplete

    parser = argparse.ArgumentParser(PROGRAM, add_help=False)
    words = os.environ.get("COMP_LINE", "").split()  # quotes may be open
    below = parser.add_subparsers()
    for name in [*verbs, *commands]:
        one = below.add_parser(name)
        if name not in words:
            continue
        if name in verbs:
            _add_usual_options(one)
        elif isinstance(paths := commands[name], dict):
            deeper = one.add_subparsers()
            for word, path in paths.items():
                _add_parameters(deeper.add_parser(word), path)
        else:
            _add_parameters(one, paths)
    argcomplete.autocomplete(parser, always_complete_options="long")


def _add_parameters(parser: argparse.ArgumentParser, path: str) -> None:
    """Add the parameters of a command's function to a parser."""
    function = outline(path)
    hints = typing.get_type_hints(function)
    for name, parameter in inspect.signature(function).parameters.items():
        is_option = parameter.kind is parameter.KEYWORD_ONLY
        is_switch = isinstance(parameter.default, bool)
        choices = ["true", "false"] if is_switch else _choices(hints[name])
        named = [f"--{name.replace('_', '-')}"] if is_option else [name]
        added = parser.add_argument(*named, nargs="?" if is_switch or not is_option else None)
        is_text = not choices and "str" in str(parameter.annotation)
        _offer(added, choices or _known(name), is_path=is_text and name not in _NO_FILE)
    for switch in ("--quiet", "--debug"):
        parser.add_argument(switch, action="store_true")


def _add_usual_options(parser: argparse.ArgumentParser) -> None:
    from spike_zoo.cli.trainer_commands import USUAL_OPTIONS
    from spike_zoo.runs.configs import shipped_configs

    for option in dict.fromkeys(usual.split()[0] for usual in USUAL_OPTIONS):
        if option != "--help":
            added = parser.add_argument(option, action="append")
            _offer(added, list(shipped_configs()) if option == "--config" else [], is_path=True)


def _offer(action: argparse.Action, words: list[str], *, is_path: bool) -> None:
    """Complete the values of an option by some words, and files where they may be a path."""
    from argcomplete.completers import FilesCompleter

    def completer(prefix: str, **_: Any) -> list[str]:
        files = FilesCompleter()(prefix) if is_path else []
        return [*(word for word in words if word.startswith(prefix)), *files]

    action.completer = completer  # type: ignore[attr-defined]  # argcomplete's


def _choices(hint: Any) -> list[str]:  # noqa: ANN401  (any type)
    """Return the values of a Literal, alone or beside None."""
    if typing.get_origin(hint) is Literal:
        return [str(value) for value in typing.get_args(hint)]
    return [value for part in typing.get_args(hint) for value in _choices(part)]


def _known(name: str) -> list[str]:
    """Return the methods or profiles there are, for an option that names one."""
    if name in _METHODS:
        from spike_zoo.checkpoints.published import shipped_names

        return list(shipped_names())
    if name == "profile":
        from spike_zoo.runs.configs import known_profiles

        return known_profiles()
    return []
