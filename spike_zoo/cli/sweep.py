"""Command ``sweep``: run W&B sweep files on this machine, without an account."""

import os
import shlex
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from spike_zoo.__main__ import OWN_SAFE_PATH, SAFE_PATH
from spike_zoo.cli.console import echo, is_quiet
from spike_zoo.cli.options import NonNegativeInt
from spike_zoo.errors import SpikeZooError, UsageError, closest
from spike_zoo.tables.sweeps.plan import (
    check_commands,
    check_files,
    check_profile,
    check_tables,
    planned_runs,
    takes_profile,
)
from spike_zoo.tables.sweeps.points import SEED, only_points, points_of
from spike_zoo.tables.sweeps.records import PlannedRun, check_code, record_of, with_origins
from spike_zoo.tables.sweeps.runner import keep_finished, run_all, run_on_cluster
from spike_zoo.tables.sweeps.spec import SweepSpec, needed_first, read_sweep
from spike_zoo.training.result import RunResult
from spike_zoo.training.stored import read_records
from spike_zoo.utils.cores import usable_cores

DEFAULT_PROFILE = "cpu"


@dataclass
class Stage:
    """The runs of one sweep, sorted into finished, failed and waiting runs."""

    spec: SweepSpec
    runs: list[PlannedRun]
    finished: list[PlannedRun] = field(default_factory=list)
    failed: list[PlannedRun] = field(default_factory=list)
    waiting: list[PlannedRun] = field(default_factory=list)

    def sort(self, later: Sequence[PlannedRun], *, retry: bool) -> None:
        """Sort all runs; waiting runs of later stages may need a checkpoint of this stage."""
        for run in self.runs:
            if run.is_fit and any(_starts_from(other, run) for other in later):
                run = replace(run, needs_checkpoint=True)
            if record_of(run) is not None:
                self.finished.append(run)
            elif run.failure.is_file() and not retry:
                self.failed.append(run)
            else:
                self.waiting.append(run)

    def refresh(self) -> None:
        """Move finished runs to the waiting ones if their record is outdated by a new teacher."""
        for run in [run for run in self.finished if record_of(run) is None]:
            self.finished.remove(run)
            self.waiting.append(run)

    def drop_dependents(self, lost: Sequence[PlannedRun], console: Console) -> list[PlannedRun]:
        """Remove and return the waiting runs that need a checkpoint of a lost run."""
        stuck = []
        for run in self.waiting[:]:
            needed = next((other for other in lost if _starts_from(run, other)), None)
            if needed is not None:
                console.print(f"{run.name}: cannot start, it needs {needed.name}")
                self.waiting.remove(run)
                stuck.append(run)
        return stuck


def sweep(
    source: str,
    *,
    profile: str | None = None,
    jobs: NonNegativeInt = 1,
    cluster: str | None = None,
    retry: bool = False,
    dry_run: bool = False,
    only: list[str] | None = None,
) -> int:
    """Run the unfinished runs of a W&B sweep file, each in its own process.

    All configurations are checked before the first run starts. A run is finished if its result.json
    exists in its folder or in the folder results next to the sweep file. Another call runs the
    remaining runs, also after Ctrl-C or a crash. Supports grids. The same file can be used with
    ``wandb sweep`` and ``wandb agent``, which also run other searches.

    Args:
        source: The sweep file (.yaml). The sweeps of a needs.yaml in the same folder run first.
        profile: Size and duration of the runs: the name of a file in configs/profiles. Default: the
            environment variable PROFILE, else cpu.
        jobs: Number of runs at a time; 0: one per core.
        retry: Run the runs again that failed in an earlier call.
        dry_run: Only print the commands.
        only: NAME=VALUE of one or more parameters, such as seed_everything=0, to run only the runs
            with these values.
    """
    jobs = jobs or usable_cores()
    profile = profile or os.environ.get("PROFILE") or DEFAULT_PROFILE
    environment = _environment(profile, jobs)
    console = Console(stderr=True, highlight=False, soft_wrap=True, quiet=is_quiet())
    with console.status(f"reading the configurations of {source}"):  # 66 runs take half a minute
        stages = _stages(source, environment, only or [], retry=retry)
    waiting = _announce(stages, profile, jobs, console)
    if dry_run:
        for run in waiting:
            print(shlex.join(run.command))
        return 0
    check_code(waiting)
    for stage in stages:
        check_files(stage.spec, stage.waiting)
    failed = [run for stage in stages for run in stage.failed]
    stuck: list[PlannedRun] = []
    for stage in stages:
        keep_finished(stage.finished)
        stage.refresh()
        stuck += stage.drop_dependents(failed + stuck, console)
        failed += _run_stage(stage, environment, jobs, cluster, console)
    for run in failed:
        console.print(f"failed: {run.name}: {run.failure}")
    if failed:
        console.print(f"{len(failed)} runs failed; --retry runs them again")
    runs = [run for stage in stages for run in stage.runs]
    echo(f"results: {', '.join(sorted({str(run.records) for run in runs}))}")
    return 1 if failed else 0


