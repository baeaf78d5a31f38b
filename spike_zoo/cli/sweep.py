"""``sweep``: run W&B's sweep files on this machine, without an account."""

from __future__ import annotations

import os
import shlex
import statistics
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from joblib import cpu_count
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from spike_zoo.cli.console import echo, is_quiet
from spike_zoo.errors import SpikeZooError, UsageError, closest
from spike_zoo.executor import check_jobs
from spike_zoo.records.result import RunResult
from spike_zoo.records.stored import read_records
from spike_zoo.sweeps import (
    PlannedRun,
    SweepSpec,
    keep_finished,
    needed_first,
    only_points,
    points_of,
    read_sweep,
    record_of,
    repetitions,
    run_all,
    run_on_cluster,
    with_origins,
)
from spike_zoo.sweeps.plan import (
    check_commands,
    check_profile,
    check_tables,
    planned_runs,
    takes_profile,
)
from spike_zoo.sweeps.points import SEED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DEFAULT_PROFILE = "cpu"


@dataclass
class Stage:
    """The runs of one sweep, by what is known of them before any begins."""

    spec: SweepSpec
    runs: list[PlannedRun]
    finished: list[PlannedRun] = field(default_factory=list)
    failed: list[PlannedRun] = field(default_factory=list)
    waiting: list[PlannedRun] = field(default_factory=list)

    def sort(self, later: Sequence[PlannedRun], *, retry: bool) -> None:
        """Put every run where it belongs.

        Args:
            later: Runs of later stages that wait.
            retry: Whether failed runs wait again.
        """
        for run in self.runs:
            if run.is_fit and any(_begins_with(one, run) for one in later):
                run = replace(run, needs_checkpoint=True)
            if record_of(run) is not None:
                self.finished.append(run)
            elif run.failure.is_file() and not retry:
                self.failed.append(run)
            else:
                self.waiting.append(run)

    def look_again(self) -> None:
        """Let finished runs wait again whose record stopped to count: their teacher is another."""
        for run in [run for run in self.finished if record_of(run) is None]:
            self.finished.remove(run)
            self.waiting.append(run)

    def leave_out(self, lost: Sequence[PlannedRun], console: Console) -> list[PlannedRun]:
        """Take out and return the runs that would begin with what was lost."""
        stuck = []
        for run in self.waiting[:]:
            needed = next((one for one in lost if _begins_with(run, one)), None)
            if needed is not None:
                console.print(f"{run.name}: cannot start, it needs {needed.name}")
                self.waiting.remove(run)
                stuck.append(run)
        return stuck


def sweep(
    source: str,
    *,
    profile: str | None = None,
    jobs: int = 1,
    cluster: str | None = None,
    retry: bool = False,
    dry_run: bool = False,
    count: int | None = None,
    only: str | None = None,
) -> int:
    """Run the runs of a W&B sweep file that are not finished, one process each.

    Every configuration is read before the first run begins. A run is finished when its result.json
    is there, here or among the results kept beside the sweep file; calling again runs what is left,
    also after Ctrl-C or a crash. Grid and random searches run here; the same file goes to
    ``wandb sweep`` and ``wandb agent``.

    Args:
        source: The sweep file (.yaml); what it needs (needs.yaml beside it) runs before it.
        profile: How big and how long, a file of configs/profiles; by default what the
            variable PROFILE says, else cpu.
        jobs: Runs at a time; 0: one for each core.
        cluster: Dask cluster that runs them instead, as many at a time as its workers have
            threads: tcp://HOST:PORT, its scheduler file, or slurm:FILE.yaml.
        retry: Run again what failed in an earlier call.
        dry_run: Only show the commands.
        count: Number of runs of a random search; by default its run_cap.
        only: NAME=VALUE of a parameter, as seed_everything=0: only the runs that have it.

    Returns:
        0 if every run is finished, else 1.
    """
    check_jobs(jobs)
    jobs = jobs or cpu_count()
    profile = profile or os.environ.get("PROFILE") or DEFAULT_PROFILE
    environment = _environment(profile, jobs)
    stages = _stages(source, environment, count, only, retry=retry)
    console = Console(stderr=True, highlight=False, soft_wrap=True, quiet=is_quiet())
    waiting = _announce(stages, profile, jobs, console)
    if dry_run:
        for run in waiting:
            print(shlex.join(run.command))
        return 0
    failed = [run for stage in stages for run in stage.failed]
    stuck: list[PlannedRun] = []
    for stage in stages:
        keep_finished(stage.finished)
        stage.look_again()
        stuck += stage.leave_out(failed + stuck, console)
        failed += _run_stage(stage, environment, jobs, cluster, console)
    _conclude(stages, failed, console)
    return 1 if failed else 0


