"""Help pages of commands: options as they are typed, in groups, without types of Python."""

from argparse import SUPPRESS, Action
from collections.abc import Iterable
from typing import Any, Final

from jsonargparse import DefaultHelpFormatter

from spike_zoo.cli.options import DESCRIPTIONS, DatOptions

_DAT: Final = "options of .dat recordings"
_GROUPS: Final = {
    _DAT: tuple(option for option in DatOptions.__annotations__ if option != "camera"),
    "how to run": ("device", "precision", "tile", "trust", "jobs", "cluster", "overwrite"),
    "options from a file": ("config", "print_config"),
}
_SWITCH: Final = "{true,false}"


class CommandHelp(DefaultHelpFormatter):
    """Formatter of a command's help page."""

    def add_usage(
        self,
        usage: str | None,
        actions: Iterable[Action],
        groups: Iterable[Any],
        prefix: str | None = None,
    ) -> None:
        """Name the positional arguments and the required options only."""
        given = [action for action in actions if action.required or not action.option_strings]
        words = [self._format_action_invocation(action) for action in given]
        program = self._prog.replace(" [options]", "")  # of the command of a subcommand
        # with an empty prefix the text becomes the program's name in subcommands
        text = program if prefix == "" else " ".join([program, *words, "[options]"])
        super().add_usage(text.replace("%", "%%"), [], groups, prefix)

    def add_arguments(self, actions: Iterable[Action]) -> None:
        """List options in groups; those of no group come first."""
        all_actions = list(actions)
        groups = dict(_GROUPS)
        if not any(action.dest == "height" and not action.help for action in all_actions):
            del groups[_DAT]
        grouped = {dest for dests in groups.values() for dest in dests}
        super().add_arguments([action for action in all_actions if action.dest not in grouped])
        for heading, dests in groups.items():
            if chosen := [action for action in all_actions if action.dest in dests]:
                self.end_section()
                self.start_section(heading)
                super().add_arguments(chosen)

    def _format_action_invocation(self, action: Action) -> str:
        if type(action).__name__ == "_ChoicesPseudoAction":  # a subcommand
            return str(action.metavar)
        if not action.option_strings:
            is_list = str(action.metavar).startswith("[")
            metavar = str(action.dest if is_list else action.metavar or action.dest)
            return metavar if metavar.startswith("{") else metavar.upper()
        name = action.option_strings[-1].replace("_", "-")
        if action.nargs == 0:
            return name
        value = self._format_args(action, self._get_default_metavar_for_optional(action))
        if value.startswith(_SWITCH):
            return name
        return f"{name} {value.replace(',null}', '}').replace('_', '-')}"

    def _get_help_string(self, action: Action) -> str:
        text, default = action.help or DESCRIPTIONS.get(action.dest, ""), action.default
        is_stated = "Default" in text or default in (None, False, SUPPRESS)
        if is_stated or not action.option_strings or not action.dest.isidentifier():
            return text
        return f"{text} Default: {default}."
