"""Tests of shell completion by argcomplete."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("line", "expected"),
    [("spike-zoo archive ver", "verify"), ("spike-zoo archive build a b --lay", "--layout")],
)
def test_the_tab_key_completes_commands_and_options(
    line: str, expected: str, tmp_path: Path
) -> None:
    output = tmp_path / "completions.txt"
    shell = {"COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9"}
    own = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_STDOUT_FILENAME": str(output)}
    call = [sys.executable, "-m", "spike_zoo"]
    subprocess.run(call, env={**os.environ, **shell, **own}, check=False, capture_output=True)
    assert output.read_text().strip() == expected
