"""One recorded run, as tables ask it for numbers."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spike_zoo.records.stored import ImageMetrics

if TYPE_CHECKING:
    from spike_zoo.records.result import RunResult
    from spike_zoo.records.stored import ImageMetrics
    from spike_zoo.tables.columns import Column
    from spike_zoo.tables.spec import Row


#: Folders that say how a run is made, not what it is.
_NOT_VARIANTS = {"profiles", "loggers"}


@dataclass(frozen=True)
class RecordedRun:
    """A record, and where it was read from.

    Attributes:
        result: The record.
        folder: The run's folder, with pictures; None for a stored record and for W&B's.
        images: For each test image ``name``, ``plane``, ``rate_scale`` and the metrics.
        source: How notes name it.
        place: Number of the place in which it was looked for.
    """

    result: RunResult
    folder: Path | None = None
    place: int = 0
    images: ImageMetrics = ()
    source: str = ""

    def value(self, column: Column) -> float | None:
        """Return what the run measured for a column, None where it did not."""
        if column.is_grouped:
            values = [
                image[column.metric]
                for image in self.images
                if image.get(column.metric) is not None
                and column.counts(image["name"], image["rate_scale"])
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


def _same_end(first: Path, second: Path) -> bool:
    """Tell whether the last parts of two paths are equal, three at most."""
    pairs = zip(reversed(_plain(first).parts), reversed(_plain(second).parts), strict=False)
    return all(one == other for one, other in list(pairs)[:3])


def _plain(path: Path) -> Path:
    """Return a path without ``..``; a relative one stays relative where it can."""
    return path.resolve() if ".." in path.parts else path
