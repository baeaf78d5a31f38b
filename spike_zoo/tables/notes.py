"""Warnings about incomparable rows, and notes on the sources and runs of a table."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from spike_zoo.tables.runs import RecordedRun
from spike_zoo.tables.spec import TableSpec
from spike_zoo.utils.files import shipped_weights

RunsByRow = Mapping[str, Sequence[RecordedRun]]

CONFIG_FILENAME = "config.yaml"  # in the folder of a run
_COMMIT = re.compile(r"[0-9a-f]+")
_MAX_NAMES = 4  # rows that a note lists


def warnings_of(spec: TableSpec, runs: RunsByRow) -> Iterator[str]:
    """Yield the reasons why the rows of a table, with their runs, cannot be compared."""
    for what, groups in differences_of(spec, runs):
        yield f"The rows were {what} and cannot be compared: {groups}."
    leaked = _rows_by(
        runs, lambda run: run.train_split is not None and run.train_split == run.test_split
    )
    if True in leaked:
        yield f"Tested on the scenes of their training: {_few(leaked[True])}."


def differences_of(
    spec: TableSpec, runs: RunsByRow, *, of_claim: bool = False
) -> Iterator[tuple[str, str]]:
    """Yield what differs between the runs of rows that should be equal, and the groups of rows.

    Rows that a claim compares (``of_claim``) must have the same test images also in tables of
    several data.
    """
    states = _rows_by(runs, lambda run: run.unfinished)
    if states.keys() - {""}:
        lost = {state: names for state, names in states.items() if state}
        yield "made by runs of which some did not finish", _listed(lost)
    data = _rows_by(runs, lambda run: _short(run.result.data_sha256))
    if spec.one_data and len(data) > 1:
        yield "measured on different data", _listed(data)
    for images in _differing_images(runs, by_data=not of_claim):
        yield "measured on different images", _listed(images)
    profiles = _rows_by(runs, lambda run: run.result.profile or "none")
    if len(profiles) > 1:
        yield (
            "made under different profiles",
            f"{_listed(profiles)}; --profile takes the runs of one",
        )


def notes_of(spec: TableSpec, runs: RunsByRow, repeats: int, others: RunsByRow) -> Iterator[str]:
    """Yield notes on the origin of a table's numbers, and the command that reproduces them.

    ``repeats`` counts the excluded runs that repeat a seed; ``others`` are the runs of a row's
    variant with another configuration.
    """
    all_runs = [run for row_runs in runs.values() for run in row_runs]
    if spec.note:
        yield spec.note
    yield from _sources(spec)
    if all_runs:
        yield _counted(runs)
        yield from _origins(spec, runs, all_runs)
    else:
        yield "No runs yet."
    if repeats:
        yield f"Excluded: {repeats} runs that repeat a seed; the first one counts."
    for name, excluded in others.items():
        if excluded:
            origins = _few(run.source or run.result.config_hash for run in excluded)
            yield (
                f"Excluded: {len(excluded)} runs of {name} with another configuration than the "
                f"row's ({origins})."
            )
    missing = sum(not run.images for run in all_runs)
    if missing and any(column.is_grouped for column in spec.columns):
        yield f"{missing} runs have no per_image.csv: n/a in columns of selected scenes."
    if spec.command:
        profiles = sorted({run.result.profile for run in all_runs if run.result.profile})
        yield f"To reproduce: {spec.command.replace('{profile}', (*profiles, 'cpu')[0])}"
    elif all_runs:
        yield f"To reproduce the first run: python -m spike_zoo {_arguments_of(all_runs[0])}"


def _sources(spec: TableSpec) -> Iterator[str]:
    if spec.source and any(row.published or row.curves for row in spec.rows):
        yield f"[ ] published: {spec.source}."
    columns = defaultdict[str, dict[str, None]](dict)
    for column in spec.published_columns:
        columns[column.source][f"[{column.name}]"] = None
    yield from (f"{' '.join(names)} published: {source}." for source, names in columns.items())


def _counted(runs: RunsByRow) -> str:
    """Return the number of seeds behind the means."""
    counts = {len(row_runs) for row_runs in runs.values() if row_runs}
    seeds = sorted({str(run.result.seed) for row_runs in runs.values() for run in row_runs})
    text = f"Seeds: {', '.join(seeds)}."
    if counts == {1}:
        return f"One run a row (n = 1), so no deviation. {text}"
    each = f"n = {counts.pop()}" if len(counts) == 1 else "n in the table"
    return f"Mean ± standard deviation over seeds, {each}. {text}"


def _origins(spec: TableSpec, runs: RunsByRow, all_runs: Sequence[RecordedRun]) -> Iterator[str]:
    def archive(run: RecordedRun) -> str:
        return f"{run.result.archive or 'archive'} {_short(run.result.data_sha256)}"

    data = _rows_by(runs, archive)
    yield f"Data: {_listed(data) if len(data) > 1 else next(iter(data))}."
    yield f"Weights: {_listed(_rows_by(runs, _weights))}."
    yield f"Profile: {', '.join(sorted({run.result.profile or 'none' for run in all_runs}))}."
    costs = [column.cost for column in spec.columns if column.cost is not None]
    jobs = {job for job, number in costs if number != "macs_per_pixel"}
    sizes = {cost.size for run in all_runs for job, cost in run.result.costs.items() if job in jobs}
    if known := sorted(filter(None, sizes)):
        size_text = ", ".join(f"{height} x {width}" for height, width in known)
        yield f"Cost of one image of {size_text} pixels."
    commits = _rows_by(runs, lambda run: run.result.commit or "no commit")
    several = " (the rows were made with different commits)" if len(commits) > 1 else ""
    yield f"Code: {', '.join(commits)}{several}."
    unknown = [name for name in commits if not _COMMIT.fullmatch(name)]
    if unknown:
        rows = dict.fromkeys(row for name in unknown for row in commits[name])
        yield f"**Code state unknown**: {_few(rows)} ({', '.join(unknown)})."


def _weights(run: RecordedRun) -> str:
    """Return the origin of the weights of a run."""
    if not run.is_trained:
        return "none"
    if run.train_split is not None:
        return "trained by the runs"
    names = [
        f"{Path(value).stem}, as shipped" if Path(value).stem in shipped_weights() else value
        for value in run.weights
    ]
    return " and ".join(dict.fromkeys(names)) or "in the configuration"


def _arguments_of(run: RecordedRun) -> str:
    """Return the arguments that repeat a run, with its saved configuration if the file exists."""
    result = run.result
    is_test = not result.parameters or "verbose" in result.config  # fit has no argument verbose
    verb = "test" if is_test else "fit"
    saved = None if run.folder is None else run.folder / CONFIG_FILENAME
    if saved is None or not saved.is_file():
        configs = " ".join(f"--config {quote(config)}" for config in result.configs)
        return f"{verb} {configs} --seed_everything {result.seed}"
    weights = f" --ckpt_path {quote(result.checkpoint)}" if is_test and result.checkpoint else ""
    return f"{verb} --config {quote(str(saved))}{weights} --run_dir NEW"


def _differing_images(runs: RunsByRow, *, by_data: bool) -> Iterator[dict[str, list[str]]]:
    """Yield test images -> names of rows, for each archive with differing test images.

    Without ``by_data`` the images of all archives must be the same.
    """

    def images(run: RecordedRun) -> tuple[str | None, int | None, str | None]:
        archive = run.result.data_sha256 if by_data else None
        return archive, run.result.images, run.result.images_sha256

    by_archive = defaultdict[str | None, dict[tuple[int, str], list[str]]](dict)
    for (archive, count, digest), names in _rows_by(runs, images).items():
        if count is not None and digest is not None:
            by_archive[archive][count, digest] = names
    for groups in by_archive.values():
        if len(groups) > 1:
            counts = [count for count, _ in groups]
            yield {
                f"{count}" if counts.count(count) == 1 else f"{count}, {digest[:6]}": names
                for (count, digest), names in groups.items()
            }


def _rows_by(runs: RunsByRow, key: Callable[[RecordedRun], Any]) -> dict[Any, list[str]]:
    """Group the names of rows by a value of their runs."""
    groups = defaultdict[Any, dict[str, None]](dict)
    for name, row_runs in runs.items():
        for run in row_runs:
            groups[key(run)][name] = None
    return {value: list(names) for value, names in groups.items()}


def _listed(groups: dict[str, list[str]]) -> str:
    return "; ".join(f"{value} ({_few(names)})" for value, names in groups.items())


def _few(names: Iterable[str]) -> str:
    items = list(names)
    rest = f" and {len(items) - _MAX_NAMES} more" if len(items) > _MAX_NAMES else ""
    return f"{' / '.join(items[:_MAX_NAMES])}{rest}"


def _short(digest: str | None) -> str:
    return (digest or "unknown")[:12]
