"""Resumable jobs of the Makefile: ``python experiments/run.py JOB``.

YAML files describe the jobs: ``needs.yaml`` (archives, and other methods of a table),
``stages.yaml`` (training stages in order), ``recipes.yaml`` (shipped weights, and those that
experiments start from), ``demo.yaml``.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import os
import re
import shlex
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from subprocess import PIPE
from typing import Any, Final

import yaml

from spike_zoo.tables.sweeps.points import SEED, expand_command, only_points, points_of
from spike_zoo.tables.sweeps.records import run_name
from spike_zoo.tables.sweeps.spec import needed_first, read_needs, read_sweep
from spike_zoo.training.result import variant_and_profile
from spike_zoo.training.stored import RECORDS_FILENAME, read_records
from spike_zoo.utils.cores import usable_cores
from spike_zoo.utils.files import new_file

EXPERIMENTS: Final = Path("experiments")
DEMO: Final = EXPERIMENTS / "demo.yaml"
REPRODUCED: Final = "reproduce"
ZOO: Final = (sys.executable, "-m", "spike_zoo")
DEFAULT_ARCHIVE: Final = "data/scenes.h5"
TESTED: Final = "data/motion.h5"  # archive of the records of weights that modules train
SMOKE: Final = "smoke"  # profile of tiny runs
ONLY: Final = "seed_everything=0"  # the runs of that profile
SMOKE_OPTIONS: Final = ("--profile", SMOKE, "--only", ONLY, "--jobs", "0")
SECONDS_OF_A_SMOKE_RUN: Final = 10.0  # on one core; most of it is the start of Python and PyTorch
REDS: Final = "reds"  # table of one download, without a sweep
ALL: Final = "all"  # in place of the names of methods


class Jobs:
    """Commands of ``spike_zoo``, which are skipped if their output exists.

    Args:
        dry_run: Print the plan and the commands, and run nothing.
        simulate: Further options of ``simulate``.
    """

    def __init__(self, *, dry_run: bool = False, simulate: Sequence[str] = ()) -> None:
        self.dry_run, self.simulate = dry_run, tuple(simulate)
        self.fit_options: tuple[str, ...] = ()  # of the recipes of weights
        self.deadline: float | None = None
        self.done: set[str] = set()

    def call(self, *command: object) -> int:
        """Run a command and return its exit code; stop it at the deadline, so that it saves."""
        parts = [str(part) for part in command]
        print(shlex.join(parts), flush=True)
        if self.dry_run:
            return 0
        process = subprocess.Popen(parts)
        try:
            left = self.deadline and max(1.0, self.deadline - time.monotonic())
            return process.wait(left)
        except KeyboardInterrupt:  # the terminal has sent the signal to the command, too
            process.wait()
            raise
        except (SystemExit, subprocess.TimeoutExpired) as stopped:
            process.terminate()
            process.wait()
            if isinstance(stopped, SystemExit):
                raise
            sys.exit("the time is over: repeat the command to continue")

    def run(self, *command: object) -> None:
        """Run a command; exit with its code if it fails."""
        if code := self.call(*command):
            sys.exit(code)

    def file(self, path: str) -> None:
        """Make an archive, or weights that experiments start from, if the file does not exist."""
        if path not in self.done and not Path(path).is_file():
            if path in recipes("weights"):
                self.weights(path)
            else:
                command = command_of(path)
                if "small" in self.simulate:  # the size has numbers of scenes
                    command = re.sub(r" --(?:train|test) [1-9]\d+", "", command)
                self.run(*ZOO, *command.split(), *self.simulate, "--out", path)
        self.done.add(path)

    def weights(self, path: str) -> None:
        """Restore weights from the history of the repository; without it, run their recipe."""
        former = recipes("formerly").get(path, path)
        if commit := last_commit_with(former):
            print(f"git show {commit}:{former} > {path}", flush=True)
            if not self.dry_run:
                show = subprocess.run(
                    ["git", "show", f"{commit}:{former}"], check=True, stdout=PIPE
                )
                with new_file(Path(path), overwrite=True) as temporary:
                    temporary.write_bytes(with_current_names(show.stdout, recipes("renamed")))
            return
        command = recipes("weights")[path].split()
        for part in command:
            self.prepare(part)
        run_dir = Path("runs", "weights", path.replace("/", "-"))
        resume = ("--run_dir", run_dir, "--ckpt_path", "last")
        self.run(*ZOO, *command, *self.fit_options, *resume)
        self.run(*ZOO, "export", run_dir / "checkpoints" / "best.ckpt", path, "--half")

    def fit(self, config: str, run_dir: Path, *options: str) -> None:
        """Train a configuration, and before it the stages whose checkpoints it reads.

        A run resumes from the last checkpoint of ``run_dir`` if there is one.
        """
        if str(run_dir) in self.done:
            return
        self.done.add(str(run_dir))
        self.prepare(config)
        sources = [Path(config)]
        for method, stage in stages_read_by(config):
            earlier = Path("runs", method, stage)
            self.fit(stages_of(method)[stage], earlier, *options)
            sources.append(earlier / "result.json")
        if not is_current(run_dir / "result.json", *sources):
            resume = ("--ckpt_path", "last")
            self.run(*ZOO, "fit", "--config", config, "--run_dir", run_dir, *resume, *options)

    def prepare(self, config: str) -> None:
        """Make the archives and weights that a configuration reads, or the weights themselves."""
        for value in [config, *(values_of(load(config)) if config.endswith(".yaml") else ())]:
            if re.fullmatch(r"data/\S+\.h5", value) or value in recipes("weights"):
                self.file(value)

    def train(self, method: str, options: Sequence[str] = ()) -> None:
        """Train the stages of a method in order."""
        stages = stages_of(method)
        if not stages:
            sys.exit(f"{method}: no stages.yaml in {EXPERIMENTS / method}")
        for name, config in stages.items():
            self.fit(config, Path("runs", method, name), *options)
        for name in stages:
            run = Path("runs", method, name)
            print(f"{run}/result.json, images: {run}/images, weights: {run}/checkpoints/best.ckpt")
        print(f"usage: spike_zoo/methods/{method}/README.md")

    def reproduce(self, name: str, options: Sequence[str] = ()) -> None:
        """Train the recipe of shipped weights and compare the result with the committed record.

        A recipe is a configuration, or a module of this repository with its arguments.
        """
        records = recipes("records")
        if name not in records:
            sys.exit(f"NAME={name}: the shipped weights are {' '.join(records)}")
        recipe, run_dir = recipes("recipes")[name], Path("runs", REPRODUCED, name)
        if recipe.endswith(".yaml"):
            self.fit(recipe, run_dir, *options)
        else:
            self.run_module(name, recipe.split(), run_dir)
        self.run(sys.executable, "-m", "benchmarks.reproduced", records[name], run_dir)

    def run_module(self, name: str, recipe: Sequence[str], run_dir: Path) -> None:
        """Train weights by a module with its arguments, and test them on ``data/motion.h5``."""
        for path in (*recipe, TESTED):
            if path.endswith(".h5"):
                self.file(path)
        training = run_dir / "training"
        self.run(sys.executable, "-m", *recipe, "--out", training)
        weights = f"--model.init_args.weights={training}/{name}-0.safetensors"
        test = ("test", "--config", EXPERIMENTS / "robustness" / "variants" / f"{name}.yaml")
        self.run(*ZOO, *test, weights, f"--data.init_args.archive={TESTED}", "--run_dir", run_dir)

    def table(self, method: str, profile: str, options: Sequence[str] = ()) -> int:
        """Run the missing rows of a method's ablation and render its table; 1 if runs failed.

        The tables of other methods that ``needs.yaml`` names come first, except under the profile
        smoke, which runs the sweep that ``smoke.yaml`` lists for the method. Archives are simulated
        only for runs that are not finished. Those and the weights of the profile smoke are tiny,
        and are removed at the end.
        """
        if profile == SMOKE:
            self.make_tiny()
        needs = read_needs(of_profile(method, "needs", profile))
        others = needs.tables if profile != SMOKE else {}
        sized = SMOKE_OPTIONS if profile == SMOKE else ("--profile", profile)
        plans = []
        for name, why in [*others.items(), (method, "")]:
            reason = f", because {why}" if why else ""
            print(f"plan of the table of {name}, profile {profile}{reason}:", flush=True)
            file = sweep_of(name, profile)
            sweep = (*sized, *options, file)
            paths = self.planned(file, profile) if self.dry_run else needed_files(sweep)
            missing = [path for path in paths if not Path(path).is_file()]
            print(f"files to make: {', '.join(missing) or 'none'}", flush=True)
            plans.append((name, sweep, paths, missing))
        worst = 0
        try:
            for name, sweep, paths, _ in plans:
                for path in paths:
                    self.file(path)
                worst = max(worst, self.call(*ZOO, "sweep", *sweep))
                if worst > 1:
                    sys.exit(worst)
                self.run(*ZOO, "table", "--profile", profile, of_profile(name, "table", profile))
        finally:
            self.remove_tiny(path for plan in plans for path in plan[-1])
        return worst

    def planned(self, sweep: Path, profile: str) -> list[str]:
        """Print number and time of a sweep's runs, without loading PyTorch; return their files.

        Runs are finished if a record has their name; the sweep itself also compares settings.
        """
        runs = runs_without_record(sweep, profile)
        seconds = [usual_seconds(variant, profile) for variant, _ in runs]
        known = [value for value in seconds if value is not None]
        cores = usable_cores() if profile == SMOKE else 1
        estimate = ", no record of them has a time" if runs else ""
        if known:
            minutes = statistics.fmean(known) * len(runs) / cores / 60
            estimate = f", about {math.ceil(minutes)} min and the time of the files to make"
        print(f"{sweep}: {len(runs)} runs to do{estimate}", flush=True)
        return files_of([command for _, command in runs])

    def make_tiny(self) -> None:
        """Make archives and weights in the size of the profile smoke."""
        self.simulate = ("--size", "small")
        self.fit_options = ("--config", "configs/profiles/smoke.yaml")

    def remove_tiny(self, paths: Iterable[str]) -> None:
        """Remove archives and weights that were made for tiny runs."""
        for path in paths if self.fit_options and not self.dry_run else ():
            Path(path).unlink(missing_ok=True)

    def demo(self, options: Sequence[str] = ()) -> None:
        """Compare methods with a small network that it trains, and write a video and a page."""
        demo, runs = load(DEMO), Path("runs", "demo")
        (archive,) = demo["archives"]
        self.file(archive)
        for name, config in demo["test"].items():
            if not is_current(runs / name / "test" / "result.json", config, archive):
                data = f"--data.init_args.archive={archive}"
                self.run(*ZOO, "test", "--config", config, data, "--run_dir", runs / name)
        ((name, config),) = demo["fit"].items()
        # only the demo uses the fastest precision: in bfloat16 some stages did not learn
        self.fit(config, runs / name, "--trainer.precision", self.precision(), *options)
        scene, method = demo["show"]["scene"], demo["show"]["method"]
        video = runs / f"{scene}.mp4"
        if not is_current(video, archive):
            write = ("--method", method, "--stride", "2", "--out", video, "--overwrite")
            self.run(*ZOO, "reconstruct", archive, "--name", scene, *write)
        self.run(*ZOO, "report", runs, "--out", runs / "index.html", "--overwrite")

    def precision(self) -> str:
        """Return the fastest precision of this machine."""
        command = [*ZOO, "doctor", "--precision"]
        if self.dry_run:
            return f"$({shlex.join(command)})"
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def smoke_tables(self, *, every: bool) -> None:
        """Run tables of each kind or of every method with tiny runs; remove the files they need."""
        sweeps = [str(path) for path in smoke_sweeps(every=every)]
        os.environ["SMOKE_SWEEPS"] = " ".join(sweeps)
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        self.make_tiny()
        files = {path for sweep in sweeps for path in needed_files((*SMOKE_OPTIONS, sweep))}
        missing = [path for path in sorted(files) if not Path(path).is_file()]
        pytest = (sys.executable, "-m", "pytest", "-q")
        try:
            for path in missing:
                self.file(path)
            parallel = ("-W", "default", "-n", "auto", "--maxprocesses", "4")
            self.run(*pytest, *parallel, "tests/rendered/smoke_runs.py")
            for sweep in () if self.dry_run else sweeps:
                call_zoo("table", "--profile", "smoke", Path(sweep).with_name("table.yaml"))
            self.run(*pytest, "tests/rendered/smoke_tables.py")
        finally:
            self.remove_tiny(missing)

    def gpu(self, names: Sequence[str], minutes: float) -> None:
        """Measure on the GPU, then run ``sweep_gpu.yaml`` and the stages for some minutes.

        Runs of a sweep share the GPU, because small training steps wait for the launch of kernels.
        """
        sweeps = [EXPERIMENTS / name / "sweep_gpu.yaml" for name in names]
        sweeps = [sweep for sweep in sweeps if sweep.is_file()]
        staged = [name for name in names if stages_of(name)]
        if not sweeps and not staged:
            sys.exit(f"{' '.join(names)}: no sweep_gpu.yaml and no stages.yaml in {EXPERIMENTS}")
        for name in names:
            for path in read_needs(EXPERIMENTS / name / "needs.yaml").archives:
                self.file(path)
        report = Path("runs", "gpu.md")
        if not report.is_file():
            self.run(sys.executable, "-m", "benchmarks.report", "gpu", "--out", report)
        self.deadline = time.monotonic() + 60 * minutes
        for sweep in sweeps:
            jobs = max(min(usable_cores() // 4, 4), 1)
            self.run(*ZOO, "sweep", "--profile", "gpu", "--jobs", jobs, sweep)
        for name in staged:
            self.train(name, ["--config", "configs/profiles/gpu.yaml"])


def call_zoo(*command: object) -> None:
    """Run a command of ``spike_zoo`` in this process; exit with its code if it fails."""
    from spike_zoo.cli.main import main as zoo  # loads torch

    if code := zoo([*map(str, command)]):
        sys.exit(code)


def needed_files(sweep: Sequence[object]) -> list[str]:
    """Print the plan of a sweep, and return archives and weights of the runs that are missing."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        call_zoo("sweep", "--dry-run", *sweep)
    return files_of([*map(shlex.split, printed.getvalue().splitlines())])


