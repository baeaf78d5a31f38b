"""Help pages show options as they are typed."""

import re

import pytest

from spike_zoo.cli.main import COMMANDS, imported
from spike_zoo.cli.options import types_of
from tests.helpers.commands import Zoo


@pytest.mark.parametrize("command", [*COMMANDS, "archive build"])
def test_help_describes_every_option_with_hyphens_and_without_types_of_python(
    command: str, zoo: Zoo
) -> None:
    page = zoo(f"{command} --help").out
    arguments = r"( [A-Z_]+| \{[a-z,]+\})*( --[a-z-]+ \S+)*"
    assert re.search(rf"^usage: spike-zoo {command}{arguments} \[options\]$", page, re.M)
    assert re.findall(r"--\w+_\w+|type: |\| null|required, |\{true,false\} *\{", page) == []
    assert "null" not in page
    if command.startswith("archive"):
        return
    words = " ".join(page.split())
    for option in types_of(imported(COMMANDS[command])):
        place = rf"--{option.replace('_', '-')}( \S+)?|{option.upper()}"
        assert re.search(rf"({place}) [A-Z\da-z.][^-]", words), option


def test_options_are_in_groups(zoo: Zoo) -> None:
    page = zoo("reconstruct --help").out
    order = ["options:", "--stride", "options of .dat recordings:", "--height", "how to run:"]
    order += ["--jobs", "options from a file:"]
    assert sorted(order, key=page.index) == order
    assert re.search(r"^  --overwrite +Replace", page, re.M)
