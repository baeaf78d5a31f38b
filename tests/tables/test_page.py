"""HTML pages of tables: numbers, judgements, charts and pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spike_zoo.media import save_picture
from spike_zoo.media.rendering import render_page
from spike_zoo.tables import (
    FilledTable,
    RecordedRun,
    TableFile,
    fill_table,
    read_table_file,
    table_page,
)
from spike_zoo.tables.page import sample_strips
from tests.helpers.pages import Tags
from tests.helpers.tables import SPEC, THEIRS, make_run, write_spec


def test_page_loads_no_external_files_and_supports_dark_mode(
    file: TableFile, table: FilledTable
) -> None:
    html = render_page(table_page(file, [table]))
    tags = Tags(html)
    assert tags.open == []
    assert all(source.startswith("data:") for source in tags.sources)
    assert "prefers-color-scheme: dark" in html


def test_page_states_the_verdicts_of_the_expectations(file: TableFile, table: FilledTable) -> None:
    words = Tags(render_page(table_page(file, [table]))).words
    assert "Claims: 0 of 1 held over seeds (1 within noise)." in words
    assert "≈ within noise" in words
    assert "[38.80]" in words, "the published value"


def test_page_has_published_columns_and_undecidable_claims(tmp_path: Path) -> None:
    claimed = SPEC.replace("by: test/psnr}", "by: test/psnr, reported: 0.4}")
    file = read_table_file(write_spec(tmp_path, claimed + THEIRS))
    runs = [make_run("full", 30.0), make_run("full", 32.0, seed=1), make_run("half", 29.0)]
    page = Tags(render_page(table_page(file, [fill_table(file.tables[0], runs)])))
    assert "? undecidable with n = 1" in page.words
    assert "[REDS, PSNR (dB)] ↑" in page.words
    assert "[40.13]" in page.words


def test_page_embeds_the_pictures_of_its_rows(file: TableFile, tmp_path: Path) -> None:
    folder = tmp_path / "full-0"
    save_picture(np.full((8, 24), 0.5), folder / "images" / "reconstructions" / "a.png")
    runs = [RecordedRun(make_run("full", 30.0).result, folder)]
    page = Tags(render_page(table_page(file, [fill_table(file.tables[0], runs)])))
    pictures = [source for source in page.sources if source.startswith("data:image/png;base64,")]
    assert len(pictures) == 1


def test_strips_show_the_same_samples_of_every_row_and_the_ground_truth_last(
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
    assert samples == ["b"], "the sample of both rows"
    assert [name for name, _ in strips][-1] == "ground truth"
    assert {"full", "half"} <= {name for name, _ in strips}
    assert "never run" not in dict(strips)