def _environment(profile: str, jobs: int) -> dict[str, str]:
    """Return the environment of runs: the profile, this interpreter, a fair share of cores."""
    interpreters = str(Path(sys.executable).parent)
    environment = {**os.environ, "PROFILE": profile, "PYTHONUNBUFFERED": "1"}
    environment["PATH"] = os.pathsep.join([interpreters, os.environ.get("PATH", os.defpath)])
    if jobs > 1:
        share = max(1, cpu_count() // jobs)
        environment.setdefault("OMP_NUM_THREADS", str(share))
    return environment


def _stages(
    source: str,
    environment: dict[str, str],
    count: int | None,
    only: str | None,
    *,
    retry: bool,
) -> list[Stage]:
    """Read all runs; a finished one waits again where others need a checkpoint that is gone."""
    specs = needed_first(read_sweep(source))
    if any(takes_profile(spec) for spec in specs):
        check_profile(environment["PROFILE"])
    unseen = [check_tables(spec) for spec in specs][-1]  # what others need may be in no table
    if unseen:
        names = ", ".join(path.name for path in unseen)
        echo(f"note: no row of a table shows {names}", sys.stderr)
    if only:
        _check_only(specs[-1], count, only)
    for spec in specs:
        check_commands(spec, environment, count=count, only=only)
    from spike_zoo.sweeps.line_reader import LineReader  # loads torch: after cheap checks

    reader = LineReader()
    stages: list[Stage] = []
    for spec in specs:
        _announce_differences(spec, count)
        planned = planned_runs(spec, environment, count=count, only=only, reader=reader)
        earlier = [run for stage in stages for run in stage.runs]
        stages.append(Stage(spec, with_origins(planned, earlier)))
    waiting: list[PlannedRun] = []
    for stage in reversed(stages):
        stage.sort(waiting, retry=retry)
        waiting += stage.waiting
    return stages


def _announce_differences(spec: SweepSpec, count: int | None) -> None:
    """Print in what the runs here differ from those of W&B's agent."""
    repeated = repetitions(spec, count)
    if repeated:
        left = len(points_of(spec, count))
        echo(
            f"note: {spec.path}: {repeated} of {left + repeated} draws repeat an earlier point and "
            f"are left out; {left} runs are left",
            sys.stderr,
        )
    if spec.stops_early:
        echo(
            f"note: {spec.path}: early_terminate is not applied here: every run is trained to its "
            "end. W&B's agent applies it.",
            sys.stderr,
        )


def _begins_with(run: PlannedRun, other: PlannedRun) -> bool:
    return any(other.run_dir == one.run_dir for one in run.begins.values())


def _check_only(spec: SweepSpec, count: int | None, only: str) -> None:
    """Check that a run of the requested sweep has the parameter and its value.

    A sweep without seeds has no repetitions to choose from, so one of them means all of its runs.
    """
    points = points_of(spec, count)
    chosen = only_points(points, only)
    name, _, value = only.partition("=")
    values = sorted({str(point[name]) for point in points if name in point})
    if not values and name == SEED:
        echo(f"note: {spec.path} has no parameter {name}: all of its runs", sys.stderr)
    elif not values:
        raise UsageError(
            f"--only {only}: {spec.path} has no parameter {name!r}; its parameters are "
            f"{', '.join(spec.parameters)}.{closest(name, spec.parameters)}"
        )
    elif str(chosen[0][name]) != value:
        raise UsageError(f"--only {only}: {spec.path} has {name} at {', '.join(values)}")


def _announce(
    stages: Sequence[Stage], profile: str, jobs: int, console: Console
) -> list[PlannedRun]:
    """Print the number and estimated duration of runs; return those to do."""
    for stage in stages:
        parts = [f"{len(stage.runs)} runs", f"{len(stage.finished)} finished"]
        if stage.failed:
            parts.append(f"{len(stage.failed)} failed before (--retry runs them again)")
        parts.append(f"{len(stage.waiting)} to do")
        console.print(f"{stage.spec.path}, profile {profile}: {', '.join(parts)}")
    waiting = [run for stage in stages for run in stage.waiting]
    if waiting:
        known = _usual_seconds(run for stage in stages for run in stage.runs)
        took = "no run of this profile is known yet; the first one allows an estimate"
        if known is not None:
            took = f"about {_duration(known * len(waiting) / jobs)}"
        console.print(f"{len(waiting)} runs, {jobs} at a time: {took}")
    return waiting


def _run_stage(
    stage: Stage,
    environment: dict[str, str],
    jobs: int,
    cluster: str | None,
    console: Console,
) -> list[PlannedRun]:
    """Run what waits in a stage; return what failed."""
    if not stage.waiting:
        return []
    with _progress(console) as progress:
        total = len(stage.waiting)
        task = progress.add_task(stage.spec.name, total=total, left="")
        took: list[float] = []

        def report(event: str, run: PlannedRun, seconds: float) -> None:
            if event == "started":
                progress.update(task, description=f"{stage.spec.name}: {run.name}")
                return
            took.append(seconds)
            left = _left(took, total, jobs)
            progress.update(task, advance=1, left=left)
            where = "" if event == "finished" else f"; see {run.failure}"
            text = f"[{len(took)}/{total}] {run.name}: {event} after {_duration(seconds)}{where}"
            console.print(text if console.is_terminal or not left else f"{text}, {left}")

        if cluster is not None:
            outcomes = run_on_cluster(stage.waiting, environment, cluster, report)
        else:
            outcomes = run_all(stage.waiting, environment, jobs=jobs, report=report)
    return [outcome.run for outcome in outcomes if not outcome.is_finished]


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        console=console,
        disable=not console.is_terminal,
    )


def _conclude(stages: Sequence[Stage], failed: Sequence[PlannedRun], console: Console) -> None:
    """Print the folders of the results and the failed runs."""
    for run in failed:
        console.print(f"failed: {run.name}: {run.failure}")
    if failed:
        console.print(f"{len(failed)} runs failed; --retry runs them again")
    runs = [run for stage in stages for run in stage.runs]
    places = sorted({str(run.records or run.run_dir.parent) for run in runs})
    echo(f"results: {', '.join(places)}")


def _left(took: Sequence[float], total: int, jobs: int) -> str:
    count = total - len(took)
    return f"about {_duration(statistics.median(took) * count / jobs)} left" if count else ""


def _usual_seconds(runs: Iterable[PlannedRun]) -> float | None:
    """Return the median time of the runs that are known, whatever has changed since."""
    seconds = []
    for run in runs:
        stored = read_records(run.records).get(run.name) if run.records else None
        try:
            record: RunResult | None = RunResult.read(run.result)
        except SpikeZooError:  # none, or damaged: it will be made again
            record = stored.result if stored else None
        if record is not None:
            seconds.append(record.wall_seconds)
    return statistics.median(seconds) if seconds else None


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
