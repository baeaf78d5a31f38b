"""What stands around a table: warnings that rows differ in more than their variant, and sources."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from spike_zoo.tables.images import differing_images
from spike_zoo.tables.splits import has_seen_its_test
from spike_zoo.tracking.provenance import computed_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from spike_zoo.tables.collect import Run
    from spike_zoo.tables.spec import TableSpec

    NamedRuns = Sequence[tuple[str, Sequence[Run]]]


def warnings_of(spec: TableSpec, rows: NamedRuns) -> Iterator[str]:
    """Yield why the rows of a table cannot simply be compared."""
    data = _grouped(rows, lambda run: _short(run.result.data_sha256))
    profiles = _grouped(rows, lambda run: run.result.profile or "none")
    if spec.one_data and len(data) > 1:
        yield f"The rows were measured on different data and cannot be compared: {_listed(data)}."
    for images in differing_images(rows):
        yield (
            "The rows were measured on different images of the same data and cannot be compared: "
            f"{_listed(images)}."
        )
    if len(profiles) > 1:
        yield (
            f"The rows mix profiles and cannot be compared: {_listed(profiles)}. "
            "--profile takes the runs of one."
        )
    seen = [name for name, runs in rows if any(map(has_seen_its_test, runs))]
    if seen:
        yield f"Tested on the very scenes that they were trained on: {_few(seen)}."
    for name, runs in rows:
        if len({_configuration(run) for run in runs}) > 1:
            yield f"The runs of {name} differ in more than their seed: no noise, this deviation."


def notes_of(spec: TableSpec, rows: NamedRuns, repeats: int) -> Iterator[str]:
    """Yield where the numbers of a table come from, and how to make them again."""
    runs = [run for _, taken in rows for run in taken]
    if spec.note:
        yield spec.note
    yield from _sources(spec)
    if not runs:
        yield "Nothing ran yet."
    else:
        yield _counted(rows)
        yield from _origins(spec, rows, runs)
    if repeats:
        yield f"Left out: {repeats} runs that repeat a seed; the first found counts."
    if any(column.is_grouped for column in spec.columns):
        without = sum(not run.images for run in runs)
        if without:
            yield f"{without} runs kept no per_image.csv: n/a in columns of chosen scenes."
    yield from _again(spec, runs)


def _sources(spec: TableSpec) -> Iterator[str]:
    if spec.source and any(row.published and not row.source for row in spec.rows):
        yield f"[ ] published: {spec.source}."
    named: dict[str, list[str]] = {}
    for row in spec.rows:
        if row.source and row.published:
            named.setdefault(row.source, []).append(row.name)
    for source, names in named.items():
        yield f"[ ] published for {' / '.join(names)}: {source}."


def _counted(rows: NamedRuns) -> str:
    """Say over how many seeds the means go."""
    counts = {len(runs) for _, runs in rows if runs}
    seeds = sorted({str(run.result.seed) for _, runs in rows for run in runs})
    named = f"Seeds: {', '.join(seeds)}."
    if counts == {1}:
        return f"One run a row (n = 1), so no deviation. {named}"
    each = f"n = {counts.pop()}" if len(counts) == 1 else "n in the table"
    return f"Mean ± standard deviation over seeds, {each}. {named}"


def _origins(spec: TableSpec, rows: NamedRuns, runs: Sequence[Run]) -> Iterator[str]:
    data = _grouped(
        rows, lambda run: f"{run.archive or 'archive'} {_short(run.result.data_sha256)}"
    )
    yield f"Data: {_listed(data) if len(data) > 1 else next(iter(data))}."
    yield f"Profile: {', '.join(sorted({run.result.profile or 'none' for run in runs}))}."
    sizes = {run.result.image_size for run in runs if run.result.image_size}
    if any(column.key in ("macs", "seconds_per_image") for column in spec.columns) and sizes:
        shown = ", ".join(f"{height} x {width}" for height, width in sorted(sizes))
        yield f"Cost of one image of {shown} pixels."
    commits = _grouped(rows, lambda run: run.result.commit or "unknown")
    several = " (the rows were made with different commits)" if len(commits) > 1 else ""
    yield f"Code: {', '.join(commits)}{several}."


def _again(spec: TableSpec, runs: Sequence[Run]) -> Iterator[str]:
    """Yield the command that makes the results again."""
    profiles = sorted({run.result.profile for run in runs if run.result.profile})
    profile = profiles[0] if profiles else "cpu"
    if spec.command:
        yield f"Again: {spec.command.format(profile=profile)}"
    elif runs:
        result = runs[0].result
        verb = "fit" if result.parameters else "test"
        configs = " ".join(f"--config {config}" for config in result.configs)
        command = f"python -m spike_zoo {verb} {configs} --seed_everything {result.seed}"
        yield f"Again, first run: {command}"


def _grouped(rows: NamedRuns, key: Callable[[Run], str]) -> dict[str, list[str]]:
    """Return which rows have which value."""
    found: dict[str, list[str]] = {}
    for name, runs in rows:
        for run in runs:
            names = found.setdefault(key(run), [])
            if name not in names:
                names.append(name)
    return found


def _listed(groups: dict[str, list[str]]) -> str:
    return "; ".join(f"{value} ({_few(names)})" for value, names in groups.items())


def _few(names: Iterable[str], most: int = 4) -> str:
    listed = list(names)
    rest = f" and {len(listed) - most} more" if len(listed) > most else ""
    return f"{' / '.join(listed[:most])}{rest}"


def _configuration(run: Run) -> str:
    """Return what a run computes but for its seed, which also names the runs it begins with."""
    config = computed_part(run.result.config)
    config.pop("seed_everything", None)
    text = json.dumps(config, sort_keys=True)
    return re.sub(rf"-{run.result.seed}-[0-9a-f]{{8}}/", "-/", text)


def _short(digest: str | None) -> str:
    return (digest or "unknown")[:12]
