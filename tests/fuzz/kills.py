"""Commands killed at random times: output files are complete, and the repeated command succeeds.

Run::

    python -m tests.fuzz.kills --kills 25            # 25 kills of every command
    python -m tests.fuzz.kills --command build --kills 5
    python -m tests.fuzz.kills --command workers --kills 100    # workers of a Dask cluster
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from random import Random
from typing import NamedTuple

import dask
import numpy as np
import torch
import yaml
from distributed import LocalCluster

import spike_zoo
from spike_zoo.archive import build_archive, verify_archive
from spike_zoo.formats import read_recording, write_recording
from spike_zoo.media.frames import VideoFrames
from spike_zoo.training.result import RunResult
from spike_zoo.training.stored import read_records
from tests.conftest import ROOT
from tests.helpers.archives import make_take
from tests.helpers.checkpoints import write_checkpoint
from tests.helpers.results import make_result
from tests.helpers.streams import random_spikes

PROGRAM = (sys.executable, "-m", "spike_zoo")
WORKERS = "workers"
SIGNALS = (signal.SIGKILL, signal.SIGTERM)


class Command(NamedTuple):
    """A command that writes files.

    Attributes:
        prepare: Writes the inputs into the working folder.
        words: Arguments.
        outputs: Files and folders that the command writes.
        check: Raises if an existing output is incomplete.
    """

    prepare: Callable[[Path], object]
    words: tuple[str, ...]
    outputs: tuple[str, ...]
    check: Callable[[Path], object]


def _recordings(folder: Path) -> None:
    for number in range(6):
        target = folder / "in" / "train" / f"r{number}.npz"
        write_recording(random_spikes(60, 64, 96, seed=number), target)


def _clip(folder: Path) -> None:
    write_recording(random_spikes(81, 64, 96), folder / "a.npz")


def _archive(folder: Path) -> None:
    splits = {"train": ["t0", "t1"], "val": ["t2"], "test": ["t3"]}
    build_archive(folder / "a.h5", {f"t{n}": _take for n in range(4)}, splits=splits)


def _sweep(folder: Path) -> None:
    _archive(folder)
    command = [
        *("${interpreter}", "-m", "spike_zoo", "test", "--run_dir=runs/{variant}-{hash}"),
        *(f"--config={ROOT}/configs/classical/tfi.yaml", "--trainer.accelerator=cpu"),
        *("--data.init_args.archive=a.h5", "--data.init_args.clip_length=61", "${args}"),
    ]
    parameters = {"model.init_args.average": {"values": [1, 9]}}
    content = {"name": "own", "method": "grid", "parameters": parameters, "command": command}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(content))


def _take() -> spike_zoo.Take:
    changes = {"image_index": np.array([35, 40, 45]), "label": None}
    return make_take(0, planes=80, height=32, width=32, **changes)


def _run_records(folder: Path) -> None:
    for seed in range(3):
        make_result(seed=seed).write(folder / f"runs/r{seed}/result.json")


def _check_archive(path: Path) -> None:
    assert not [finding for finding in verify_archive(path) if finding.severity == "error"]


def _check_runs(path: Path) -> None:
    for run in path.glob("*/test"):
        _check_run(run)


def _check_run(path: Path) -> None:
    for checkpoint in path.glob("checkpoints/*.ckpt"):
        torch.load(checkpoint, weights_only=True)
    if (path / "result.json").is_file():
        RunResult.read(path)
    if (path / "config.yaml").is_file():
        assert yaml.safe_load((path / "config.yaml").read_text())


def _check_video(path: Path) -> None:
    video = VideoFrames(path)
    assert len(list(video.read(0, len(video)))) == len(video) == 81


def _check_end(end: bytes) -> Callable[[Path], None]:
    def check(path: Path) -> None:
        assert path.read_bytes().rstrip().endswith(end)

    return check


def _check_rows(path: Path) -> None:
    assert len(path.read_text().splitlines()) > 1


_SMALL = ("--train=2", "--val=1", "--test=1", "--height=32", "--width=32", "--planes=161")
_FIT = (
    *("fit", "--config", str(ROOT / "configs/stir.yaml"), "--data.init_args.archive", "a.h5"),
    *("--model.init_args.width", "0.25", "--data.init_args.crop", "32"),
    *("--data.init_args.batch_size", "1", "--data.init_args.samples_per_epoch", "4"),
    *("--trainer.max_epochs", "3", "--trainer.accelerator", "cpu", "--trainer.precision", "32"),
    *("--trainer.limit_val_batches", "1", "--run_dir", "run", "--ckpt_path", "last"),
)
COMMANDS: Mapping[str, Command] = {
    "build": Command(
        _recordings, ("archive", "build", "in", "a.h5", "--jobs=2"), ("a.h5",), _check_archive
    ),
    "simulate": Command(
        lambda folder: None,
        ("simulate", "--size", "small", *_SMALL, "--jobs=1", "--out", "a.h5"),
        ("a.h5",),
        _check_archive,
    ),
    "compress": Command(
        _clip,
        ("compress", "a.npz", "--out", "a.spl"),
        ("a.spl",),
        lambda path: read_recording(path).read(),
    ),
    "reconstruct": Command(
        _clip,
        ("reconstruct", "a.npz", "--method=tfi", "--stride=1", "--rate-scale=0.5", "--out=a.mp4"),
        ("a.mp4",),
        _check_video,
    ),
    "export": Command(
        lambda folder: write_checkpoint(folder / "a.ckpt"),
        ("export", "a.ckpt", "a.safetensors"),
        ("a.safetensors",),
        spike_zoo.load,
    ),
    "report": Command(
        _clip,
        ("report", "a.npz", "--rate-scale=0.5", "--methods", "[tfp, tfi]", "--out=a.html"),
        ("a.html",),
        _check_end(b"</html>"),
    ),
    "table": Command(_run_records, ("table", "runs", "--out=a.csv"), ("a.csv",), _check_rows),
    "sweep": Command(
        _sweep,
        ("sweep", "sweep.yaml"),
        ("runs", "results/none/records.jsonl"),
        lambda path: _check_runs(path) if path.is_dir() else read_records(path),
    ),
    "fit": Command(_archive, _FIT, ("run",), _check_run),
}


def try_command(name: str, kills: int, random: Random) -> tuple[int, list[str]]:
    """Kill a command at random times of its run, and repeat it until it succeeds.

    Args:
        name: Key of :data:`COMMANDS`.
        kills: Number of kills.
        random: Generator of times and signals.

    Returns:
        Number of calls killed before their end, and descriptions of problems.
    """
    command, killed, problems = COMMANDS[name], 0, []
    with tempfile.TemporaryDirectory() as text:
        seconds = 0.0
        for number in range(-1, kills):
            folder = Path(text, str(number))
            folder.mkdir()
            command.prepare(folder)
            start = time.monotonic()
            if number < 0:  # measure the duration
                run_command(command, folder)
                seconds = time.monotonic() - start
                continue
            number_of_signal = random.choice(SIGNALS)
            was_killed = _kill_after(
                command, folder, random.uniform(0.2, 1.0) * seconds, number_of_signal
            )
            killed += was_killed
            try:
                check_outputs(command, folder)
                run_command(command, folder)
                check_outputs(command, folder)
                check_folder(command, folder)
            except (AssertionError, OSError, ValueError, RuntimeError, LookupError) as error:
                problems.append(f"{name}, {number_of_signal.name}: {type(error).__name__}: {error}")
    return killed, problems


def kill_workers(kills: int, random: Random) -> tuple[int, list[str]]:
    """Kill workers of a Dask cluster at random times while it builds archives.

    Args:
        kills: Total number of kills.
        random: Generator of times and workers.

    Returns:
        Number of killed workers, and descriptions of problems.
    """
    killed, problems = 0, []
    jobs = {f"t{number:03d}": partial(_slow_take, number) for number in range(60)}
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with (
        tempfile.TemporaryDirectory() as text,
        dask.config.set({"distributed.scheduler.allowed-failures": kills}),
        LocalCluster(**options) as cluster,
        ThreadPoolExecutor(1) as pool,
    ):
        cluster.adapt(minimum=2, maximum=2)  # replaces a worker that is killed during its start
        folder, address = Path(text), cluster.scheduler_address
        quiet = build_archive(folder / "quiet.h5", jobs).read_bytes()
        while killed < kills:
            noisy = folder / f"{killed}.h5"
            building = pool.submit(build_archive, noisy, jobs, cluster=address)
            while not building.done():
                time.sleep(random.uniform(0.2, 2.0))
                pids = [worker.pid for worker in cluster.workers.values() if worker.pid]
                if pids and killed < kills and not building.done():
                    os.kill(random.choice(pids), signal.SIGKILL)
                    killed += 1
            try:
                building.result()
                assert noisy.read_bytes() == quiet, "the archive differs"
                leftovers = {path.name for path in folder.iterdir()} - {"quiet.h5", noisy.name}
                assert not leftovers, f"left {sorted(leftovers)[0]}"
            except (AssertionError, OSError, ValueError, RuntimeError, LookupError) as error:
                problems.append(f"after {killed} kills: {type(error).__name__}: {error}")
            noisy.unlink(missing_ok=True)
    return killed, problems


def _slow_take(seed: int) -> spike_zoo.Take:
    time.sleep(0.3)
    return make_take(seed)


def command_line(command: Command, folder: Path) -> list[str]:
    """Return the command line, with --overwrite if an output exists."""
    may_overwrite = command.words[0] not in ("fit", "simulate", "sweep", "table")
    is_there = any((folder / output).exists() for output in command.outputs)
    return [*PROGRAM, *command.words, *(["--overwrite"] if may_overwrite and is_there else [])]


def run_command(command: Command, folder: Path) -> None:
    """Run a command and assert that it succeeds."""
    process = subprocess.run(
        command_line(command, folder), cwd=folder, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, f"{process.stderr[-1000:]}"


def _kill_after(command: Command, folder: Path, after: float, number: signal.Signals) -> bool:
    """Signal the process group of a command after some seconds; return False if it had ended."""
    with subprocess.Popen(
        command_line(command, folder),
        cwd=folder,
        process_group=0,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        time.sleep(after)
        is_running = process.poll() is None
        if is_running:
            os.killpg(process.pid, number)
        process.wait(60)
    return is_running


def check_outputs(command: Command, folder: Path) -> None:
    """Check every existing output."""
    for output in command.outputs:
        if (folder / output).exists():
            command.check(folder / output)


def check_folder(command: Command, folder: Path) -> None:
    """Check that no temporary file was left."""
    parts = [path.name for path in folder.rglob("*") if path.name.endswith(".part")]
    assert not parts, f"left {parts[0]}"


def main() -> int:
    """Try commands and print a table; return 1 if there were problems."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--command", choices=[*COMMANDS, WORKERS])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    failed = 0
    for name in [arguments.command] if arguments.command else [*COMMANDS, WORKERS]:
        random = Random(f"{name} {arguments.seed}")
        if name == WORKERS:
            killed, problems = kill_workers(arguments.kills, random)
        else:
            killed, problems = try_command(name, arguments.kills, random)
        failed += len(problems)
        print(
            f"{name}: killed {killed} of {arguments.kills} times, {len(problems)} problems",
            flush=True,
        )
        for problem in problems:
            print(f"  {problem}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
