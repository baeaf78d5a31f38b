"""Appending to metrics.csv in resumed runs."""

from __future__ import annotations

import csv
from pathlib import Path

from spike_zoo.training.csv_logger import AppendingCSVLogger


def _log(folder: Path, step: int, **metrics: float) -> None:
    logger = AppendingCSVLogger(folder)
    logger.log_metrics(dict(metrics), step=step)
    logger.save()


def test_a_second_logger_appends_and_new_columns_keep_old_rows(tmp_path: Path) -> None:
    _log(tmp_path, 1, loss=0.5)
    _log(tmp_path, 2, loss=0.25)
    _log(tmp_path, 3, psnr=30.0)
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["step"], row["loss"], row["psnr"]) for row in rows] == [
        ("1", "0.5", ""),
        ("2", "0.25", ""),
        ("3", "", "30.0"),
    ]
