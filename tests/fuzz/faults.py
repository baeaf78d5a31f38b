"""Let the disk be full in the middle of commands: nothing is half written, and the same goes on.

Run::

    python -m tests.fuzz.faults
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.kills import COMMANDS, Command, check_folder, check_outputs, run_command, words_of

SHARES = (0.05, 0.5, 0.95)
"""Shares of the size of a command's largest file that the disk has room for."""


def try_full_disk(name: str) -> tuple[int, list[str]]:
    """Run a command with too little room, then with enough.

    Args:
        name: Of :data:`tests.fuzz.kills.COMMANDS`.

    Returns:
        How many calls failed for lack of room, and what was wrong.
    """
    command, failed, problems = COMMANDS[name], 0, []
    with tempfile.TemporaryDirectory() as text:
        largest = 0
        for share in (None, *SHARES):
            folder = Path(text, str(share))
            folder.mkdir()
            command.prepare(folder)
            if share is None:
                run_command(command, folder)
                files = [path for output in command.outputs for path in _files(folder / output)]
                largest = max(path.stat().st_size for path in files)
                continue
            ended = _limited(command, folder, int(share * largest))
            failed += ended.returncode != 0
            try:
                assert ended.returncode in (0, 1), f"exit code {ended.returncode}"
                assert "Traceback" not in ended.stderr, ended.stderr[-500:]
                check_outputs(command, folder)
                check_folder(command, folder)
                run_command(command, folder)
                check_outputs(command, folder)
            except (AssertionError, OSError, ValueError, RuntimeError, LookupError) as error:
                problems.append(f"{name}, {share:.0%}: {type(error).__name__}: {error}")
    return failed, problems


def _files(output: Path) -> list[Path]:
    return [output] if output.is_file() else [p for p in output.rglob("*") if p.is_file()]


def _limited(command: Command, folder: Path, size: int) -> subprocess.CompletedProcess[str]:
    """Run a command whose files may not grow beyond a size, as on a disk that is full then."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    return subprocess.run(
        words_of(command, folder),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit,
    )


def main() -> int:
    """Try commands and print a table; return 1 where something was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--command", choices=COMMANDS)
    given = parser.parse_args()
    wrong = 0
    for name in [given.command] if given.command else COMMANDS:
        failed, problems = try_full_disk(name)
        wrong += len(problems)
        print(f"{name}: {failed} of {len(SHARES)} calls had no room, {len(problems)} problems")
        for problem in problems:
            print(f"  {problem}", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
