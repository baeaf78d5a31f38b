"""Reading of run records from folders or a W&B sweep, and grouping of runs by configuration."""

import json
import math
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from spike_zoo.errors import FormatError, MissingFileError, UsageError
from spike_zoo.tables.columns import Column, plain_column
from spike_zoo.tables.spec import DEFAULT_COLUMNS, CurveSpec, Row, TableSpec
from spike_zoo.training.initial_weights import recipe, settings
from spike_zoo.training.provenance import digest_of, leaves
from spike_zoo.training.result import FILENAME, Curve, RunResult
from spike_zoo.training.stored import RECORDS_FILENAME, ImageMetrics, StoredRecord, read_records
from spike_zoo.utils.files import entries_below, shipped_weights

FURTHER_COLUMNS = ("test/accuracy", "test/f1", "test/bpp")  # in tables whose runs have them
RATE_CURVES = "rate_distortion/"  # prefix of the names of rate-distortion curves
_NOT_VARIANTS = {"profiles", "loggers"}  # folders of configurations that are not variants


@dataclass(frozen=True)
class RecordedRun:
    """A record and its origin."""

    result: RunResult  #: the record
    folder: Path | None = None  #: the run's folder, with images; None for stored records and W&B
    path_index: int = 0  #: index of the searched path that contains the record
    images: ImageMetrics = ()  #: ``name``, ``plane``, ``rate_scale`` and metrics of each test image
    source: str = ""  #: name of the record's origin in notes
    #: state of a run that did not finish, as W&B names it; its results count as diverged
    unfinished: str = ""

    def value(self, column: Column) -> float | None:
        """Return the run's value of a column; None if the run has no value."""
        if self.unfinished:
            return None if column.is_cost else math.nan
        if column.is_grouped:
            values = list(chain.from_iterable(column.by_recording(self.images).values()))
            return statistics.fmean(values) if values else None
        if column.metric in self.result.metrics:
            return self.result.metrics[column.metric]
        job, number = column.cost or ("", "")
        costs = self.result.costs.get(job)
        value = getattr(costs, number, None) if job else getattr(self.result, column.metric, None)
        return float(value) if isinstance(value, int | float) else None

    def curve(self, spec: CurveSpec) -> Curve:
        """Return the run's points of a curve; empty if the run has none."""
        if spec.condition is None:
            return self.result.curves.get(spec.name, ())
        points = defaultdict[float, list[float]](list)
        for name, values in plain_column(spec.name).by_recording(self.images).items():
            if (value := condition_of(name, spec.condition)) is not None:
                points[value] += values
        return tuple((value, statistics.fmean(points[value])) for value in sorted(points))

    @property
    def seed(self) -> tuple[object, ...]:
        """Identity of the run among those of its configuration: seed, data and initial weights.

        Initial weights are identified by the seed of their training, or by their digest. A test of
        them does not depend on its own seed.
        """
        origins = self.result.begins_with
        weights = {key: one.get("seed", one.get("sha256")) for key, one in origins.items()}
        is_test = bool(weights) and None not in weights.values() and not self.has_trained
        own = None if is_test else self.result.seed
        return own, self.result.data_sha256, *sorted(weights.items())

    @property
    def data(self) -> Mapping[str, Any]:
        """Arguments of the data module."""
        return (self.result.config.get("data") or {}).get("init_args") or {}

    @property
    def is_trained(self) -> bool:
        """Whether the method has parameters."""
        return self.result.parameters > 0

    @property
    def weights(self) -> tuple[str, ...]:
        """Names and files of weights in the configuration of the method."""
        arguments = (self.result.config.get("model") or {}).get("init_args") or {}
        values = [self.result.checkpoint, *(value for _, value in leaves(arguments))]
        return tuple(dict.fromkeys(str(value) for value in values if _is_weights(value)))

    @property
    def has_seed(self) -> bool:
        """Whether the results depend on the seed.

        They do not for methods without parameters and for tests of fixed weights, which are files
        without optimiser. A checkpoint (``.ckpt``) is of another run with the same seed.
        """
        is_test = self.train_split is None and bool(self.weights)
        is_fixed = is_test and not any(name.endswith(".ckpt") for name in self.weights)
        return self.is_trained and not is_fixed

    @property
    def has_trained(self) -> bool:
        """Whether this run trained."""
        return any(name.startswith("train/") for name in self.result.metrics)

    @property
    def train_split(self) -> str | None:
        """The split on which this run trained; None for a run without training."""
        is_known = self.has_trained and self.result.archive
        return self.data.get("train_split", "train") if is_known else None

    @property
    def test_split(self) -> str | None:
        """The split on which the run was tested."""
        return self.data.get("test_split")

    @property
    def variant(self) -> Path:
        """Configuration file of the variant; its name alone if no file is recorded."""
        variants = [
            path
            for path in map(Path, self.result.configs)
            if path.stem == self.result.variant and not _NOT_VARIANTS & {*path.parts[-3:-1]}
        ]
        return [Path(self.result.variant), *variants][-1]

    def is_of(self, row: Row, archive: str | None) -> bool:
        """Return whether the run belongs to a row: same variant, archive and, if listed, record.

        At most the last three parts of the variants' paths are compared, so that runs of other
        checkouts match.
        """
        if row.variant is None or row.variant.stem != self.result.variant:
            return False
        if archive is not None and self.result.archive != Path(archive).name:
            return False
        if row.runs and self.result not in row.runs:
            return False
        parts, row_parts = _without_dots(self.variant).parts, _without_dots(row.variant).parts
        shared = min(len(parts), len(row_parts), 3)
        return len(parts) == 1 or parts[-shared:] == row_parts[-shared:]