def files_of(commands: Sequence[Sequence[str]]) -> list[str]:
    """Return the archives and the weights of experiments that commands read."""
    weights = {value for command in commands for value in options_of(command)} & {
        *recipes("weights")
    }
    return sorted({*filter(None, map(archive_of, commands)), *weights})


def runs_without_record(sweep: Path, profile: str) -> list[tuple[str, list[str]]]:
    """Return variant and command of the runs of a sweep, and of those it needs, without a record.

    Commands are expanded, but not parsed, which needs no PyTorch.
    """
    environment = {**os.environ, "PROFILE": profile}
    missing = []
    for spec in needed_first(read_sweep(sweep)):
        records = read_records(spec.path.parent / "results" / profile / RECORDS_FILENAME)
        for point in only_points(points_of(spec), *([ONLY] if profile == SMOKE else [])):
            command = expand_command(spec, point, environment)
            files = [part.partition("=")[2] for part in command if part.startswith("--config=")]
            variant, _ = variant_and_profile(files)
            if run_name(variant, point.get(SEED, 0), point) not in records:
                missing.append((variant, command))
    return missing


def usual_seconds(variant: str, profile: str) -> float | None:
    """Return the median time of a variant's committed records; None without a record."""
    if profile == SMOKE:
        return SECONDS_OF_A_SMOKE_RUN
    files = EXPERIMENTS.glob(f"*/results/{profile}/{RECORDS_FILENAME}")
    results = [stored.result for file in files for stored in read_records(file).values()]
    seconds = [result.wall_seconds for result in results if result.variant == variant]
    return statistics.median(seconds) if seconds else None