def _environment(profile: str, jobs: int) -> dict[str, str]:
    """Return the environment of runs: profile, this Python interpreter, an equal share of cores."""
    path = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    environment = {**os.environ, "PROFILE": profile, "PYTHONUNBUFFERED": "1"}
    environment["PATH"] = os.pathsep.join(path)
    if environment.get(SAFE_PATH) == OWN_SAFE_PATH:  # a user's program finds files beside it
        del environment[SAFE_PATH]
    if jobs > 1:
        environment.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // jobs)))
    return environment


def _stages(
    source: str, environment: dict[str, str], only: list[str], *, retry: bool
) -> list[Stage]:
    """Plan and sort all runs; repeat finished runs whose lost checkpoint a waiting run needs."""
    specs = needed_first(read_sweep(source))
    if any(takes_profile(spec) for spec in specs):
        check_profile(environment["PROFILE"])
    without_row = [check_tables(spec) for spec in specs][-1]  # needed sweeps may have no table
    if without_row:
        names = ", ".join(path.name for path in without_row)
        echo(f"note: no row of a table shows {names}", sys.stderr)
    for path, key in ((spec.path, key) for spec in specs for key in spec.not_applied):
        echo(
            f"note: {path}: {key} is not applied: here all runs run to their end; "
            "'wandb agent' applies it",
            sys.stderr,
        )
    for selection in only:
        _check_only(specs[-1], selection)
    points = {spec.path: only_points(points_of(spec), *only) for spec in specs}
    for spec in specs:
        check_commands(spec, points[spec.path], environment)
    from spike_zoo.tables.sweeps.line_reader import LineReader  # loads torch: after cheap checks

    reader = LineReader()
    stages: list[Stage] = []
    for spec in specs:
        planned = planned_runs(spec, points[spec.path], environment, reader)
        earlier = [run for stage in stages for run in stage.runs]
        stages.append(Stage(spec, with_origins(planned, earlier)))
    waiting: list[PlannedRun] = []
    for stage in reversed(stages):
        stage.sort(waiting, retry=retry)
        waiting += stage.waiting
    return stages


def _starts_from(run: PlannedRun, other: PlannedRun) -> bool:
    return any(other.run_dir == origin.run_dir for origin in run.weight_sources.values())


def _check_only(spec: SweepSpec, only: str) -> None:
    """Check that a run of the sweep has the parameter and value of ``--only``.

    A seed is accepted for a sweep without seeds and selects all of its runs.
    """
    points = points_of(spec)
    chosen = only_points(points, only)
    name, _, value = only.partition("=")
    values = sorted({str(point[name]) for point in points if name in point})
    if not values and name == SEED:
        echo(f"note: {spec.path} has no parameter {name}: all its runs are selected", sys.stderr)
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
    """Print the number and estimated duration of runs; return the waiting runs."""
    for stage in stages:
        failed = f", {len(stage.failed)} failed before (--retry runs them again)"
        console.print(
            f"{stage.spec.path}, profile {profile}: {len(stage.runs)} runs, "
            f"{len(stage.finished)} finished{failed if stage.failed else ''}, "
            f"{len(stage.waiting)} to do"
        )
    waiting = [run for stage in stages for run in stage.waiting]
    if waiting:
        seconds = _usual_seconds(run for stage in stages for run in stage.runs)
        estimate = "no run of this profile is finished, so there is no estimate of the time"
        if seconds is not None:
            estimate = f"about {_duration(seconds * len(waiting) / jobs)}"
        console.print(f"{len(waiting)} runs, {jobs} at a time: {estimate}")
    return waiting


def _run_stage(
    stage: Stage, environment: dict[str, str], jobs: int, cluster: str | None, console: Console
) -> list[PlannedRun]:
    """Run the waiting runs of a stage; return the failed runs."""
    if not stage.waiting:
        return []
    parts = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    columns = *parts, TimeElapsedColumn(), TextColumn("{task.fields[left]}")
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        total, took = len(stage.waiting), list[float]()
        task = progress.add_task(stage.spec.name, total=total, left="")

        def report(event: str, run: PlannedRun, seconds: float) -> None:
            if event == "started":
                progress.update(task, description=f"{stage.spec.name}: {run.name}")
                return
            took.append(seconds)
            rest = statistics.median(took) * (total - len(took)) / jobs
            left = f"about {_duration(rest)} left" if len(took) < total else ""
            progress.update(task, advance=1, left=left)
            where = "" if event == "finished" else f"; see {run.failure}"
            text = f"[{len(took)}/{total}] {run.run_dir}: {event} after {_duration(seconds)}{where}"
            console.print(text if console.is_terminal or not left else f"{text}, {left}")

        if cluster is not None:
            outcomes = run_on_cluster(stage.waiting, environment, cluster, report)
        else:
            outcomes = run_all(stage.waiting, environment, jobs=jobs, report=report)
    return [outcome.run for outcome in outcomes if not outcome.is_finished]


def _usual_seconds(runs: Iterable[PlannedRun]) -> float | None:
    """Return the median time of finished runs, also of outdated records; None without any."""
    seconds = []
    for run in runs:
        stored = read_records(run.records).get(run.name)
        try:
            record: RunResult | None = RunResult.read(run.result)
        except SpikeZooError:  # missing or damaged: the run is repeated
            record = stored.result if stored else None
        if record is not None:
            seconds.append(record.wall_seconds)
    return statistics.median(seconds) if seconds else None


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