def _is_weights(value: object) -> bool:
    return isinstance(value, str) and (
        value.endswith((".safetensors", ".ckpt")) or value in shipped_weights()
    )


def condition_of(name: str, condition: str) -> float | None:
    """Return the value of a condition in a recording's name; None if the name has none.

    >>> condition_of("chelsea.light-0.05", "light")
    0.05
    """
    match = re.search(rf"\.{re.escape(condition)}-(\d+(\.\d+)?)$", name)
    return None if match is None else float(match[1])


def _without_dots(path: Path) -> Path:
    return path.resolve() if ".." in path.parts else path


def collect_runs(sources: Iterable[str | Path]) -> list[RecordedRun]:
    """Read every ``result.json`` and ``records.jsonl`` at or below the given paths, in their order.

    A run that is also stored in the ``records.jsonl`` of its sweep is returned once, with its
    folder. A test that repeats the one of a listed fit is left out.
    """
    runs: dict[str, RecordedRun] = {}
    paths = [Path(source) for source in sources]
    for number, path in enumerate(paths):
        if not path.exists():
            raise MissingFileError.at(path, "there is no such run or folder")
        for file in [path] if path.is_file() else entries_below(path):
            for run in _runs_of_file(file, number):
                key = json.dumps(run.result.content(), sort_keys=True)
                first = runs.setdefault(key, run)
                if first.folder is None:
                    runs[key] = replace(first, folder=run.folder)
    if not runs:
        names = ", ".join(str(path) for path in paths) or "nowhere"
        raise MissingFileError(
            f"{names}: no {FILENAME} below, so it holds no runs; run fit or test first"
        )
    fits = {_tested(run.result) for run in runs.values() if run.has_trained}
    return [run for run in runs.values() if run.has_trained or _tested(run.result) not in fits]


def _tested(record: RunResult) -> str:
    """Return the identity of a test: weights and settings of the model, data and images."""
    trainer = record.config.get("trainer") or {}
    model = record.variant, record.checkpoint_sha256, record.config.get("model")
    images = record.data_sha256, record.images_sha256, trainer.get("precision")
    return json.dumps((*model, *images), default=str)


def _runs_of_file(file: Path, path_index: int) -> Iterator[RecordedRun]:
    if file.name == RECORDS_FILENAME:
        for name, stored in read_records(file).items():
            yield RecordedRun(stored.result, None, path_index, stored.images, f"{file}: {name}")
    elif file.name == FILENAME:
        stored = StoredRecord.of_run(file.parent)
        yield RecordedRun(stored.result, file.parent, path_index, stored.images, str(file.parent))


