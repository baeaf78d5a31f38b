"""What others measured: read in order, and every mistake named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from spike_zoo.errors import ConfigError, FormatError, MissingFileError
from spike_zoo.tables import check_table, read_table_file
from spike_zoo.tables.read import read_points
from tests.helpers.tables import SPEC, THEIRS, write_spec


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
    with pytest.raises(FormatError, match=r"theirs\.csv, line 3: expected a name and"):
        read_points(path)


def test_a_file_without_points_or_that_is_not_there_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "theirs.csv"
    with pytest.raises(MissingFileError, match=r"theirs\.csv: there is no such CSV file"):
        read_points(path)
    path.write_text("name,bpp,psnr\n")
    with pytest.raises(FormatError, match="no values"):
        read_points(path)


def test_a_row_that_only_others_measured_follows_those_of_the_file(tmp_path: Path) -> None:
    (table,) = read_table_file(write_spec(tmp_path, SPEC + THEIRS)).tables
    assert [row.name for row in table.rows] == ["full", "half", "never run", "theirs"]
    assert table.rows[-1].variant is None
    assert [column.name for column in table.published_columns] == ["REDS", "DAVIS"]
    assert table.published_columns[0].values == {"full": 39.78, "theirs": 40.126}


def test_what_others_measured_is_no_reported_difference_of_a_claim(tmp_path: Path) -> None:
    both = SPEC + THEIRS.replace("theirs: 40.126", "half: 39.0")
    (table,) = read_table_file(write_spec(tmp_path, both)).tables
    assert table.expect[0].reported is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("name: REDS", "nmae: REDS"),
            "published column 1: unknown key 'nmae'. Did you mean 'name'",
        ),
        (("{name: DAVIS,", "{name: DAVIS, x: 1,"), "published column 2: unknown key 'x'"),
        (("source: *other, ", ""), "published column 2: the key 'source' is missing"),
        (("name: DAVIS", "name: REDS"), "the column or curve 'REDS' is given twice"),
        (("name: DAVIS", "name: test/psnr"), "the column or curve 'test/psnr' is given twice"),
        (("metric: test/psnr", "metric: test/pnsr"), "unknown metric 'test/pnsr'. Did you mean"),
        (("{half: 35.33}", "{}"), "published column 2: values: expected finite numbers by row"),
        (("{half: 35.33}", "35.33"), "published column 2: values: expected Mapping"),
        (("35.33", "high"), "published column 2: values: expected Mapping"),
        (("35.33", ".nan"), "published column 2: values: expected finite numbers"),
    ],
)
def test_a_mistake_in_a_column_of_others_is_named(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    assert change[0] in THEIRS
    with pytest.raises(ConfigError, match=rf"table\.yaml: .*{message}"):
        check_table(write_spec(tmp_path, SPEC + THEIRS.replace(*change, 1)))


def test_columns_of_others_are_a_list(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="published_columns: expected a list, got"):
        check_table(write_spec(tmp_path, SPEC + "published_columns: {REDS: {full: 39.78}}\n"))