def options_of(command: Sequence[str]) -> Iterator[str]:
    """Yield the values of all options and configuration files of a command."""
    for option, _, value in (part.partition("=") for part in command):
        yield from values_of(load(value)) if option == "--config" else (value,)


def archive_of(command: Sequence[str]) -> str | None:
    """Return the archive that a command of a sweep reads: its last option decides."""
    archive = None
    for option, _, value in (part.partition("=") for part in command):
        if option == "--config":
            archive = load(value).get("data", {}).get("init_args", {}).get("archive", archive)
        elif option == "--data.init_args.archive":
            archive = value
    return archive


def load(path: str | Path) -> Any:  # noqa: ANN401  (any YAML value)
    """Read a YAML file; an empty mapping if it does not exist."""
    file = Path(path)
    return yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}


def methods() -> list[str]:
    """Return the methods that have an ablation."""
    return sorted(path.parent.name for path in EXPERIMENTS.glob("*/sweep.yaml"))


def smoke_sweeps(*, every: bool) -> list[Path]:
    """Return the sweeps that ``smoke.yaml`` lists, or those of every method."""
    if every:
        return [EXPERIMENTS / name / "sweep.yaml" for name in methods()]
    return [Path(path) for path in load(EXPERIMENTS / "smoke.yaml")]


