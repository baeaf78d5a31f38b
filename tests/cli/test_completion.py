"""Tests of shell completion of commands, options, values, names and files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spike_zoo.cli.main import main


def completions(line: str, folder: Path) -> set[str]:
    """Return the completions at the end of a line."""
    output_file = folder / "completions.txt"
    environment = {
        **os.environ,
        **{
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_IFS": "\n",
            "_ARGCOMPLETE_STDOUT_FILENAME": str(output_file),
        },
        **{"COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_SHELL": "bash"},
    }
    call = [sys.executable, "-X", "importtime", "-m", "spike_zoo"]
    process = subprocess.run(
        call, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert not re.search(r"\| +torch\b", process.stderr), "completion must not import torch"
    return {word.strip() for word in output_file.read_text().split("\n") if word.strip()}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("spike-zoo rec", {"reconstruct"}),
        ("spike-zoo archive ver", {"verify"}),
        ("spike-zoo reconstruct a.dat --pre", {"--precision"}),
        ("spike-zoo reconstruct a.dat --precision ", {"32", "bf16"}),
        ("spike-zoo reconstruct a.dat --method stir", {"stir", "stir-small"}),
        ("spike-zoo archive build a b --lay", {"--layout"}),
        ("spike-zoo fit --config profiles/sm", {"profiles/smoke"}),
        ("spike-zoo fit --run", {"--run_dir"}),
        ("spike-zoo sweep a.yaml --profile s", {"smoke"}),
        ("spike-zoo simulate --kind s-c", {"s-cifar", "s-caltech"}),
        ("spike-zoo simulate --noise in", {"indoor-v1"}),
        ("spike-zoo info stre", {"street.dat"}),
        ("spike-zoo info street.dat --qu", {"--quiet"}),
        ('spike-zoo info "my str', {"my street.dat"}),
    ],
)
def test_the_tab_key_completes_commands_options_and_values(
    line: str, expected: set[str], tmp_path: Path
) -> None:
    for name in ("street.dat", "my street.dat"):
        (tmp_path / name).touch()
    assert completions(line, tmp_path) == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_parses_its_completion_script(
    shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "spike-zoo" in script
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "completion").write_text(script)
    read = [shell, "-n", str(tmp_path / "completion")]
    assert subprocess.run(read, capture_output=True, check=False).returncode == 0
