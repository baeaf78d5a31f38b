"""Pictures of the same samples stand row by row, from whichever run kept some."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spike_zoo.media import save_picture
from spike_zoo.tables import RecordedRun, TableFile, fill_table, read_table_file
from spike_zoo.tables.page import sample_strips
from tests.helpers.tables import make_run, write_spec


@pytest.fixture
def file(tmp_path: Path) -> TableFile:
    return read_table_file(write_spec(tmp_path))


def test_strips_show_the_same_samples_of_every_row_and_the_truth_last(
    file: TableFile, tmp_path: Path
) -> None:
    runs = []
    for variant in ("full", "half", "never"):
        folder = tmp_path / "runs" / variant
        for sample in ("a", "b") if variant == "full" else ("b",):
            for kind in ("reconstructions", "truths"):
                path = folder / "images" / kind / f"{sample}.png"
                if variant != "never":
                    save_picture(np.full((8, 8), 0.5), path)
        runs.append(RecordedRun(make_run(variant, 30.0).result, folder))
    save_picture(np.full((8, 24), 0.5), tmp_path / "runs" / "never" / "sample.png")
    samples, strips = sample_strips(fill_table(file.tables[0], runs))
    assert samples == ["b"], "the one that both have"
    assert [name for name, _ in strips][-1] == "ground truth"
    assert dict(strips)["never run"] == [tmp_path / "runs" / "never" / "sample.png"]
    assert {"full", "half"} <= {name for name, _ in strips}


def test_a_row_shows_the_strip_of_the_one_seed_that_kept_it(
    file: TableFile, tmp_path: Path
) -> None:
    folders = [tmp_path / f"full-{seed}" for seed in (2, 0)]
    runs = [
        RecordedRun(make_run("full", 30.0, seed=seed).result, folder)
        for seed, folder in zip((2, 0), folders, strict=True)
    ]
    table = fill_table(file.tables[0], runs)
    assert sample_strips(table) == ([], [])
    save_picture(np.full((8, 24), 0.5), folders[1] / "sample.png")
    assert sample_strips(table) == ([], [("full", [folders[1] / "sample.png"])])
