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
    samples, strips = sample_strips(fill_table(file.tables[0], runs))
    assert samples == ["b"], "the one that both have"
    assert [name for name, _ in strips][-1] == "ground truth"
    assert {"full", "half"} <= {name for name, _ in strips}
    assert "never run" not in dict(strips)