def sweep_of(method: str, profile: str) -> Path:
    """Return the sweep of a method under a profile; that of ``smoke.yaml`` for tiny runs."""
    listed = smoke_sweeps(every=False) if profile == SMOKE else []
    own = [path for path in listed if path.parent.name == method]
    return own[0] if own else of_profile(method, "sweep", profile)


def last_commit_with(path: str) -> str:
    """Return the last commit that contains a file; an empty text without the history."""
    log = ("log", "-n", "1", "--diff-filter=AM", "--no-renames", "--format=%H", "--", path)
    return subprocess.run(["git", *log], capture_output=True, text=True).stdout.strip()


def with_current_names(content: bytes, renamed: Mapping[str, str]) -> bytes:
    """Return a safetensors file whose metadata has the present names of arguments.

    The digest of the weights does not change.
    """
    end = 8 + int.from_bytes(content[:8], "little")
    header = content[8:end].decode()
    for former, name in renamed.items():  # quoted twice: a text of JSON in JSON
        header = header.replace(f'\\"{former}\\"', f'\\"{name}\\"')
    encoded = header.encode()
    encoded = encoded.ljust(math.ceil(len(encoded) / 8) * 8)
    return len(encoded).to_bytes(8, "little") + encoded + content[end:]


def stages_of(method: str) -> dict[str, str]:
    """Return the training stages of a method, with their configurations."""
    stages: dict[str, str] = load(EXPERIMENTS / method / "stages.yaml").get("stages", {})
    return stages


