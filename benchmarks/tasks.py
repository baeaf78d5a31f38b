"""Eight tasks of a new user, timed: ``python -m benchmarks.tasks [--out FILE]``.

Each task is a list of commands, each in a separate process, in an empty folder. The first,
installing, is ``make setup`` in a fresh clone and is given by ``--setup SECONDS``.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Sequence

OWN_METHOD: Final = Path(__file__).parent.parent / "docs" / "howto" / "own-method.md"
SIZE: Final = "--height 250 --width 400"


class Task(NamedTuple):
    """A task: its name, its commands, and the alternative without this package."""

    name: str
    commands: tuple[str, ...]
    elsewhere: str


PREPARING: Final = (
    "simulate --planes 301 --height 250 --width 400 --train 2 --val 1 --test 1 --out world.h5",
    "archive export world.h5 clips --format dat",
)
TASKS: Final = (
    Task(
        "see a recording",
        (f"report clips/CLIP.dat {SIZE} --rate-scale 0.6 --out page.html",),
        "reading the file alone, 1000 planes: 0.11 to 0.59 s",
    ),
    Task(
        "one image of it",
        (f"reconstruct clips/CLIP.dat {SIZE} --rate-scale 0.6 --method tfi --out x.png",),
        "TFI of every plane of such a clip: 5.9, 14.5 and 128 s",
    ),
    Task(
        "convert recordings",
        (f"archive build clips clips.h5 {SIZE} --rate-scale 0.6 --split test",),
        "no tool has an archive, or a writer that works at every size",
    ),
    Task(
        "train",
        (
            "fit --config stir --config profiles/smoke --data.init_args.archive world.h5 "
            "--run_dir run",
        ),
        "not measured",
    ),
    Task(
        "resume",
        (
            "fit --config spike_mean.yaml --run_dir mean --trainer.max_epochs 4",
            "fit --config spike_mean.yaml --run_dir mean --trainer.max_epochs 4 --ckpt_path last",
        ),
        "not measured",
    ),
    Task("compare", ("compare run",), "no tool has a method tested against a reference"),
    Task(
        "compress",
        (f"compress clips/CLIP.dat {SIZE} --rate-scale 0.6 --out x.sci", "info x.sci"),
        "no tool has archives smaller than the bits",
    ),
    Task(
        "add a method",
        ("fit --config spike_mean.yaml --config profiles/smoke --run_dir own", "compare own"),
        "not measured",
    ),
)


def own_method(folder: Path) -> None:
    """Write the example method of the documentation and its configuration."""
    blocks = OWN_METHOD.read_text(encoding="utf-8").split("```")
    code = next(b for b in blocks if b.startswith("python\nimport torch"))
    config = next(b for b in blocks if b.startswith("yaml\n"))
    (folder / "spike_mean.py").write_text(code.removeprefix("python\n"), encoding="utf-8")
    text = config.removeprefix("yaml\n").replace("data/scenes.h5", "world.h5")
    (folder / "spike_mean.yaml").write_text(text, encoding="utf-8")


def run(line: str, folder: Path) -> float:
    """Run a command and return its seconds.

    Raises:
        RuntimeError: If it fails; the message has its output.
    """
    begin = time.perf_counter()
    command = [sys.executable, "-m", "spike_zoo", *shlex.split(line)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([".", *sys.path[1:]])}
    process = subprocess.run(
        command, cwd=folder, env=environment, check=False, capture_output=True, text=True
    )
    if process.returncode:
        raise RuntimeError(f"{line}\n{process.stdout[-2000:]}{process.stderr[-2000:]}")
    return time.perf_counter() - begin


def measured(setup: float | None) -> list[str]:
    """Return the tasks as lines of a Markdown table."""
    lines = ["| task | commands | seconds | with existing tools |", "|---|---|---:|---|"]
    install = Task("install", ("make setup",), "137 packages; one tool no longer imports")
    lines.append(table_row(install, install.commands, [] if setup is None else [setup]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for line in PREPARING:
            run(line, folder)
        own_method(folder)
        clip = sorted((folder / "clips").glob("*.dat"))[0].stem
        for task in TASKS:
            typed = [line.replace("CLIP", clip) for line in task.commands]
            seconds = [run(line, folder) for line in typed]
            lines.append(table_row(task, [f"spike-zoo {line}" for line in task.commands], seconds))
            Console(stderr=True).print(lines[-1])
    return lines


def table_row(task: Task, typed: Sequence[str], seconds: Sequence[float]) -> str:
    """Return a task as a line of the table."""
    commands = "<br>".join(f"`{line.replace('CLIP', 'clip')}`" for line in typed)
    waited = " + ".join(f"{one:.0f}" for one in seconds)
    return f"| {task.name} | {commands} | {waited} | {task.elsewhere} |"


def main() -> None:
    """Print or write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tasks", description=__doc__)
    parser.add_argument("--setup", type=float, help="seconds of 'make setup' in a fresh clone")
    parser.add_argument("--out", type=Path, help="where the table is written")
    arguments = parser.parse_args()
    text = "\n".join(measured(arguments.setup)) + "\n"
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
