"""Scores that another tool computed of pictures, as columns of a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from spike_zoo.errors import ConfigError, FormatError, MissingFileError
from spike_zoo.tables import read_table_file
from spike_zoo.tables.aggregate import fill_tables
from spike_zoo.tables.read import read_scores
from spike_zoo.tables.render import render_markdown

TABLE = """
title: Real recordings
columns: [scores/niqe, {metric: scores/clarity, better: higher}]
rows:
  - {name: TFI, scores: tfi.csv}
  - {name: TFP, scores: tfp.csv}
  - {name: published elsewhere, published: {scores/niqe: 5.5}}
expect:
  - {row: TFI, better_than: TFP, by: scores/niqe}
"""


def write(folder: Path, text: str = TABLE, **files: str) -> Path:
    scores = {
        "tfi": "name,niqe,clarity\na.png,4.0,1\nb.png,5.0,2\n",
        "tfp": "name,niqe,clarity\nb.png,8.0,0.5\na.png,6.0,0.5\n",
        **files,
    }
    for name, content in scores.items():
        (folder / f"{name}.csv").write_text(content)
    path = folder / "table.yaml"
    path.write_text(text)
    return path


def test_means_over_pictures_are_shown_and_compared(tmp_path: Path) -> None:
    file = read_table_file(write(tmp_path))
    (table,) = fill_tables(file.tables, [])
    assert [row.cells[0].mean for row in table.rows] == [4.5, 7.0, None]
    assert [row.cells[1].mean for row in table.rows] == [1.5, 0.5, None]
    text = render_markdown([table])
    assert "NIQE ↓" in text
    assert "**4.5000**" in text
    assert "[5.5000]" in text
    assert table.verdicts[0].said == "held"


@pytest.mark.parametrize(
    ("tfp", "message"),
    [
        ("name,niqe\na.png,6\nc.png,8\n", "'TFP'.*other pictures than those of row 'TFI': 'b.png'"),
        ("name,niqe\na.png,6\n", "is missing in one of them"),
    ],
)
def test_scores_of_other_pictures_are_rejected(tmp_path: Path, tfp: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_table_file(write(tmp_path, tfp=tfp))


def test_a_column_that_no_file_has_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such metric in the scores of the rows: 'brisque'"):
        read_table_file(
            write(
                tmp_path,
                TABLE.replace("{metric: scores/clarity, better: higher}", "scores/brisque"),
            )
        )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no values"),
        ("name,niqe\n", "no values"),
        ("name,niqe\na.png,high\n", "line 2: expected a name and finite numbers"),
        ("name,niqe\na.png,nan\n", "line 2: expected a name and finite numbers"),
        ("name,niqe\n,4\n", "line 2: expected a name"),
        ("name,niqe\na.png,4,5\n", "line 2: expected a picture.*1 numbers, got 'a.png' and 2"),
        ("name,niqe\na.png,4\na.png,4\n", "line 3: expected a picture that is not listed"),
    ],
)
def test_a_file_that_is_no_scores_is_named_with_its_line(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(content)
    with pytest.raises(FormatError, match=rf"scores\.csv.*{message}"):
        read_scores(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "tfi.csv").unlink()
    with pytest.raises(MissingFileError, match=r"tfi\.csv"):
        read_table_file(path)