def recipes(part: str) -> dict[str, str]:
    """Return a mapping such as ``recipes`` or ``weights``, merged over all files of recipes."""
    files = [load(path).get(part, {}) for path in sorted(EXPERIMENTS.glob("*/recipes.yaml"))]
    return {name: path for file in files for name, path in file.items()}


def stages_read_by(config: str) -> Iterator[tuple[str, str]]:
    """Yield method and stage of the checkpoints that a configuration reads."""
    for value in values_of(load(config)):
        if match := re.match(r"runs/([^/]+)/([^/]+)/checkpoints/", value):
            yield match[1], match[2]


def of_profile(method: str, kind: str, profile: str) -> Path:
    """Return the file of a profile, such as ``needs_long.yaml``, or else the general file."""
    special = EXPERIMENTS / method / f"{kind}_{profile}.yaml"
    return special if special.is_file() else EXPERIMENTS / method / f"{kind}.yaml"


def command_of(archive: str) -> str:
    """Return the command of ``spike_zoo`` that simulates an archive."""
    needs = [*EXPERIMENTS.glob("*/needs*.yaml"), *EXPERIMENTS.glob("*/recipes.yaml"), DEMO]
    for path in sorted(needs):
        if command := load(path).get("archives", {}).get(archive):
            return str(command)
    if archive == DEFAULT_ARCHIVE:
        return "simulate"
    sys.exit(f"{archive}: no {EXPERIMENTS}/*/needs.yaml contains its command")


def values_of(content: Any) -> Iterator[str]:  # noqa: ANN401  (any YAML value)
    """Yield all strings in a YAML value."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict | list):
        for value in content.values() if isinstance(content, dict) else content:
            yield from values_of(value)


def is_current(output: Path, *sources: str | Path) -> bool:
    """Return whether an output exists and is not older than its sources."""
    existing = [path for path in map(Path, sources) if path.is_file()]
    return output.is_file() and all(
        output.stat().st_mtime >= path.stat().st_mtime for path in existing
    )


def stop(*_: object) -> None:
    """Exit at SIGTERM, so that the running command is terminated and saves its work."""
    raise SystemExit(128 + signal.SIGTERM)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a job; unknown options are passed to ``fit`` or ``sweep``."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    jobs = "demo", "smoke-tables", "file", "train", "reproduce", "ablation-table", "gpu"
    parser.add_argument("job", choices=jobs)
    parser.add_argument("names", nargs="*", help="methods, weights, or archives and other files")
    parser.add_argument("--profile", default="cpu", help="of ablation-table")
    parser.add_argument("--all", action="store_true", help="of smoke-tables: every method")
    parser.add_argument("--minutes", type=float, default=9.0, help="of gpu")
    about = "print the plan and the commands, and write nothing"
    parser.add_argument("--dry-run", action="store_true", help=about)
    parsed, options = parser.parse_known_args(arguments)
    signal.signal(signal.SIGTERM, stop)
    work = Jobs(dry_run=parsed.dry_run, simulate=shlex.split(os.environ.get("SIMULATE", "")))
    names = parsed.names
    of_names: dict[str, Callable[[str], None]] = {
        "file": work.file,
        "train": partial(work.train, options=options),
        "reproduce": partial(work.reproduce, options=options),
    }
    if parsed.job in of_names and not names:
        parser.error(f"{parsed.job} needs a name")
    if parsed.job == "ablation-table":
        if names == [REDS]:
            return work.call(sys.executable, "-m", "experiments.reds", *options)
        known = methods()
        if not names or {*names} - {*known, ALL}:
            parser.error(f"METHOD must be one of {', '.join(known)}; METHOD={ALL} runs every table")
        listed = known if ALL in names else names
        return max(work.table(name, parsed.profile, options) for name in listed)
    if parsed.job == "gpu":
        work.gpu(names or methods(), parsed.minutes)
    elif parsed.job == "demo":
        work.demo(options)
    elif parsed.job == "smoke-tables":
        work.smoke_tables(every=parsed.all)
    else:
        for name in names:
            of_names[parsed.job](name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
