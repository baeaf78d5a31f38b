"""Execution of independent tasks on a Dask cluster."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import spike_zoo
from spike_zoo.errors import MissingFileError, SpikeZooError, UsageError, first_line
from spike_zoo.utils.yaml_files import read_yaml

if TYPE_CHECKING:
    from distributed import Client

Result = TypeVar("Result")

SLURM: Final = "slurm:"
_TIMEOUT: Final = 30.0  # seconds to wait for the scheduler and workers
_NO_DASK: Final = "--cluster needs Dask: pip install 'spike-zoo[cluster]'"


def run_on_cluster(
    tasks: Sequence[Callable[[], Result]], cluster: str, shared: Path
) -> Generator[Result]:
    """Run tasks on a cluster; arguments, results and errors as of :func:`run_tasks`."""
    call = partial(_run_on_worker, spike_zoo.__version__, Path.cwd(), shared.absolute())
    with _client(cluster) as client:
        from distributed import CancelledError, KilledWorker, as_completed
        from distributed.comm.core import CommClosedError

        futures = [client.submit(call, task, pure=False) for task in tasks]
        try:
            for future in as_completed(futures, loop=client.loop):
                yield future.result()
        except (CancelledError, CommClosedError, KilledWorker, ModuleNotFoundError) as error:
            raise SpikeZooError(f"--cluster {cluster}: {_reason(error)}") from error
        finally:
            client.cancel(futures)


def _reason(error: Exception) -> str:
    """Return the reason why a Dask cluster did not run a task, and what to do."""
    if isinstance(error, ModuleNotFoundError):
        return f"workers lack a package of this environment ({error}); install the same ones"
    if type(error).__name__ == "KilledWorker":
        return "workers died repeatedly in one task; read their logs, and give them more memory"
    return "the connection to the scheduler was lost; start it again and repeat the command"


@contextlib.contextmanager
def _client(cluster: str) -> Iterator[Client]:
    """Connect to a Dask cluster with at least one worker, or start a cluster in SLURM."""
    try:
        from distributed import Client
    except ImportError as error:
        raise UsageError(_NO_DASK) from error
    in_slurm = cluster.startswith(SLURM)
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(_slurm_cluster(cluster)) if in_slurm else _address(cluster)
        try:
            client = stack.enter_context(Client(address, timeout=_TIMEOUT, set_as_default=False))
            client.wait_for_workers(1, timeout=None if in_slurm else _TIMEOUT)
        except (OSError, TimeoutError, TypeError, ValueError) as error:
            raise UsageError(
                f"--cluster {cluster}: no scheduler with workers answers ({first_line(error)}); "
                "start them with 'dask scheduler' and 'dask worker ADDRESS'"
            ) from error
        yield client


def _address(cluster: str) -> str:
    """Return the address of a scheduler, which a scheduler file contains."""
    if "://" in cluster:
        return cluster
    if not Path(cluster).is_file():
        raise UsageError(
            f"--cluster {cluster}: neither the address of a scheduler, as tcp://host:8786, nor a "
            "scheduler file, nor slurm:FILE.yaml"
        )
    try:
        return str(json.loads(Path(cluster).read_text(encoding="utf-8"))["address"])
    except (KeyError, TypeError, ValueError) as error:
        message = f"--cluster {cluster}: not a complete scheduler file; is dask scheduler running?"
        raise UsageError(message) from error


@contextlib.contextmanager
def _slurm_cluster(cluster: str) -> Iterator[Any]:
    """Submit the jobs of a cluster; a job that sbatch rejects is an error."""
    from distributed.core import Status

    path = Path(cluster.removeprefix(SLURM))
    if not path.is_file():
        raise MissingFileError(f"--cluster {cluster}: there is no file {path}", path=str(path))
    handler = signal.getsignal(signal.SIGINT)
    try:
        from dask_jobqueue import SLURMCluster  # type: ignore[attr-defined]  # no __all__
    except ImportError as error:
        raise UsageError(_NO_DASK) from error
    finally:
        signal.signal(signal.SIGINT, handler)  # dask_jobqueue replaces the handler at import
    options = read_yaml(path)
    jobs = options.pop("jobs", 1) if isinstance(options, dict) else 0
    if not isinstance(jobs, int) or jobs < 1:
        raise UsageError(f"{path}: needs 'jobs: N' and arguments of dask_jobqueue.SLURMCluster")
    try:
        stack = contextlib.ExitStack()
        slurm = stack.enter_context(SLURMCluster(**options))
    except (RuntimeError, TypeError, ValueError) as error:
        message = re.split(r"\. Very likely|, for example", first_line(error))[0]
        raise UsageError(f"{path}: {message} (arguments of dask_jobqueue.SLURMCluster)") from error
    with stack:
        for _ in range(jobs):  # scale() would submit in the background and print a traceback
            slurm.worker_spec.update(slurm.new_worker_spec())
        try:
            slurm.sync(lambda: slurm)  # waits until every job is submitted
        except (OSError, RuntimeError, ValueError) as error:
            for job in slurm.workers.values():  # else Dask's own close() fails
                job.status = Status.failed if job.status is Status.created else job.status
            reason = " ".join((str(error).partition("stderr:")[2] or str(error)).split())
            raise SpikeZooError(f"--cluster {cluster}: sbatch rejected a job: {reason}") from error
        yield slurm


def _run_on_worker(version: str, cwd: Path, shared: Path, task: Callable[[], Result]) -> Result:
    """Run a task in the working directory of the caller."""
    host, here = socket.gethostname(), spike_zoo.__version__
    if here != version:
        raise SpikeZooError(
            f"worker {host} has spike-zoo {here}, and this process {version}; install one version"
        )
    for path in (cwd, shared):
        if not path.exists():
            raise SpikeZooError(
                f"worker {host} cannot access {path}; the cluster must share the file system"
            )
    os.chdir(cwd)
    try:
        return task()
    except MissingFileError as error:
        raise MissingFileError(f"{error} (on worker {host})", path=error.path) from error
