"""CSV logger of metrics that appends to the file of a resumed run."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from spike_zoo.utils.files import new_file
from spike_zoo.utils.locks import changed_file


class AppendingWriter(ExperimentWriter):
    """Writer that keeps existing rows; Lightning's writer deletes them."""

    def _check_log_dir_exists(self) -> None:
        path = Path(self.metrics_file_path)
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                self.metrics_keys = next(csv.reader(file), [])

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        path = Path(self.metrics_file_path)
        with changed_file(path) as part:
            write_rows(part, _read_rows(path), fieldnames)


class AppendingCSVLogger(CSVLogger):
    """Write ``metrics.csv`` and ``hparams.yaml`` into a run's folder; append to existing rows."""

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder, name="", version="", flush_logs_every_n_steps=20)

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """The writer, created on first use."""
        if self._experiment is None:
            self._fs.makedirs(self.root_dir, exist_ok=True)
            self._experiment = AppendingWriter(log_dir=self.log_dir)
        return self._experiment  # type: ignore[return-value]  # not None


def keep_rows_before(path: Path, step: int) -> None:
    """Remove the rows of a log from a step on, and a truncated last row, if the log exists."""
    rows = _read_rows(path) if path.is_file() else []
    steps = [row.get("step") or "" for row in rows]
    remaining = [
        row
        for row, text in zip(rows, steps, strict=True)
        if text.isdigit() and int(text) < step and None not in row.values()
    ]
    if len(remaining) < len(rows):
        write_rows(path, remaining, list(rows[0]))


def last_values(path: Path) -> dict[str, float]:
    """Return the last value of each metric of a log; empty if the log does not exist."""
    pairs = (pair for row in (_read_rows(path) if path.is_file() else []) for pair in row.items())
    return {name: float(text) for name, text in pairs if text and name not in ("epoch", "step")}


def _read_rows(path: Path) -> list[dict[str, str]]:
    """Read the rows of a log; in a truncated row the last values are None."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_rows(
    path: Path, rows: Sequence[Mapping[str, Any]], names: Sequence[str], *, end: str = "\r\n"
) -> None:
    r"""Write rows with a header of column names atomically.

    The default line end, ``\r\n``, is that of Lightning's log.
    """
    with (
        new_file(path, overwrite=True) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, names, restval="", lineterminator=end)
        writer.writeheader()
        writer.writerows(rows)
