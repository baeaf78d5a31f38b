"""A reported difference comes from published values, or said in the claim."""

from __future__ import annotations

from pathlib import Path

import pytest

from spike_zoo.errors import ConfigError
from spike_zoo.tables import Expectation, read_table_file
from tests.helpers.tables import SPEC, write_spec

HALF = "{name: half,"


def _claim(folder: Path, text: str) -> Expectation:
    return read_table_file(write_spec(folder, text)).tables[0].expect[0]


@pytest.mark.parametrize(
    ("half", "reported"),
    [
        ("published: {test/psnr: 38.1},", pytest.approx(0.7)),
        ("published: {test/psnr: 38.9},", None),  # the source has it the other way
        ("published: {test/psnr: 38.1}, source: another,", None),  # two sources are no difference
        ("", None),
    ],
)
def test_a_reported_difference_is_that_of_two_values_of_one_source(
    tmp_path: Path, half: str, reported: float | None
) -> None:
    assert _claim(tmp_path, SPEC.replace(HALF, f"{HALF} {half}")).reported == reported


def test_less_is_a_reported_difference_where_less_is_better(tmp_path: Path) -> None:
    text = SPEC.replace("by: test/psnr", "by: parameters").replace("psnr: 38.8", "psnr: 38.8, P: 5")
    text = text.replace("P:", "parameters:").replace(HALF, f"{HALF} published: {{parameters: 7}},")
    assert _claim(tmp_path, text).reported == 2


def test_what_the_claim_says_goes_before_what_was_published(tmp_path: Path) -> None:
    text = SPEC.replace(HALF, f"{HALF} published: {{test/psnr: 38.1}},")
    text = text.replace("by: test/psnr}", "by: test/psnr, reported: 0.4}")
    assert _claim(tmp_path, text).reported == 0.4


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ("better_than: never run, reported: 0", "expectation 2: reported: .* above 0, got 0"),
        ("better_than: never run, reported: -0.1", "expectation 2: reported: .* above 0, got -0.1"),
        ("better_than: never run, reported: .inf", "expectation 2: reported: .* finite number"),
        ("better_than: never run, reported: .nan", "expectation 2: reported: .* finite number"),
        (
            "better_than: never run, reported: much",
            "expectation 2: reported: expected float [|] None",
        ),
        (
            "within: 1, of: half, reported: 0.4",
            "expectation 2: a claim with \\w+ does not take the key 'reported'",
        ),
        (
            "at_least: 30, reported: 0.4",
            "expectation 2: a claim with \\w+ does not take the key 'reported'",
        ),
    ],
)
def test_a_reported_difference_is_a_number_above_nothing_between_two_rows(
    tmp_path: Path, claim: str, message: str
) -> None:
    text = SPEC + f"  - {{row: full, by: test/psnr, {claim}}}\n"
    with pytest.raises(ConfigError, match=rf"table\.yaml: .*{message}"):
        _claim(tmp_path, text)
