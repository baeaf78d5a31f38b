"""Records of runs, wherever they are: folders on this machine or a W&B sweep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spike_zoo.errors import FormatError, MissingFileError, UsageError
from spike_zoo.files import entries_below
from spike_zoo.records.result import FILENAME, RunResult
from spike_zoo.records.stored import RECORDS_FILENAME, StoredRecord, read_records
from spike_zoo.tables.columns import plain_column
from spike_zoo.tables.configurations import configurations_of
from spike_zoo.tables.recorded import RecordedRun
from spike_zoo.tables.spec import DEFAULT_COLUMNS, CurveSpec, Row, TableSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

FURTHER = ("test/accuracy", "test/f1", "test/bpp")  # shown where runs have them
OF_RATES = "rate_distortion/"  # names of curves begin with it: what stands beside bits


def collect_runs(places: Iterable[str | Path]) -> list[RecordedRun]:
    """Read every ``result.json`` and ``records.jsonl`` at or below some places, in their order.

    A run that is also stored beside its sweep counts once.

    Raises:
        MissingFileError: If a place does not exist or there is no result at all.
    """
    found: dict[str, RecordedRun] = {}
    listed = [Path(place) for place in places]
    for number, place in enumerate(listed):
        if not place.exists():
            raise MissingFileError(f"{place}: there is no such run or folder", path=str(place))
        files = [place] if place.is_file() else entries_below(place)
        for file in files:
            for run in _runs_in(file, number):
                found.setdefault(json.dumps(run.result.content(), sort_keys=True), run)
    if not found:
        names = ", ".join(str(place) for place in listed) or "nowhere"
        raise MissingFileError(f"{names}: no {FILENAME} below; run fit or test first")
    return list(found.values())


def _runs_in(file: Path, place: int) -> Iterator[RecordedRun]:
    if file.name == RECORDS_FILENAME:
        for name, stored in read_records(file).items():
            yield RecordedRun(stored.result, None, place, stored.images, f"{file}: {name}")
    elif file.name == FILENAME:
        stored = StoredRecord.of_run(file.parent)
        yield RecordedRun(stored.result, file.parent, place, stored.images, str(file.parent))


def runs_of_sweep(path: str, api: Any = None) -> list[RecordedRun]:  # noqa: ANN401  (wandb has no hints)
    """Read the finished runs of a W&B sweep.

    Args:
        path: ``entity/project/sweep``.
        api: What stands for ``wandb.Api()``.

    Raises:
        UsageError: If the path has another form.
        MissingFileError: If no run of the sweep has finished.
        FormatError: If a finished run's summary is not what this package writes.
    """
    if len([part for part in path.split("/") if part]) != 3:
        raise UsageError(f"--sweep {path}: give entity/project/sweep, as W&B's page shows it")
    if api is None:
        import wandb

        api = wandb.Api()
    finished = [run for run in api.sweep(path).runs if run.state == "finished"]
    if not finished:
        raise MissingFileError(f"{path}: no run of this sweep has finished")
    runs = []
    for run in finished:
        try:
            runs.append(
                RecordedRun(RunResult.from_summary(dict(run.summary), getattr(run, "config", None)))
            )
        except FormatError as error:
            raise FormatError(f"{path}, run {run.name}: {error.message}") from error
    return runs


def table_of_runs(runs: Sequence[RecordedRun], title: str = "Results") -> TableSpec:
    """Return a table with a row for each variant among runs, and each configuration of it."""
    variants = list(dict.fromkeys(run.variant for run in runs))
    stems = [variant.stem for variant in variants]
    rows: list[Row] = []
    for stem, variant in zip(stems, variants, strict=True):
        name = stem if stems.count(stem) == 1 else str(variant.with_suffix(""))
        found = configurations_of([run for run in runs if run.variant == variant])
        if len(found) == 1:
            rows.append(Row(name, variant))
            continue
        for number, one in enumerate(found, 1):
            place = f"{name} ({one.runs[0].source or number})"
            rows.append(Row(place, variant, runs=tuple(run.result for run in one.runs)))
    known = [plain_column(key) for key in (*DEFAULT_COLUMNS, *FURTHER)]
    shown = [column for column in known if any(run.value(column) is not None for run in runs)]
    columns = sorted(shown, key=lambda column: column.is_cost)
    return TableSpec(title, tuple(columns), tuple(rows), curves=tuple(_curves_of(runs)))


def _curves_of(runs: Iterable[RecordedRun]) -> Iterator[CurveSpec]:
    """Yield a drawing for each curve of quality against bits that runs have."""
    for name in dict.fromkeys(name for run in runs for name in run.result.curves):
        if name.startswith(OF_RATES):
            metric = name.removeprefix(OF_RATES)
            heading = plain_column(f"test/{metric}").heading
            yield CurveSpec(name, "bpp", heading, is_logarithmic=True)
