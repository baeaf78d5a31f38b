"""Table files and runs for tests."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from spike_zoo.tables import fill_table, read_table_file
from spike_zoo.tables.fill import FilledTable
from spike_zoo.tables.runs import RecordedRun
from tests.helpers.results import make_result

SPEC = """
title: Capacity
source: Fan et al., NeurIPS 2024
columns: [test/psnr, parameters]
rows:
  - {name: full, variant: variants/full.yaml, published: {test/psnr: 38.8}}
  - {name: half, variant: variants/half.yaml}
  - {name: never run, variant: variants/never.yaml}
claims:
  - {row: full, better_than: half, by: test/psnr}
"""

#: Published columns of another source, with a row that only they have.
THEIRS = """
published_columns:
  - name: REDS
    metric: test/psnr
    source: &other Dong et al., AAAI 2026
    values: {full: 39.78, theirs: 40.126}
  - {name: DAVIS, metric: test/psnr, source: *other, values: {half: 35.33}}
"""


def write_spec(folder: Path, text: str = SPEC) -> Path:
    """Write a table file and its variants, and return the path of the table file."""
    for name in ("full", "half", "never"):
        variant = folder / "variants" / f"{name}.yaml"
        variant.parent.mkdir(parents=True, exist_ok=True)
        variant.write_text("model: {}\n")
    path = folder / "table.yaml"
    path.write_text(text)
    return path


def filled(folder: Path, runs: Iterable[RecordedRun], text: str = SPEC) -> FilledTable:
    """Write a table file and return its first table, filled with runs."""
    return fill_table(read_table_file(write_spec(folder, text)).tables[0], list(runs))


def cell(table: FilledTable, row: str = "full", column: str = "test/psnr") -> dict[str, float]:
    """Return the fields of a cell; NaN for a missing mean, deviation or published value."""
    return dict(table.cells.loc[(row, column), :])


def make_run(variant: str, psnr: float, seed: int = 0, **changes: Any) -> RecordedRun:
    """Return a run of a variant with a PSNR; its configuration hash is unique by default."""
    values = {
        "variant": variant,
        "seed": seed,
        "metrics": {"test/psnr": psnr},
        "configs": ["configs/stir.yaml", f"variants/{variant}.yaml"],
        "config_hash": f"{variant}-{seed}",
    }
    return RecordedRun(make_result(**{**values, **changes}))
