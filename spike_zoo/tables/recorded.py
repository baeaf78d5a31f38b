"""One recorded run, as tables ask it for numbers."""

from __future__ import annotations

import csv
import statistics
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spike_zoo.errors import FormatError
from spike_zoo.records.result import PER_IMAGE_FILENAME, RunResult

if TYPE_CHECKING:
    from spike_zoo.tables.columns import Column
    from spike_zoo.tables.spec import Row


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


def _same_end(first: Path, second: Path) -> bool:
    """Tell whether the last parts of two paths are equal, three at most."""
    pairs = zip(reversed(_plain(first).parts), reversed(_plain(second).parts), strict=False)
    return all(one == other for one, other in list(pairs)[:3])


def _plain(path: Path) -> Path:
    """Return a path without ``..``; a relative one stays relative where it can."""
    return path.resolve() if ".." in path.parts else path