def runs_of_sweep(path: str, api: Any = None) -> list[RecordedRun]:  # noqa: ANN401  (wandb has no hints)
    """Read the runs of a W&B sweep; at least one must have finished."""
    if len(list(filter(None, path.split("/")))) != 3:
        raise UsageError(f"--sweep {path}: give entity/project/sweep, as W&B's page shows it")
    if api is None:
        import wandb

        api = wandb.Api()
    sweep_runs = list(api.sweep(path).runs)
    if all(run.state != "finished" for run in sweep_runs):
        raise MissingFileError(f"{path}: no run of this sweep has finished")
    runs: list[RecordedRun] = []
    for run in sorted(sweep_runs, key=lambda run: run.state != "finished"):
        if run.state != "finished":
            runs.append(_unfinished(run, runs[0].result))
            continue
        try:
            result = RunResult.from_summary(dict(run.summary), getattr(run, "config", None))
        except FormatError as error:
            raise FormatError(f"{path}, run {run.name}: {error.message}") from error
        runs.append(RecordedRun(result))
    return runs


def _unfinished(run: Any, usual: RunResult) -> RecordedRun:  # noqa: ANN401  (wandb has no hints)
    """Return a run without results; what it did not state is that of a finished run."""
    config = (getattr(run, "config", None) or {}).get("config") or usual.config
    facts: dict[str, Any] = {
        "variant": getattr(run, "group", None) or usual.variant,
        "configs": [],
        "seed": config.get("seed_everything"),
    }
    facts |= {name: run.summary[name] for name in facts if name in run.summary}
    result = replace(usual, **facts, config=config, metrics={}, curves={}, costs={})
    return RecordedRun(result, source=str(run.name), unfinished=run.state)


def table_of_runs(runs: Sequence[RecordedRun]) -> TableSpec:
    """Return a table with one row for each variant and configuration of the runs."""
    variants = list(dict.fromkeys(run.variant for run in runs))
    stems = [variant.stem for variant in variants]
    rows: list[Row] = []
    for stem, variant in zip(stems, variants, strict=True):
        name = stem if stems.count(stem) == 1 else str(variant.with_suffix(""))
        groups = configurations_of([run for run in runs if run.variant == variant])
        if len(groups) == 1:
            rows.append(Row(name, variant))
            continue
        for number, group in enumerate(groups, 1):
            label = f"{name} ({group[0].source or number})"
            rows.append(Row(label, variant, runs=tuple(run.result for run in group)))
    candidates = [plain_column(key) for key in (*DEFAULT_COLUMNS, *FURTHER_COLUMNS)]
    used = [column for column in candidates if any(run.value(column) is not None for run in runs)]
    columns = sorted(used, key=lambda column: column.is_cost)
    names = dict.fromkeys(name for run in runs for name in run.result.curves)
    curves = [_rate_curve(name) for name in names if name.startswith(RATE_CURVES)]
    return TableSpec("Results", tuple(columns), tuple(rows), curves=tuple(curves))


def _rate_curve(name: str) -> CurveSpec:
    heading = plain_column(f"test/{name.removeprefix(RATE_CURVES)}").heading
    return CurveSpec(name, "bpp", heading, scale="log")


def configurations_of(runs: Sequence[RecordedRun]) -> list[list[RecordedRun]]:
    """Group the runs of one row that differ in their seeds only; both keep their order."""
    groups: dict[str, list[RecordedRun]] = {}
    for describe in (settings, recipe):  # recipes import the classes, which takes seconds
        groups = {}
        for run in runs:
            groups.setdefault(digest_of(describe(run.result)), []).append(run)
        if len(groups) < 2:
            break
    return list(groups.values())


def newest_configuration(groups: Sequence[list[RecordedRun]]) -> list[RecordedRun]:
    """Return the newest configuration with a run in the first searched path that has runs."""
    first_index = min((run.path_index for group in groups for run in group), default=0)
    candidates = [group for group in groups if any(run.path_index == first_index for run in group)]
    newest = [max(run.result.finished or "" for run in group) for group in candidates]
    return candidates[newest.index(max(newest))] if candidates else []


def describe_test_splits(runs: Sequence[RecordedRun]) -> str:
    """Return a sentence on the test splits of runs, and on the training splits if all differ.

    The record of a test does not contain the training data of its checkpoint.
    """
    tested = [(run.result.archive, run.test_split) for run in runs]
    if not tested or any(None in pair or "" in pair for pair in tested):
        return ""
    places = " and ".join(dict.fromkeys(f"split {split!r} of {file}" for file, split in tested))
    text = f"Measured on {places}"
    trained = [run for run in runs if run.is_trained]
    if not trained or any(run.train_split in (None, run.test_split) for run in trained):
        return f"{text}."
    splits = " and ".join(dict.fromkeys(f"{run.train_split!r}" for run in trained))
    return f"{text}, which training did not use (split {splits})."
