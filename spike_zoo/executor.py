"""Execution of independent tasks in local processes (joblib) or on a Dask cluster."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import spike_zoo
from spike_zoo.errors import MissingFileError, SpikeZooError, UsageError
from spike_zoo.yaml_files import read_yaml

if TYPE_CHECKING:
    from distributed import Client

Result = TypeVar("Result")

SLURM: Final = "slurm:"
_TIMEOUT: Final = 30.0  # seconds to wait for the scheduler and workers
_WATCH_SECONDS: Final = 1.0  # interval at which a worker checks its parent
_REPLACED: Final = "A worker stopped while some jobs were given to the executor"
_NO_DASK: Final = "--cluster needs Dask: pip install 'spike-zoo[cluster]'"


def run_tasks(
    tasks: Sequence[Callable[[], Result]],
    *,
    jobs: int = 1,
    cluster: str | None = None,
    shared: Path | None = None,
) -> Generator[Result]:
    """Run tasks and yield their results in the order in which they finish.

    The first error of a task is raised and cancels the other tasks. Closing the iterator also
    cancels them. A task may be started again if a worker died; therefore it must write its files
    under a temporary name and rename them.

    Args:
        tasks: Functions without arguments. Functions and results are pickled unless ``jobs`` is 1.
        jobs: Number of local processes; -1 starts one per core. Not used with a cluster.
        cluster: A Dask cluster: ``tcp://HOST:PORT`` of the scheduler, the path of the scheduler
            file, or ``slurm:FILE.yaml`` with the arguments of ``dask_jobqueue.SLURMCluster`` and
            the number of ``jobs`` to start.
        shared: An existing path that every worker must be able to access; by default the working
            directory.

    Yields:
        The result of each task.

    Raises:
        UsageError: If Dask is missing, or if the cluster does not exist or has no workers.
        SpikeZooError: If workers have another version of this package or cannot access ``shared``,
            or if a worker process was killed.
    """
    if cluster is None:
        yield from _run_locally(tasks, jobs)
        return
    cwd = Path.cwd()
    call = partial(_run_on_worker, spike_zoo.__version__, cwd, (shared or cwd).absolute())
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
    with contextlib.ExitStack() as stack:
        if cluster.startswith(SLURM):
            address: Any = stack.enter_context(_slurm_cluster(cluster))
            options: dict[str, Any] = {"address": address}
        elif "://" in cluster:
            options = {"address": cluster}
        elif Path(cluster).is_file():
            options = {"scheduler_file": cluster}
        else:
            raise UsageError(
                f"--cluster {cluster}: neither the address of a scheduler, as "
                "tcp://host:8786, nor a scheduler file, nor slurm:FILE.yaml"
            )
        try:
            client = stack.enter_context(Client(**options, timeout=_TIMEOUT, set_as_default=False))
            client.wait_for_workers(1, timeout=None if cluster.startswith(SLURM) else _TIMEOUT)
        except (OSError, TimeoutError, ValueError) as error:
            raise UsageError(
                f"--cluster {cluster}: no scheduler with workers answers ({error}); start them "
                "with 'dask scheduler' and 'dask worker ADDRESS'"
            ) from error
        yield client


@contextlib.contextmanager
def _slurm_cluster(cluster: str) -> Iterator[Any]:
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
    options = dict(read_yaml(path))
    jobs = options.pop("jobs", 1)
    try:
        with SLURMCluster(**options) as slurm:
            slurm.scale(jobs=jobs)
            yield slurm
    except TypeError as error:
        raise UsageError(f"{path}: not arguments of SLURMCluster: {error}") from error


def _run_on_worker(version: str, cwd: Path, shared: Path, task: Callable[[], Result]) -> Result:
    """Run a task in the working directory of the caller."""
    host, worker_version = socket.gethostname(), spike_zoo.__version__
    if worker_version != version:
        raise SpikeZooError(
            f"worker {host} has spike-zoo {worker_version}, and this process {version}; install "
            "the same version"
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


def check_jobs(jobs: int) -> None:
    """Reject a negative ``--jobs``."""
    if jobs < 0:
        raise UsageError(f"--jobs must be 0 (one per core) or more, got {jobs}")


def _run_locally(tasks: Sequence[Callable[[], Result]], jobs: int) -> Generator[Result]:
    if jobs == 1 or len(tasks) <= 1:
        for task in tasks:
            yield task()
        return
    from joblib import Parallel, delayed

    calls = [delayed(_run_in_folder)(Path.cwd(), task) for task in tasks]
    options = {"initializer": start_worker, "initargs": (os.getpid(), warnings.formatwarning)}
    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", **options)
    results = parallel(calls)
    with _worker_faults_handled(), contextlib.closing(results):  # stops the processes
        yield from results


def _run_in_folder(cwd: Path, task: Callable[[], Result]) -> Result:
    os.chdir(cwd)  # joblib reuses workers, which may have another working directory
    return task()


@contextlib.contextmanager
def _worker_faults_handled() -> Iterator[None]:
    """Ignore joblib's warning about a replaced worker, and explain the error of a killed worker.

    joblib replaces a worker whose memory has grown by 300 MB. If warnings are errors, the warning
    would end joblib's thread, and the caller would wait forever.
    """
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=_REPLACED, category=UserWarning)
        try:
            yield
        except TerminatedWorkerError as error:
            raise SpikeZooError(
                "a worker process was killed, which the system does when memory runs out; use "
                "fewer processes (--jobs 1) or free memory"
            ) from error


def start_worker(parent: int, format_warning: Callable[..., str]) -> None:
    """Set the parent's format of warnings, and exit this worker when the parent has ended.

    A parent that is killed by SIGKILL cannot stop its workers.
    """
    warnings.formatwarning = format_warning
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os._exit(1)
