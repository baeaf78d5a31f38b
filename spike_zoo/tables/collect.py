"""Records of runs, wherever they are: folders on this machine or a W&B sweep."""

from __future__ import annotations

import csv
import statistics
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spike_zoo.errors import FormatError, MissingFileError, UsageError
from spike_zoo.tables.columns import plain_column
from spike_zoo.tables.configurations import configurations_of, known_recipes
from spike_zoo.tables.spec import DEFAULT_COLUMNS, Row, TableSpec
from spike_zoo.tracking.result import FILENAME, PER_IMAGE_FILENAME, RunResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from spike_zoo.tables.columns import Column

#: Folders that say how a run is made, not what it is.
_NOT_VARIANTS = {"profiles", "loggers"}


@dataclass(frozen=True)
class RecordedRun:
    """A record and the folder it lies in, with pictures and single images; None for W&B's.

    Attributes:
        result: The record.
        folder: Where it lies.
        place: Number of the place in which it was looked for.
    """

    result: RunResult
    folder: Path | None = None
    place: int = 0

    def value(self, column: Column) -> float | None:
        """Return what the run measured for a column, None where it did not.

        Raises:
            FormatError: If ``per_image.csv`` cannot be read.
        """
        if column.is_grouped:
            values = [
                image[column.metric]
                for image in self.images
                if column.metric in image and column.counts(image["name"], image["rate_scale"])
            ]
            return statistics.fmean(values) if values else None
        if column.key in self.result.metrics:
            return self.result.metrics[column.key]
        if column.cost is not None:
            job, number = column.cost
            value = getattr(self.result.costs.get(job), number, None)
        else:
            value = getattr(self.result, column.key, None)
        return float(value) if isinstance(value, int | float) else None

    @cached_property
    def images(self) -> list[dict[str, Any]]:
        """What was measured on single images: ``name``, ``rate_scale`` and the metrics."""
        path = None if self.folder is None else self.folder / PER_IMAGE_FILENAME
        if path is None or not path.is_file():
            return []
        with path.open(newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
        try:
            return [
                {
                    "name": line.pop("name"),
                    **{key: float(line[key]) for key in line.keys() - {"plane"}},
                }
                for line in lines
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(
                f"{path}: not what a test writes ({error})", path=str(path)
            ) from error

    @property
    def archive(self) -> str:
        """Name of the archive's file, empty where the record does not say."""
        data = self.result.config.get("data") or {}
        return Path(str((data.get("init_args") or {}).get("archive", ""))).name

    @property
    def is_trained(self) -> bool:
        """Whether seeds can change what it measures."""
        return self.result.parameters > 0

    def is_of(self, row: Row, archive: str | None) -> bool:
        """Tell whether it was made with a row's variant, on the archive asked for.

        Paths are compared from their ends, so that runs made in another folder are found.
        """
        if row.variant is None or row.variant.stem != self.result.variant:
            return False
        if archive is not None and self.archive != Path(archive).name:
            return False
        if row.runs and self.result not in row.runs:
            return False
        return len(self.variant.parts) == 1 or _same_end(self.variant, row.variant)

    @property
    def variant(self) -> Path:
        """The configuration it is named after; a bare name where the record does not list it."""
        stacked = [Path(config) for config in self.result.configs]
        named = [
            path
            for path in stacked
            if path.stem == self.result.variant and not _NOT_VARIANTS & {*path.parts[-3:-1]}
        ]
        return named[-1] if named else Path(self.result.variant)


def collect_runs(places: Iterable[str | Path]) -> list[RecordedRun]:
    """Read every ``result.json`` at or below some places, in the order of places and paths.

    A copy, as a sweep keeps one of each run, is the same run and counts once.

    Raises:
        MissingFileError: If a place does not exist or there is no result at all.
    """
    found: dict[bytes, RecordedRun] = {}
    listed = [Path(place) for place in places]
    for number, place in enumerate(listed):
        if not place.exists():
            raise MissingFileError(f"{place}: there is no such run or folder", path=str(place))
        files = [place] if place.is_file() else sorted(place.rglob(FILENAME))
        for file in files:
            run = RecordedRun(RunResult.read(file), file.parent, number)
            found.setdefault(file.read_bytes(), run)
    if not found:
        names = ", ".join(str(place) for place in listed) or "nowhere"
        raise MissingFileError(f"{names}: no {FILENAME} below; run fit or test first")
    return list(found.values())


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
    recipes = known_recipes(runs)
    rows: list[Row] = []
    for stem, variant in zip(stems, variants, strict=True):
        name = stem if stems.count(stem) == 1 else str(variant.with_suffix(""))
        found = configurations_of([run for run in runs if run.variant == variant], recipes)
        if len(found) == 1:
            rows.append(Row(name, variant))
            continue
        for number, one in enumerate(found, 1):
            home = one.runs[0].folder
            place = f"{name} ({home if home is not None else number})"
            rows.append(Row(place, variant, runs=tuple(run.result for run in one.runs)))
    known = [plain_column(key) for key in DEFAULT_COLUMNS]
    columns = [column for column in known if any(run.value(column) is not None for run in runs)]
    return TableSpec(title, tuple(columns), tuple(rows))


def _same_end(first: Path, second: Path) -> bool:
    """Tell whether the last parts of two paths are equal, three at most."""
    pairs = zip(reversed(_plain(first).parts), reversed(_plain(second).parts), strict=False)
    return all(one == other for one, other in list(pairs)[:3])


def _plain(path: Path) -> Path:
    """Return a path without ``..``; a relative one stays relative where it can."""
    return path.resolve() if ".." in path.parts else path
