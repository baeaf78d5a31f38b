"""Commands on a full disk: no incomplete files remain, and the repeated command succeeds.

Run::

    python -m tests.fuzz.faults
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.kills import (
    COMMANDS,
    Command,
    check_folder,
    check_outputs,
    command_line,
    run_command,
)

SHARES = (0.05, 0.5, 0.95)
"""Maximum file sizes, as shares of the largest output file of a command."""


def try_full_disk(name: str) -> tuple[int, list[str]]:
    """Run a command with limited file size, then without a limit.

    Args:
        name: Key of :data:`tests.fuzz.kills.COMMANDS`.

    Returns:
        Number of calls that failed at the limit, and descriptions of problems.
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
            process = _run_limited(command, folder, int(share * largest))
            failed += process.returncode != 0
            try:
                assert process.returncode in (0, 1), f"exit code {process.returncode}"
                assert "Traceback" not in process.stderr, process.stderr[-500:]
                check_outputs(command, folder)
                check_folder(command, folder)
                run_command(command, folder)
                check_outputs(command, folder)
            except (AssertionError, OSError, ValueError, RuntimeError, LookupError) as error:
                problems.append(f"{name}, {share:.0%}: {type(error).__name__}: {error}")
    return failed, problems


def _files(output: Path) -> list[Path]:
    return [output] if output.is_file() else [p for p in output.rglob("*") if p.is_file()]


def _run_limited(command: Command, folder: Path, size: int) -> subprocess.CompletedProcess[str]:
    """Run a command with a limit on file sizes, which simulates a full disk."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    return subprocess.run(
        command_line(command, folder),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit,
    )


def main() -> int:
    """Try commands and print a table; return 1 if there were problems."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--command", choices=COMMANDS)
    arguments = parser.parse_args()
    problem_count = 0
    for name in [arguments.command] if arguments.command else COMMANDS:
        failed, problems = try_full_disk(name)
        problem_count += len(problems)
        print(f"{name}: {failed} of {len(SHARES)} calls had no room, {len(problems)} problems")
        for problem in problems:
            print(f"  {problem}", flush=True)
    return int(problem_count > 0)


if __name__ == "__main__":
    sys.exit(main())
