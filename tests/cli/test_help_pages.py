"""Help pages show options as they are typed."""

from __future__ import annotations

import re

import pytest

from spike_zoo.cli.main import COMMANDS, main


@pytest.mark.parametrize("command", [*COMMANDS, "archive build"])
def test_help_has_hyphens_and_no_types_of_python(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command.split(), "--help"]) == 0
    page = capsys.readouterr().out
    assert re.search(
        rf"^usage: spike-zoo {command}( [A-Z_]+| \{{[a-z,]+\}})*( --[a-z-]+ \S+)* \[options\]$",
        page,
        re.M,
    )
    assert re.findall(r"--\w+_\w+|type: |\| null|required, |\{true,false\} *\{", page) == []
    assert "null" not in page


def test_options_are_in_groups(capsys: pytest.CaptureFixture[str]) -> None:
    main(["reconstruct", "--help"])
    page = capsys.readouterr().out
    order = ["options:", "--stride", "options of .dat recordings:", "--height", "how to run:"]
    order += ["--jobs", "options from a file:"]
    assert sorted(order, key=page.index) == order
    assert re.search(r"^  --overwrite +Replace", page, re.M)


def test_another_name_of_an_option_is_resolved(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reconstruct", "a.dat", "--out", "a.png", "--plane", "3"]) == 2
    assert "unknown option --plane. Did you mean '--center'?" in capsys.readouterr().err
