"""SLURM files of the guides, run with fake SLURM commands."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from spike_zoo.utils.yaml_files import read_yaml
from tests.conftest import ROOT
from tests.helpers.processes import run_python

FOLDER = ROOT / "docs" / "howto" / "slurm"
COMMANDS = {
    "srun": 'echo "srun $*" >> log; exec "$@"',
    "scancel": "kill -TERM $(cat pid)",
    "scontrol": 'echo "scontrol $*" >> log',
    "spike-zoo": """
        echo $$ > pid
        trap 'sleep 0.3; echo saved >> log; exit 143' TERM
        for _ in $(seq 100); do sleep 0.1; done""",
}


def test_a_job_saves_before_its_time_limit_and_is_requeued(tmp_path: Path) -> None:
    for name, text in COMMANDS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        **{"SLURM_JOB_ID": "7", "SLURM_NNODES": "4", "SLURM_NTASKS_PER_NODE": "8"},
    }
    job = ["bash", str(FOLDER / "train.sbatch"), "--config", "stir", "--run_dir", "runs/x"]
    with subprocess.Popen(job, cwd=tmp_path, env=environment) as process:
        deadline = time.monotonic() + 20
        while not (tmp_path / "pid").is_file():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.2)
        process.send_signal(signal.SIGUSR1)
        assert process.wait(20) == 0
    command = (
        "srun spike-zoo fit --config stir --run_dir runs/x --ckpt_path last "
        "--trainer.strategy ddp --trainer.num_nodes 4 --trainer.devices 8"
    )
    log = (tmp_path / "log").read_text().splitlines()
    assert log == [command, "saved", "scontrol requeue 7"]


SCRIPT = """
import json, sys
from dask_jobqueue.slurm import SLURMJob
print(SLURMJob("tcp://127.0.0.1:1", name="x", **json.loads(sys.argv[1])).job_script())
"""


def test_the_workers_file_has_arguments_of_a_slurm_cluster() -> None:
    options = read_yaml(FOLDER / "workers.yaml")
    assert options.pop("jobs") > 1
    # in a new process, because dask_jobqueue replaces the handler of Ctrl-C
    script = run_python(SCRIPT, json.dumps(options)).stdout
    assert "#SBATCH --requeue" in script
    assert "--nthreads 1" in script
