"""Reading of table files, and errors with file, entry and advice."""

from pathlib import Path

import pytest

from spike_zoo.errors import ConfigError, FormatError, MissingFileError
from spike_zoo.tables import read_table_file
from spike_zoo.tables.read import check_table, read_points
from tests.conftest import ROOT
from tests.helpers.tables import SPEC, THEIRS, write_spec

FOLDERS = sorted({path.parent for path in (ROOT / "experiments").glob("*/table*.yaml")})
CLAIM = "  - {row: full, better_than: half, by: test/psnr}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("title: Capacity", "titel: x"), "the table: unknown key 'titel'. Did you mean 'title'"),
        (("name: half,", "nmae: half,"), "row 2: unknown key 'nmae'. Did you mean 'name'"),
        (("source:", "sources:"), "unknown key 'sources'. Did you mean 'source'"),
        (("columns:", "column:"), "unknown key 'column'. Did you mean 'columns'"),
        (("name: half,", "name: half, color: red,"), "row 2: unknown key 'color'"),
        (("half.yaml", "hlaf.yaml"), r"row 2: no such variant: .*Did you mean 'half.yaml'"),
        (("name: half,", "name: full,"), "the row 'full' is given twice"),
        (("half.yaml", "full.yaml"), "the variant .* is given twice"),
        (
            ("[test/psnr, parameters]", "[test/psnr, test/psnr]"),
            "the column or curve 'test/psnr' is given tw",
        ),
        (("[test/psnr, ", "[test/pnsr, "), r"column 1: unknown metric 'test/pnsr'\. Did you mean"),
        (
            ("test/psnr: 38.8", "test/ssim: 0.9"),
            "row 'full': published: no such column: 'test/ssim'",
        ),
        (("test/psnr: 38.8", "test/psnr: high"), "row 1: published: expected"),
        (("better_than: half", "better_than: hlaf"), "no such row: 'hlaf'. Did you mean 'half'"),
        (("by: test/psnr", "by: test/psrn"), "no such column: 'test/psrn'. Did you mean"),
        (("better_than: half", "better_than: full"), "compares a row with itself"),
        (
            ("by: test/psnr", "by: test/psnr, above: hlaf"),
            "no such row: 'hlaf'. Did you mean 'half",
        ),
        (("by: test/psnr", "by: test/psnr, above: half"), "compares a row with itself"),
        (
            ("better_than: half", "better: half"),
            "claim 1: unknown key 'better'. Did you mean 'better_than'",
        ),
        (
            ("title: Capacity", "title: Capacity\ntitle: Other"),
            "line 3: the key 'title' is given twice",
        ),
        ((", variant: variants/half.yaml", ""), "needs a variant or published values"),
        (("claims:", f"claims:\n{CLAIM}"), "the claim 'full .*is given twice"),
        (
            ("parameters]", "{metric: test/psnr, name: a, rate_scale: 0.5}]"),
            "column 2: rate_scale: expected",
        ),
        (
            ("parameters]", "{metric: test/psnr, name: a, scenes: 7}]"),
            "column 2: scenes: expected str",
        ),
        (("variant: variants/half.yaml", "published: [3]"), "row 2: published: expected Mapping"),
        (("variants/half.yaml", "[half]"), "row 2: variant: expected Path"),
        (("rows:", "command: [make]\nrows:"), "command: expected str"),
        (
            ("rows:", "published_columns: {A: {full: 1}}\nrows:"),
            "published_columns: expected a list",
        ),
    ],
)
def test_a_mistake_is_reported_with_its_place(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    assert change[0] in SPEC
    path = write_spec(tmp_path, SPEC.replace(*change, 1))
    with pytest.raises(ConfigError, match=rf"table\.yaml: .*{message}"):
        check_table(path)


def test_a_custom_metric_needs_a_direction(tmp_path: Path) -> None:
    own = SPEC.replace("parameters]", "{metric: test/sharpness}]")
    with pytest.raises(ConfigError, match=r"\{metric: test/sharpness, better: higher\}"):
        check_table(write_spec(tmp_path, own))
    declared = own.replace("test/sharpness}", "test/sharpness, better: higher}")
    assert check_table(write_spec(tmp_path, declared)) == ()


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ("by: test/psnr, at_most: 30", "higher is better for 'test/psnr', use at_least"),
        ("by: parameters, at_least: 3", "lower is better for 'parameters', use at_most"),
        ("by: test/psnr, at_least: high", "at_least: expected float"),
        (
            "by: test/psnr, at_least: 3, at_most: 4",
            "a claim with at_most does not take the key 'at_least'",
        ),
        ("by: test/psnr, at_least: 3, above: half", "does not take the key 'above'"),
        ("by: test/psrn, at_least: 3", "no such column: 'test/psrn'"),
        ("by: test/psnr, than: test/psnr", "'test/psnr' and 'test/psnr' cannot be compared"),
        ("by: test/psnr, than: parameters", "'test/psnr' and 'parameters' cannot be compared"),
        ("by: test/psnr, than: test/psrn", "no such column: 'test/psrn'"),
    ],
)
def test_a_mistake_in_a_claim_about_one_row_is_named(
    tmp_path: Path, claim: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=f"claim 2.*{message}"):
        check_table(write_spec(tmp_path, SPEC + f"  - {{row: full, {claim}}}\n"))


def test_variants_without_a_row_are_listed(tmp_path: Path) -> None:
    path = write_spec(tmp_path)
    included, missing = tmp_path / "variants" / "full.yaml", tmp_path / "variants" / "other.yaml"
    assert check_table(path, [included, missing]) == (missing,)


