"""Execution of independent tasks in local processes (joblib) or on a Dask cluster."""

import contextlib
import functools
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from spike_zoo.errors import SpikeZooError
from spike_zoo.utils.cores import usable_cores
from spike_zoo.utils.signals import exit_on_signals, signal_code

Result = TypeVar("Result")

_WATCH_SECONDS: Final = 1.0  # interval at which a worker checks its parent
_END_SECONDS: Final = 5.0  # time of a worker to remove its unfinished files
_REPLACED: Final = "A worker stopped while some jobs were given to the executor"


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
        jobs: Number of local processes, at most one per task; 0 and -1 start one per core. Not
            used with a cluster.
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
    from spike_zoo.utils.cluster import run_on_cluster

    yield from run_on_cluster(tasks, cluster, shared or Path.cwd())


def _run_locally(tasks: Sequence[Callable[[], Result]], jobs: int) -> Generator[Result]:
    jobs = min(jobs if jobs > 0 else usable_cores(), len(tasks))
    if jobs <= 1:
        for task in tasks:
            yield task()
        return
    from joblib import Parallel, delayed

    calls = [delayed(_run_in_folder)(Path.cwd(), task) for task in tasks]
    options = {"initializer": start_worker, "initargs": (os.getpid(), warnings.formatwarning)}
    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", **options)
    with _worker_faults_handled(), contextlib.closing(parallel(calls)) as results:
        yield from results  # closing stops the processes


def _run_in_folder(cwd: Path, task: Callable[[], Result]) -> Result:
    os.chdir(cwd)  # joblib reuses workers, which may have another working directory
    try:
        with exit_on_signals():
            return task()
    except SystemExit as error:
        if code := signal_code(error):
            os._exit(code)  # joblib would catch the exception and start the next task
        raise


@contextlib.contextmanager
def _worker_faults_handled() -> Iterator[None]:
    """Ignore joblib's warning about a replaced worker, and explain the error of a killed worker.

    joblib replaces a worker whose memory has grown by 300 MB. If warnings are errors, the warning
    would end joblib's thread, and the caller would wait forever. joblib ends workers by SIGKILL,
    which leaves unfinished files; here they receive SIGTERM first.
    """
    from joblib.externals.loky import process_executor as loky

    manager = loky._ExecutorManagerThread
    kill = manager.kill_workers
    manager.kill_workers = functools.partialmethod(_end_workers, kill)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=_REPLACED, category=UserWarning)
            yield
    except (loky.TerminatedWorkerError, BrokenPipeError) as error:
        if isinstance(error.__cause__, loky._RemoteTraceback):
            raise  # the task's own pipe broke
        raise SpikeZooError(
            "a worker process was killed; the system does this when memory runs out, otherwise its "
            "message is above. Use fewer processes (--jobs 1) or free memory"
        ) from error
    finally:
        manager.kill_workers = kill


def _end_workers(manager: Any, kill: Callable[..., None], reason: str = "") -> None:  # noqa: ANN401  (joblib's)
    """Send SIGTERM to workers, so that they remove unfinished files; kill those that still run."""
    processes = list(manager.processes.values())
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + _END_SECONDS
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
    kill(manager, reason)


def start_worker(parent: int, format_warning: Callable[..., str]) -> None:
    """Set the parent's format of warnings, and exit this worker when the parent has ended.

    A parent that is killed by SIGKILL cannot stop its workers. Terminals send Ctrl-C and SIGHUP to
    all processes; the parent then ends its workers.
    """
    warnings.formatwarning = format_warning
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    time.sleep(_END_SECONDS)
    os._exit(1)
