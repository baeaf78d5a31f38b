"""Planned runs of a sweep file, and checks of its commands, tables and profile."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import yaml

from spike_zoo.archive.joined import archive_files, open_archive
from spike_zoo.errors import ConfigError, MissingFileError, SpikeZooError, closest
from spike_zoo.formats.remote import is_address
from spike_zoo.tables.read import check_table
from spike_zoo.tables.sweeps.points import Point, expand_command
from spike_zoo.tables.sweeps.records import PlannedRun, run_name
from spike_zoo.tables.sweeps.spec import SweepSpec
from spike_zoo.training.configs import PROFILES, check_configs, known_profiles
from spike_zoo.training.planning import VERBS
from spike_zoo.training.problems import explain
from spike_zoo.training.provenance import leaves
from spike_zoo.training.stored import RECORDS_FILENAME
from spike_zoo.utils.files import how_to_make

if TYPE_CHECKING:
    from spike_zoo.tables.sweeps.line_reader import LineReader

_PARSING = (argparse.ArgumentError, argparse.ArgumentTypeError)


def planned_runs(
    spec: SweepSpec, points: Sequence[Point], environment: Mapping[str, str], reader: LineReader
) -> list[PlannedRun]:
    """Return the runs of a sweep, with configurations parsed as in the processes of the runs."""
    digests: dict[str, str | None] = {}
    runs: dict[Path, PlannedRun] = {}
    for point in points:
        run = _planned(reader, spec, point, environment, digests)
        if run.run_dir in runs:
            raise ConfigError(
                f"{spec.path}: {run.name} and {runs[run.run_dir].name} are the same run, "
                f"{run.run_dir}: a parameter has no effect, or --run_dir lacks {{hash}}"
            )
        runs[run.run_dir] = run
    return list(runs.values())


def check_commands(
    spec: SweepSpec, points: Sequence[Point], environment: Mapping[str, str]
) -> None:
    """Check the verbs and configuration files of a sweep's commands without loading torch."""
    for point in points:
        arguments = _verb(spec, expand_command(spec, point, environment))[1]
        try:
            check_configs(arguments)
        except (ConfigError, MissingFileError) as error:
            raise ConfigError.at(spec.path, error.message) from error


def _planned(
    reader: LineReader,
    spec: SweepSpec,
    point: Point,
    environment: Mapping[str, str],
    digests: dict[str, str | None],
) -> PlannedRun:
    command = expand_command(spec, point, environment)
    verb, arguments = _verb(spec, command)
    try:
        plan, run_dir, defaults = reader.read(verb, arguments)
    except SpikeZooError:
        raise
    except (*_PARSING, yaml.YAMLError, OSError, ValueError) as error:
        explained = explain(error, [verb, *arguments])
        if explained is None:
            raise
        raise ConfigError.at(spec.path, explained) from error
    if run_dir is None:
        raise ConfigError(
            f"{spec.path}: command: --run_dir must be given, as --run_dir=runs/{spec.name}/"
            "{profile}/{variant}-{seed}-{hash}"
        )
    folder = Path(plan.filled(run_dir))
    archive = plan.config.get("data", {}).get("init_args", {}).get("archive") or None
    if str(archive) not in digests:
        digests[str(archive)] = _data_sha256(archive)
    records = spec.path.parent / "results" / (plan.profile or "none") / RECORDS_FILENAME
    return PlannedRun(
        name=run_name(plan.variant, plan.seed, point),
        command=tuple(command),
        run_dir=folder,
        result=plan.result(folder),
        config=plan.config,
        defaults=defaults,
        config_hash=plan.config_hash,
        profile=plan.profile,
        records=records,
        archive=archive,
        data_sha256=digests[str(archive)],
        initial_weights=plan.initial_weights,
    )


def check_tables(spec: SweepSpec) -> list[Path]:
    """Check the tables in the folder of a sweep, and return the variants that are in no table."""
    configs = spec.parameters.get("config", {})
    variants = [Path(file) for file in configs.get("values", [configs.get("value")]) if file]
    tables = sorted(spec.path.parent.glob("table*.yaml"))
    unlisted = variants if tables else []
    for table in tables:
        unlisted = list(check_table(table, unlisted))
    return unlisted


def takes_profile(spec: SweepSpec) -> bool:
    """Return whether the commands of a sweep read one of ``configs/profiles``."""
    return any(f"{PROFILES.name}/${{envvar:PROFILE}}" in part for part in spec.command)


def check_profile(profile: str) -> None:
    """Check that a profile exists."""
    known = known_profiles()
    if profile not in known:
        raise MissingFileError(
            f"{PROFILES / profile}.yaml: there is no such profile.{closest(profile, known)} Known "
            f"are {', '.join(known)}"
        )


def _verb(spec: SweepSpec, command: Sequence[str]) -> tuple[str, list[str]]:
    for position, part in enumerate(command[:-1]):
        if Path(part).name in ("spike_zoo", "spike-zoo") and command[position + 1] in VERBS:
            return command[position + 1], list(command[position + 2 :])
    raise ConfigError(
        f"{spec.path}: command: expected '-m spike_zoo VERB' in it, VERB one of {', '.join(VERBS)}"
    )


def check_files(spec: SweepSpec, runs: Sequence[PlannedRun]) -> None:
    """Check that the archives of runs and their initial weights of experiments exist."""
    for path in (str(value) for run in runs for _, value in leaves(run.config.get("model"))):
        if (command := how_to_make(path)) and not Path(path).is_file():
            raise MissingFileError(
                f"{spec.path}: {path}: there are no such weights. {command}", path=path
            )
    for source in (run.archive for run in runs if run.archive is not None):
        try:
            files = archive_files(source)
            missing = [str(f) for f in files if not (is_address(f) or Path(f).exists())]
        except MissingFileError as error:  # a pattern without files
            missing = [str(error.path)]
        if missing:
            path = missing[0]
            raise MissingFileError(
                f"{spec.path}: {path}: there is no such archive. Make it with 'python -m "
                f"spike_zoo {spec.archives.get(path) or 'simulate'} --out {quote(path)}', or as "
                "docs/data.md states",
                path=path,
            )


def _data_sha256(source: str | list[str] | None) -> str | None:
    """Return the digest of an archive; None for a run without an archive or a missing one."""
    if source is None:
        return None
    try:
        with open_archive(source) as archive:
            return archive.data_sha256()
    except MissingFileError:
        return None
