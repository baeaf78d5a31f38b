"""Warnings about incomparable rows, and notes on the sources and runs of a table."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from spike_zoo.files import shipped_weights
from spike_zoo.records.provenance import leaves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from spike_zoo.tables.runs import RecordedRun
    from spike_zoo.tables.spec import TableSpec

    NamedRuns = Sequence[tuple[str, Sequence[RecordedRun]]]

CONFIG_FILENAME = "config.yaml"  # in the folder of a run
_MOST_NAMES = 4  # rows that a note lists


def warnings_of(spec: TableSpec, rows: NamedRuns) -> Iterator[str]:
    """Yield the reasons why the rows of a table cannot be compared."""
    data = _grouped(rows, lambda run: _short(run.result.data_sha256))
    profiles = _grouped(rows, lambda run: run.result.profile or "none")
    if spec.one_data and len(data) > 1:
        yield f"The rows were measured on different data and cannot be compared: {_listed(data)}."
    for images in _differing_images(rows):
        yield (
            "The rows were measured on different images of the same data and cannot be compared: "
            f"{_listed(images)}."
        )
    if len(profiles) > 1:
        yield (
            f"The rows mix profiles and cannot be compared: {_listed(profiles)}. "
            "--profile takes the runs of one."
        )
    leaked = [
        name
        for name, runs in rows
        if any(run.train_split is not None and run.train_split == run.test_split for run in runs)
    ]
    if leaked:
        yield f"Tested on the scenes of their training: {_few(leaked)}."


def notes_of(
    spec: TableSpec, rows: NamedRuns, repeats: int, others: Mapping[str, Sequence[RecordedRun]]
) -> Iterator[str]:
    """Yield notes on the origin of a table's numbers, and the command that reproduces them.

    Args:
        spec: The table.
        rows: Names of rows and their runs.
        repeats: Number of runs that were excluded because they repeat a seed.
        others: Name of a row -> runs of its variant with another configuration.
    """
    runs = [run for _, row_runs in rows for run in row_runs]
    if spec.note:
        yield spec.note
    yield from _sources(spec)
    if not runs:
        yield "No runs yet."
    else:
        yield _counted(rows)
        yield from _origins(spec, rows, runs)
    if repeats:
        yield f"Excluded: {repeats} runs that repeat a seed; the first one counts."
    for name, excluded in others.items():
        if excluded:
            origins = [run.source or run.result.config_hash for run in excluded]
            yield (
                f"Excluded: {len(excluded)} runs of {name} with another configuration than the "
                f"row's ({_few(origins)})."
            )
    if any(column.is_grouped for column in spec.columns):
        missing = sum(not run.images for run in runs)
        if missing:
            yield f"{missing} runs have no per_image.csv: n/a in columns of selected scenes."
    yield from _command(spec, runs)


def _sources(spec: TableSpec) -> Iterator[str]:
    if spec.source and any(row.published and not row.source for row in spec.rows):
        yield f"[ ] published: {spec.source}."
    rows_by_source: dict[str, list[str]] = {}
    for row in spec.rows:
        if row.source and row.published:
            rows_by_source.setdefault(row.source, []).append(row.name)
    for source, names in rows_by_source.items():
        yield f"[ ] published for {' / '.join(names)}: {source}."
    columns: dict[str, list[str]] = {}
    for column in spec.published_columns:
        columns.setdefault(column.source, []).append(f"[{column.name}]")
    for source, names in columns.items():
        yield f"{' '.join(names)} published: {source}."


def _counted(rows: NamedRuns) -> str:
    """Return the number of seeds behind the means."""
    counts = {len(runs) for _, runs in rows if runs}
    seeds = sorted({str(run.result.seed) for _, runs in rows for run in runs})
    text = f"Seeds: {', '.join(seeds)}."
    if counts == {1}:
        return f"One run a row (n = 1), so no deviation. {text}"
    each = f"n = {counts.pop()}" if len(counts) == 1 else "n in the table"
    return f"Mean ± standard deviation over seeds, {each}. {text}"


def _origins(spec: TableSpec, rows: NamedRuns, runs: Sequence[RecordedRun]) -> Iterator[str]:
    data = _grouped(
        rows, lambda run: f"{run.archive or 'archive'} {_short(run.result.data_sha256)}"
    )
    yield f"Data: {_listed(data) if len(data) > 1 else next(iter(data))}."
    yield f"Weights: {_listed(_grouped(rows, _weights))}."
    yield f"Profile: {', '.join(sorted({run.result.profile or 'none' for run in runs}))}."
    costs_in_table = [column.cost for column in spec.columns if column.cost is not None]
    jobs = {job for job, number in costs_in_table if number != "macs_per_pixel"}
    costs = [run.result.costs[job] for run in runs for job in jobs & run.result.costs.keys()]
    sizes = {cost.size for cost in costs if cost.size is not None}
    if sizes:
        size_text = ", ".join(f"{height} x {width}" for height, width in sorted(sizes))
        yield f"Cost of one image of {size_text} pixels."
    commits = _grouped(rows, lambda run: run.result.commit or "unknown")
    several = " (the rows were made with different commits)" if len(commits) > 1 else ""
    yield f"Code: {', '.join(commits)}{several}."


def _weights(run: RecordedRun) -> str:
    """Return the origin of the weights of a run."""
    if not run.is_trained:
        return "none"
    if run.train_split is not None:
        return "trained by the runs"
    arguments = (run.result.config.get("model") or {}).get("init_args") or {}
    values = [value for _, value in leaves(arguments)]
    named = {value: Path(value) for value in [run.result.checkpoint, *values] if _is_weights(value)}
    names = [
        f"{path.stem}, as shipped" if path.stem in shipped_weights() else value
        for value, path in named.items()
    ]
    return " and ".join(dict.fromkeys(names)) or "in the configuration"


def _is_weights(value: object) -> bool:
    return isinstance(value, str) and (
        value.endswith((".safetensors", ".ckpt")) or value in shipped_weights()
    )


def _command(spec: TableSpec, runs: Sequence[RecordedRun]) -> Iterator[str]:
    """Yield the command that reproduces the results."""
    profiles = sorted({run.result.profile for run in runs if run.result.profile})
    profile = profiles[0] if profiles else "cpu"
    if spec.command:
        yield f"To reproduce: {spec.command.format(profile=profile)}"
    elif runs:
        yield f"To reproduce the first run: python -m spike_zoo {_arguments_of(runs[0])}"


def _arguments_of(run: RecordedRun) -> str:
    """Return the arguments that repeat a run, with its saved configuration if the file exists."""
    result = run.result
    is_test = not result.parameters or "verbose" in result.config  # fit has no argument verbose
    verb = "test" if is_test else "fit"
    saved = None if run.folder is None else run.folder / CONFIG_FILENAME
    if saved is None or not saved.is_file():
        configs = " ".join(f"--config {config}" for config in result.configs)
        return f"{verb} {configs} --seed_everything {result.seed}"
    weights = f" --ckpt_path {quote(result.checkpoint)}" if is_test and result.checkpoint else ""
    return f"{verb} --config {quote(str(saved))}{weights} --run_dir NEW"


def _differing_images(rows: NamedRuns) -> Iterator[dict[str, list[str]]]:
    """Yield names of rows by test images, for each archive with differing test images."""
    by_archive: dict[str | None, dict[tuple[int, str], list[str]]] = {}
    for name, runs in rows:
        for run in runs:
            count, digest = run.result.images, run.result.images_sha256
            if count is not None and digest is not None:
                groups = by_archive.setdefault(run.result.data_sha256, {})
                names = groups.setdefault((count, digest), [])
                names += [] if name in names else [name]
    for groups in by_archive.values():
        if len(groups) > 1:
            counts = [count for count, _ in groups]
            yield {
                f"{count}" if counts.count(count) == 1 else f"{count}, {digest[:6]}": names
                for (count, digest), names in groups.items()
            }


def _grouped(rows: NamedRuns, key: Callable[[RecordedRun], str]) -> dict[str, list[str]]:
    """Group the names of rows by a value of their runs."""
    groups: dict[str, list[str]] = {}
    for name, runs in rows:
        for run in runs:
            names = groups.setdefault(key(run), [])
            if name not in names:
                names.append(name)
    return groups


def _listed(groups: dict[str, list[str]]) -> str:
    return "; ".join(f"{value} ({_few(names)})" for value, names in groups.items())


def _few(names: Iterable[str]) -> str:
    listed = list(names)
    rest = f" and {len(listed) - _MOST_NAMES} more" if len(listed) > _MOST_NAMES else ""
    return f"{' / '.join(listed[:_MOST_NAMES])}{rest}"


def _short(digest: str | None) -> str:
    return (digest or "unknown")[:12]
