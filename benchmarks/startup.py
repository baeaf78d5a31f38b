"""Start-up times: import, --help, the first image, a video.

In processor time of whole processes, which other work on the machine disturbs less than the clock;
one thread each, so that it is what one core takes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import patch

from benchmarks.row import Row, alternating_medians
from spike_zoo.cli.main import COMMANDS
from spike_zoo.cli.trainer_commands import TRAINER_VERBS
from spike_zoo.formats import write_recording
from spike_zoo.simulation import SceneSpec, simulate_take
from spike_zoo.training.stored import RECORDS_FILENAME, read_records

PLANES, HEIGHT, WIDTH = 301, 250, 400
RECORDS = (
    Path(__file__).parents[1] / "experiments" / "classical" / "results" / "cpu" / RECORDS_FILENAME
)
TABLE_ROWS = 200
ENCODE = """
import sys
from spike_zoo.media.images import load_image
from spike_zoo.media.video import save_video
from pathlib import Path
save_video(map(load_image, sorted(Path(sys.argv[1]).iterdir())), sys.argv[2], overwrite=True)
"""
DECODE = ENCODE.replace("save_video(map(", "list(map(").replace(", sys.argv[2], overwrite=True", "")


def _processor_seconds(*arguments: str) -> float:
    """Return user plus system time of a Python process that has to succeed."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, arguments)
    return usage.ru_utime + usage.ru_stime


def _first_seconds(*arguments: str) -> float:
    """Return the processor time of a process that has to compile every kernel that it uses."""
    with tempfile.TemporaryDirectory() as cache, patch.dict(os.environ, NUMBA_CACHE_DIR=cache):
        return _processor_seconds(*arguments)


def rows() -> list[Row]:
    """Measure processes, compared with the start of Python, of torch, and of the video encoder."""
    with tempfile.TemporaryDirectory() as folder:
        recording, image, video = (str(Path(folder, n)) for n in ("a.npz", "a.png", "a.mp4"))
        images = str(Path(folder, "images"))
        scene = SceneSpec(planes=PLANES, height=HEIGHT, width=WIDTH, seed=1)
        write_recording(simulate_take(scene, margin=40).recording, recording)
        zoo = partial(partial, _processor_seconds, "-m", "spike_zoo")
        make = ("reconstruct", recording, "--method", "tfi", "--overwrite", "--stride", "1")
        _processor_seconds("-m", "spike_zoo", *make, "--out", images)
        (record, *_) = read_records(RECORDS).values()
        runs = Path(folder, "runs")
        for number in range(TABLE_ROWS):
            run = replace(record.result, variant=f"run_{number}")
            run.write(runs / str(number) / "result.json")
        helps = [zoo(name, "--help") for name in (*TRAINER_VERBS, *COMMANDS)]
        python = partial(partial, _processor_seconds, "-c")
        aligned = ("reconstruct", recording, "--method", "tfi-aligned", "--overwrite")
        firsts = [
            partial(_first_seconds, "-m", "spike_zoo", *command, "--out", image)
            for command in (make, aligned)
        ]
        (
            python_only,
            imported,
            help_seconds,
            torch,
            image_seconds,
            video_seconds,
            encoded,
            decoded,
            table,
            first,
            first_aligned,
            *commands,
        ) = alternating_medians(
            [
                python("pass"),
                python("import spike_zoo"),
                zoo("--help"),
                python("import torch"),
                zoo(*make, "--out", image),
                zoo(*make, "--out", video),
                python(ENCODE, images, video),
                python(DECODE, images, video),
                zoo("table", str(runs), "--out", str(Path(folder, "table"))),
                *firsts,
                *helps,
            ]
        )
    limit = image_seconds + encoded - decoded
    return [
        Row("import spike_zoo, beyond python's start", imported - python_only, "s", goal=0.3),
        Row("python -m spike_zoo --help, whole process", help_seconds, "s", goal=0.5),
        Row("COMMAND --help, the slowest of all", max(commands), "s", goal=0.5),
        Row(
            "reconstruct --method tfi, one image",
            image_seconds,
            "s",
            torch,
            "import torch",
            1.3,
        ),
        Row(
            f"the same, {PLANES} images of {HEIGHT}x{WIDTH} to MP4",
            *(video_seconds, "s", limit, "one image + the encoder", 1.1),
        ),
        Row("one image of tfi in a new installation", first, "s", goal=8.0),
        Row("one image of tfi-aligned in a new installation", first_aligned, "s", goal=12.0),
        Row(f"table of {TABLE_ROWS} runs", table, "s", goal=2.0),
    ]