def test_tables_of_one_file_share_the_fields_of_the_file(tmp_path: Path) -> None:
    text = """
title: Both
source: The paper
columns: [test/psnr]
tables:
  - title: First
    rows: [{name: full, variant: variants/full.yaml}]
  - title: Second
    source: Another paper
    columns: [parameters]
    rows: [{name: half, variant: variants/half.yaml}, {name: full, variant: variants/full.yaml}]
"""
    file = read_table_file(write_spec(tmp_path, text))
    assert [table.source for table in file.tables] == ["The paper", "Another paper"]
    assert [table.columns[0].metric for table in file.tables] == ["test/psnr", "parameters"]
    assert [variant.name for variant in file.variants] == ["full.yaml", "half.yaml"]
    with pytest.raises(ConfigError, match="table 'Second', row 1: unknown key"):
        check_table(write_spec(tmp_path, text.replace("{name: half,", "{name: half, x: 1,")))


@pytest.mark.parametrize("content", ["[1, 2]", "a: [", "rows: 3\ntitle: x"])
def test_invalid_table_files_are_rejected_by_name(tmp_path: Path, content: str) -> None:
    with pytest.raises(ConfigError, match=r"table\.yaml"):
        read_table_file(write_spec(tmp_path, content))


def test_a_missing_table_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"nowhere\.yaml: there is no such table file"):
        check_table(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_committed_table_is_valid_and_shows_every_variant_of_its_folder(folder: Path) -> None:
    stages = ("_denoise", "_upsample")  # other stages start from them
    variants = sorted((folder / "variants").glob("*.yaml"))
    variants = [variant for variant in variants if not variant.stem.endswith(stages)]
    missing = [set(check_table(path, variants)) for path in sorted(folder.glob("table*.yaml"))]
    assert set.intersection(*missing) == set()


def test_lines_with_the_same_name_form_a_curve(tmp_path: Path) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text('name,bpp,psnr\n"CTA, VTM",0.13,12.2\nDCVC,0.6,13.29\n\n"CTA, VTM",0.56,16.9\n')
    assert read_points(path) == {"CTA, VTM": ((0.13, 12.2), (0.56, 16.9)), "DCVC": ((0.6, 13.29),)}


@pytest.mark.parametrize(
    "line", ["DCVC,0.6", "DCVC,0.6,high", "DCVC,0.6,13.29,4", "DCVC,nan,13", ",0.6,13", "DCVC"]
)
def test_an_invalid_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text(f"name,bpp,psnr\nVTM,0.1,12\n{line}\n")
    with pytest.raises(FormatError, match=r"theirs\.csv, line 3: expected a name and"):
        read_points(path)


def test_missing_files_and_files_without_points_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "theirs.csv"
    with pytest.raises(MissingFileError, match=r"theirs\.csv: there is no such CSV file"):
        read_points(path)
    path.write_text("name,bpp,psnr\n")
    with pytest.raises(FormatError, match="no values"):
        read_points(path)


def test_a_row_with_only_published_values_follows_the_other_rows(tmp_path: Path) -> None:
    (table,) = read_table_file(write_spec(tmp_path, SPEC + THEIRS)).tables
    assert [row.name for row in table.rows] == ["full", "half", "never run", "theirs"]
    assert table.rows[-1].variant is None
    assert [column.name for column in table.published_columns] == ["REDS", "DAVIS"]
    assert table.published_columns[0].values == {"full": 39.78, "theirs": 40.126}


def test_a_data_set_has_a_published_column_for_each_metric(tmp_path: Path) -> None:
    text = SPEC + THEIRS.replace("DAVIS, metric: test/psnr", "REDS, metric: test/ssim")
    (table,) = read_table_file(write_spec(tmp_path, text)).tables
    titles = [column.title for column in table.published_columns]
    assert titles == ["[REDS, PSNR (dB)] ↑", "[REDS, SSIM] ↑"]


def test_published_columns_are_no_reported_difference_of_a_claim(tmp_path: Path) -> None:
    both = SPEC + THEIRS.replace("theirs: 40.126", "half: 39.0")
    (table,) = read_table_file(write_spec(tmp_path, both)).tables
    assert table.claims[0].reported is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("name: REDS", "nmae: REDS"),
            "published column 1: unknown key 'nmae'. Did you mean 'name'",
        ),
        (("{name: DAVIS,", "{name: DAVIS, x: 1,"), "published column 2: unknown key 'x'"),
        (("source: *other, ", ""), "published column 2: the key 'source' is missing"),
        (("name: DAVIS", "name: REDS"), "the published column 'REDS, test/psnr' is given twice"),
        (("name: DAVIS", "name: test/psnr"), "the column or curve 'test/psnr' is given twice"),
        (("metric: test/psnr", "metric: test/pnsr"), "unknown metric 'test/pnsr'. Did you mean"),
        (("{half: 35.33}", "{}"), "published column 2: values: expected finite numbers by row"),
        (("{half: 35.33}", "35.33"), "published column 2: values: expected Mapping"),
        (("35.33", "high"), "published column 2: values: expected Mapping"),
        (("35.33", ".nan"), "published column 2: values: expected finite numbers"),
    ],
)
def test_a_mistake_in_a_published_column_is_named(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    assert change[0] in THEIRS
    with pytest.raises(ConfigError, match=rf"table\.yaml: .*{message}"):
        check_table(write_spec(tmp_path, SPEC + THEIRS.replace(*change, 1)))
