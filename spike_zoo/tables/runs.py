"""Records of runs, from folders of this machine or a W&B sweep, and how runs belong together."""

from __future__ import annotations

import json
import re
import statistics
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spike_zoo.errors import FormatError, MissingFileError, UsageError
from spike_zoo.files import entries_below
from spike_zoo.records.initial_weights import recipe
from spike_zoo.records.provenance import INCIDENTAL_KEYS, argument_defaults
from spike_zoo.records.result import FILENAME, RunResult
from spike_zoo.records.stored import RECORDS_FILENAME, StoredRecord, read_records
from spike_zoo.tables.columns import plain_column
from spike_zoo.tables.spec import DEFAULT_COLUMNS, CurveSpec, Row, TableSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from spike_zoo.records.stored import ImageMetrics
    from spike_zoo.tables.columns import Column
    from spike_zoo.tables.spec import Curve

FURTHER_COLUMNS = ("test/accuracy", "test/f1", "test/bpp")  # if runs have them
RATE_CURVES = "rate_distortion/"  # prefix of the names of rate-distortion curves
_NOT_VARIANTS = {"profiles", "loggers"}  # folders of configurations that name no variant
_PACKAGE = "spike_zoo."  # no other package is imported for a record


@dataclass(frozen=True)
class RecordedRun:
    """A record and its origin.

    Attributes:
        result: The record.
        folder: The run's folder, with pictures; None for stored records and W&B.
        place: Index of the folder in the list that was searched.
        images: For each test image ``name``, ``plane``, ``rate_scale`` and the metrics.
        source: Name of the origin in notes.
    """

    result: RunResult
    folder: Path | None = None
    place: int = 0
    images: ImageMetrics = ()
    source: str = ""

    def value(self, column: Column) -> float | None:
        """Return the run's value of a column, None without one."""
        if column.is_grouped:
            values = [
                image[column.measure]
                for image in self.images
                if image.get(column.measure) is not None
                and column.counts(image["name"], image["rate_scale"])
            ]
            return statistics.fmean(values) if values else None
        if column.metric in self.result.metrics:
            return self.result.metrics[column.metric]
        if column.cost is not None:
            job, number = column.cost
            value = getattr(self.result.costs.get(job), number, None)
        else:
            value = getattr(self.result, column.metric, None)
        return float(value) if isinstance(value, int | float) else None

    def curve(self, spec: CurveSpec) -> Curve:
        """Return the run's points of a curve, empty without any."""
        if spec.condition is None:
            return self.result.curves.get(spec.name, ())
        metric, points = spec.name.rsplit("/", 1)[-1], defaultdict[float, list[float]](list)
        for image in self.images:
            value = condition_of(image["name"], spec.condition)
            if value is not None and image.get(metric) is not None:
                points[value].append(image[metric])
        return tuple((value, statistics.fmean(points[value])) for value in sorted(points))

    @property
    def data(self) -> Mapping[str, Any]:
        """Arguments of the data module."""
        return (self.result.config.get("data") or {}).get("init_args") or {}

    @property
    def archive(self) -> str:
        """Name of the archive's file, empty if it is not recorded."""
        return Path(str(self.data.get("archive", ""))).name

    @property
    def is_trained(self) -> bool:
        """Whether its results depend on the seed."""
        return self.result.parameters > 0

    @property
    def train_split(self) -> str | None:
        """The split on which the run itself trained, None without training."""
        has_trained = any(name.startswith("train/") for name in self.result.metrics)
        return self.data.get("train_split", "train") if has_trained and self.archive else None

    @property
    def test_split(self) -> str | None:
        """The split on which the run was tested."""
        return self.data.get("test_split")

    @property
    def variant(self) -> Path:
        """Configuration file of the variant, or its bare name if no file is recorded."""
        stacked = [Path(config) for config in self.result.configs]
        named = [
            path
            for path in stacked
            if path.stem == self.result.variant and not _NOT_VARIANTS & {*path.parts[-3:-1]}
        ]
        return named[-1] if named else Path(self.result.variant)

    def is_of(self, row: Row, archive: str | None) -> bool:
        """Return whether it has a row's variant and archive.

        The last three parts of the paths are compared, so that runs of other checkouts match.
        """
        if row.variant is None or row.variant.stem != self.result.variant:
            return False
        if archive is not None and self.archive != Path(archive).name:
            return False
        if row.runs and self.result not in row.runs:
            return False
        own, wanted = _without_dots(self.variant).parts, _without_dots(row.variant).parts
        shared = min(len(own), len(wanted), 3)
        return len(own) == 1 or own[-shared:] == wanted[-shared:]


def condition_of(name: str, condition: str) -> float | None:
    """Return the value of a condition in a recording's name, None without it.

    >>> condition_of("chelsea.light-0.05", "light")
    0.05
    """
    match = re.search(rf"\.{re.escape(condition)}-(\d+(\.\d+)?)$", name)
    return None if match is None else float(match[1])


def _without_dots(path: Path) -> Path:
    return path.resolve() if ".." in path.parts else path


def collect_runs(places: Iterable[str | Path]) -> list[RecordedRun]:
    """Read every ``result.json`` and ``records.jsonl`` at or below some places, in their order.

    A run that is also stored beside its sweep counts once, with its folder.

    Raises:
        MissingFileError: If a place does not exist or has no record.
    """
    runs: dict[str, RecordedRun] = {}
    listed = [Path(place) for place in places]
    for number, place in enumerate(listed):
        if not place.exists():
            raise MissingFileError(f"{place}: there is no such run or folder", path=str(place))
        for file in [place] if place.is_file() else entries_below(place):
            for run in _runs_of_file(file, number):
                key = json.dumps(run.result.content(), sort_keys=True)
                first = runs.setdefault(key, run)
                if first.folder is None:
                    runs[key] = replace(first, folder=run.folder)
    if not runs:
        names = ", ".join(str(place) for place in listed) or "nowhere"
        raise MissingFileError(f"{names}: no {FILENAME} below; run fit or test first")
    return list(runs.values())


