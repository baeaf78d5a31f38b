"""Points of others from CSV: read in order, and every mistake named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from spike_zoo.errors import FormatError, MissingFileError
from spike_zoo.tables.published import read_points


def test_lines_of_a_name_are_its_curve(tmp_path: Path) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text('name,bpp,psnr\n"CTA, VTM",0.13,12.2\nDCVC,0.6,13.29\n\n"CTA, VTM",0.56,16.9\n')
    assert read_points(path) == {
        "CTA, VTM": ((0.13, 12.2), (0.56, 16.9)),
        "DCVC": ((0.6, 13.29),),
    }


@pytest.mark.parametrize(
    "line", ["DCVC,0.6", "DCVC,0.6,high", "DCVC,0.6,13.29,4", "DCVC,nan,13", ",0.6,13", "DCVC"]
)
def test_a_line_that_is_no_point_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text(f"name,bpp,psnr\nVTM,0.1,12\n{line}\n")
    with pytest.raises(FormatError, match=r"theirs\.csv, line 3: expected a name and two numbers"):
        read_points(path)


def test_a_file_without_points_or_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "theirs.csv"
    with pytest.raises(MissingFileError, match=r"theirs\.csv: there is no such file"):
        read_points(path)
    path.write_text("name,bpp,psnr\n")
    with pytest.raises(FormatError, match="no points"):
        read_points(path)
