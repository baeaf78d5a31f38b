"""A mistake in a table file is named with its file, its place and the way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from spike_zoo.errors import ConfigError, MissingFileError
from spike_zoo.tables import check_table, read_table_file
from tests.conftest import ROOT
from tests.helpers.tables import SPEC, write_spec

FOLDERS = sorted({path.parent for path in (ROOT / "experiments").glob("*/table*.yaml")})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("title: Capacity", "titel: x"), "the table: unknown key 'titel'. Did you mean 'title'"),
        (("name: half,", "nmae: half,"), "row 2: unknown key 'nmae'. Did you mean 'name'"),
        (("source:", "sources:"), "unknown key 'sources'. Did you mean 'source'"),
        (("name: half,", "name: half, color: red,"), "row 2: unknown key 'color'"),
        (("half.yaml", "hlaf.yaml"), r"row 2: no such variant: .*Did you mean 'half.yaml'"),
        (("name: half,", "name: full,"), "the row 'full' is given twice"),
        (("half.yaml", "full.yaml"), "the variant .* is given twice"),
        (
            ("[test/psnr, parameters]", "[test/psnr, test/psnr]"),
            "the column or curve 'test/psnr' is given tw",
        ),
        (
            ("[test/psnr, ", "[test/pnsr, "),
            r"column 1: unknown metric 'test/pnsr'\. Did you mean",
        ),
        (
            ("test/psnr: 38.8", "test/ssim: 0.9"),
            "row 'full': published: no such column or curve: 'test/ssim'",
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
            "expectation 1: unknown key 'better'. Did you mean 'better_than'",
        ),
        (
            ("title: Capacity", "title: Capacity\ntitle: Other"),
            "line 3: the key 'title' is given twice",
        ),
        ((", variant: variants/half.yaml", ""), "needs a variant, published values or scores"),
    ],
)
def test_a_mistake_is_named_with_its_place(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    assert change[0] in SPEC
    path = write_spec(tmp_path, SPEC.replace(*change, 1))
    with pytest.raises(ConfigError, match=rf"table\.yaml: .*{message}"):
        check_table(path)


def test_an_expectation_that_is_given_twice_is_rejected(tmp_path: Path) -> None:
    line = "  - {row: full, better_than: half, by: test/psnr}\n"
    with pytest.raises(ConfigError, match=r"the expectation 'full .*is given twice"):
        check_table(write_spec(tmp_path, SPEC + line))


def test_a_metric_of_ones_own_needs_a_direction(tmp_path: Path) -> None:
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
    with pytest.raises(ConfigError, match=f"expectation 2.*{message}"):
        check_table(write_spec(tmp_path, SPEC + f"  - {{row: full, {claim}}}\n"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "parameters]",
            "{metric: test/psnr, name: a, rate_scale: 0.5}]",
            "column 2: rate_scale: expected",
        ),
        (
            "parameters]",
            "{metric: test/psnr, name: a, scenes: 7}]",
            "column 2: scenes: expected str",
        ),
        ("variant: variants/half.yaml", "published: [3]", "row 2: published: expected Mapping"),
        ("variants/half.yaml", "[half]", r"row 2: variant: expected Path"),
        ("rows:", "command: make {table}\nrows:", "only {profile} is replaced"),
        ("rows:", "command: [make]\nrows:", "command: expected str"),
    ],
)
def test_a_value_of_another_kind_is_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in SPEC
    with pytest.raises(ConfigError, match=message):
        check_table(write_spec(tmp_path, SPEC.replace(old, new, 1)))


def test_variants_that_no_row_shows_are_listed(tmp_path: Path) -> None:
    path = write_spec(tmp_path)
    shown, hidden = tmp_path / "variants" / "full.yaml", tmp_path / "variants" / "other.yaml"
    assert check_table(path, [shown, hidden]) == (hidden,)


def test_tables_of_one_file_share_what_the_file_says(tmp_path: Path) -> None:
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
def test_what_is_no_table_is_rejected_by_name(tmp_path: Path, content: str) -> None:
    with pytest.raises(ConfigError, match=r"table\.yaml"):
        read_table_file(write_spec(tmp_path, content))


def test_a_missing_table_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"nowhere\.yaml: there is no such table file"):
        check_table(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_table_of_the_project_is_sound_and_shows_every_variant_beside_it(
    folder: Path,
) -> None:
    variants = [
        variant
        for variant in sorted((folder / "variants").glob("*.yaml"))
        if not variant.stem.endswith(("_denoise", "_upsample"))  # stages that others begin with
    ]
    missing = [set(check_table(path, variants)) for path in sorted(folder.glob("table*.yaml"))]
    assert set.intersection(*missing) == set()