def _runs_of_file(file: Path, place: int) -> Iterator[RecordedRun]:
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
        api: Replacement of ``wandb.Api()``.

    Raises:
        UsageError: If the path has another form.
        MissingFileError: If no run of the sweep has finished.
        FormatError: If a finished run's summary was not written by this package.
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
            result = RunResult.from_summary(dict(run.summary), getattr(run, "config", None))
        except FormatError as error:
            raise FormatError(f"{path}, run {run.name}: {error.message}") from error
        runs.append(RecordedRun(result))
    return runs


def table_of_runs(runs: Sequence[RecordedRun]) -> TableSpec:
    """Return a table with a row for each variant among runs, and each configuration of it."""
    variants = list(dict.fromkeys(run.variant for run in runs))
    stems = [variant.stem for variant in variants]
    rows: list[Row] = []
    for stem, variant in zip(stems, variants, strict=True):
        name = stem if stems.count(stem) == 1 else str(variant.with_suffix(""))
        groups = configurations_of([run for run in runs if run.variant == variant])
        if len(groups) == 1:
            rows.append(Row(name, variant))
            continue
        for number, one in enumerate(groups, 1):
            label = f"{name} ({one.runs[0].source or number})"
            rows.append(Row(label, variant, runs=tuple(run.result for run in one.runs)))
    known = [plain_column(key) for key in (*DEFAULT_COLUMNS, *FURTHER_COLUMNS)]
    used = [column for column in known if any(run.value(column) is not None for run in runs)]
    columns = sorted(used, key=lambda column: column.is_cost)
    names = dict.fromkeys(name for run in runs for name in run.result.curves)
    curves = [_rate_curve(name) for name in names if name.startswith(RATE_CURVES)]
    return TableSpec("Results", tuple(columns), tuple(rows), curves=tuple(curves))


def _rate_curve(name: str) -> CurveSpec:
    heading = plain_column(f"test/{name.removeprefix(RATE_CURVES)}").heading
    return CurveSpec(name, "bpp", heading, scale="log")


@dataclass
class Configuration:
    """Runs that differ in nothing but their seeds.

    Attributes:
        values: Dotted key -> value, of the keys that influence a result.
        config: Complete configuration of the first run.
        runs: The runs.
    """

    values: dict[str, Any]
    config: Mapping[str, Any]
    runs: list[RecordedRun] = field(default_factory=list)

    def matches(self, values: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
        """Return whether a run has this configuration; new parameters may have their default."""
        if any(self.values[key] != values[key] for key in self.values.keys() & values.keys()):
            return False
        return all(
            _is_default(known, key, first[key])
            for first, second, known in (
                (self.values, values, self.config),
                (values, self.values, config),
            )
            for key in first.keys() - second.keys()
        )


def configurations_of(runs: Iterable[RecordedRun]) -> list[Configuration]:
    """Group runs of one row by their configuration, in their order."""
    groups: list[Configuration] = []
    for run in runs:
        config = run.result.config
        values = {k: v for k, v in recipe(run.result).items() if k not in INCIDENTAL_KEYS}
        group = next((one for one in groups if one.matches(values, config)), None)
        if group is None:
            group = Configuration(values, config)
            groups.append(group)
        group.runs.append(run)
    return groups


def choose_configuration(groups: Sequence[Configuration]) -> Configuration:
    """Return the configuration for a row: the newest one in the first place that has any."""
    first = min(run.place for one in groups for run in one.runs)
    candidates = [one for one in groups if any(run.place == first for run in one.runs)]
    return max(candidates, key=lambda one: max(run.result.finished or "" for run in one.runs))


def _is_default(config: Mapping[str, Any], key: str, value: Any) -> bool:  # noqa: ANN401  (any value)
    """Return whether a parameter that another record does not contain has its default."""
    part, _, name = key.partition(".init_args.")
    if part == "trainer" or part.startswith("trainer."):
        return True  # Lightning adds and removes arguments
    if not name:  # not an argument of a class, as the checkpoint that a test started from
        return False
    path = str((config.get(part) or {}).get("class_path", ""))
    if not path.startswith(_PACKAGE):
        return False
    defaults = argument_defaults(path)  # none of a class that was removed
    return name in defaults and bool(defaults[name] == value)


def scenes_in_words(runs: Sequence[RecordedRun]) -> str:
    """Return the test splits of runs as a sentence, and whether training excluded them if known.

    It is known for methods without training and for runs that trained on another split; the
    record of a test does not contain the training data of its checkpoint.
    """
    tested = [(run.archive, run.test_split) for run in runs]
    if not tested or any(None in pair or "" in pair for pair in tested):
        return ""
    places = " and ".join(dict.fromkeys(f"split {split!r} of {file}" for file, split in tested))
    text = f"Measured on {places}"
    trained = [run for run in runs if run.is_trained]
    if not trained or any(run.train_split in (None, run.test_split) for run in trained):
        return f"{text}."
    splits = " and ".join(dict.fromkeys(f"{run.train_split!r}" for run in trained))
    return f"{text}, which training did not use (split {splits})."
