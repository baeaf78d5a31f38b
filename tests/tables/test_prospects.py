"""What seeds can tell is said before a run, and is what a t-test says."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import scipy.stats

from spike_zoo.tables import FilledTable, RecordedRun, fill_table, read_table_file
from spike_zoo.tables.prospects import (
    MOST_SEEDS,
    expected_bound,
    prospect_cells,
    prospect_notes,
    seeds_needed,
)
from tests.helpers.tables import SPEC, make_run, write_spec

STATED = "spread: {source: five pilot runs, test/psnr: 0.15}\nseeds: 3\n"
CLAIM = "{row: full, better_than: half, by: test/psnr}"


def _table(folder: Path, text: str, runs: list[RecordedRun] | None = None) -> FilledTable:
    return fill_table(read_table_file(write_spec(folder, text)).tables[0], runs or [])


def _claiming(what: str) -> str:
    return SPEC.replace(CLAIM, CLAIM.replace("}", f", {what}}}")) + STATED


@pytest.mark.parametrize("seeds", range(2, MOST_SEEDS + 1))
def test_the_bound_is_that_of_students_t_for_two_sides_and_for_one(seeds: int) -> None:
    two = scipy.stats.t.ppf(0.975, 2 * seeds - 2) * 0.3 * math.sqrt(2 / seeds)
    one = scipy.stats.t.ppf(0.975, seeds - 1) * 0.3 * math.sqrt(1 / seeds)
    assert expected_bound([0.3, 0.3], seeds) == pytest.approx(two, rel=3e-5)
    assert expected_bound([0.3], seeds) == pytest.approx(one, rel=3e-5)


@pytest.mark.parametrize("claimed", [0.1, 0.19, 0.25, 0.4, 1.0, 3.0])
def test_the_seeds_needed_are_the_fewest_whose_t_test_tells(claimed: float) -> None:
    found = seeds_needed(claimed, [0.15, 0.15])
    enough = [
        n
        for n in range(2, 21)
        if scipy.stats.t.ppf(0.975, 2 * n - 2) * 0.15 * math.sqrt(2 / n) <= claimed
    ]
    assert found == min(enough, default=None)


def test_nothing_ran_and_the_table_says_what_its_seeds_can_tell(tmp_path: Path) -> None:
    table = _table(tmp_path, _claiming("reported: 0.4"))
    (cells,) = prospect_cells(table.prospects)
    # t of 4 degrees of freedom is 2.7764: 2.7764 * 0.15 * sqrt(2/3) = 0.34; two seeds tell 0.65
    assert cells == ["full better than half (PSNR (dB))", "0.40", "0.15 (stated)", "3", "0.34", "3"]
    assert prospect_notes(table.spec, table.prospects) == ["s stated beforehand: five pilot runs."]


@pytest.mark.parametrize(
    ("what", "claimed", "needed"),
    [
        ("reported: 0.1", "0.10", "19"),
        ("reported: 0.09", "0.09", "more than 20"),
        ("at_least: 1.0", "at least 1.00", "2"),
        ("reported: 1.4, at_least: 1.0", "1.40 - 1.00", "3"),
        ("reported: 0.5, at_least: 1.0", "0.50", "3"),  # the source is below the margin already
        ("claim: more is better", "unknown", "unknown"),
    ],
)
def test_the_claimed_difference_is_what_was_reported_above_the_margin_or_the_margin(
    tmp_path: Path, what: str, claimed: str, needed: str
) -> None:
    (cells,) = prospect_cells(_table(tmp_path, _claiming(what)).prospects)
    assert (cells[1], cells[-1]) == (claimed, needed)


def test_of_close_rows_the_seeds_must_tell_how_far_apart_they_may_be(tmp_path: Path) -> None:
    close = "  - {row: full, within: 0.5, of: never run, by: test/psnr}\n"
    cells = prospect_cells(_table(tmp_path, SPEC + close + STATED).prospects)
    assert cells[1][1:] == ["within 0.50", "0.15 (stated)", "3", "0.34", "3"]


def test_the_spread_of_the_runs_takes_over_pooled_over_all_rows(tmp_path: Path) -> None:
    values = {"full": [30.0, 30.2], "half": [29.0], "never": [28.0, 28.3, 28.9]}
    runs = [make_run(name, x, seed=n) for name, xs in values.items() for n, x in enumerate(xs)]
    (found,) = _table(tmp_path, _claiming("reported: 0.4"), runs).prospects
    squares = 2 * 0.1**2 + 0.4**2 + 0.1**2 + 0.5**2  # about the means 30.1 and 28.4
    assert found.spread == pytest.approx(math.sqrt(squares / 3))
    assert (found.is_stated, found.seeds) == (False, 3), "one seed is no number of seeds yet"
    runs += [make_run("half", 29.1, seed=1)]
    assert _table(tmp_path, _claiming("reported: 0.4"), runs).prospects[0].seeds == 2


@pytest.mark.parametrize(("seeds", "spread"), [(2, 0.15), (4, 0.15), (5, 0.0)])
def test_seeds_that_happen_to_agree_count_from_four_degrees_of_freedom_on(
    tmp_path: Path, seeds: int, spread: float
) -> None:
    runs = [make_run("full", 30.0, seed=seed) for seed in range(seeds)]
    (found,) = _table(tmp_path, _claiming("reported: 0.4"), runs).prospects
    assert found.spread == spread
    assert found.is_stated == (spread > 0)


def test_one_seed_each_is_judged_by_the_spread_that_is_known(tmp_path: Path) -> None:
    def verdict(text: str, *others: float) -> str:
        runs = [make_run("full", 30.3), make_run("half", 30.0)]
        runs += [make_run("never", psnr, seed=seed) for seed, psnr in enumerate(others)]
        return _table(tmp_path, text, runs).verdicts[0].judgement.value

    assert verdict(SPEC) == "held"
    assert verdict(SPEC + STATED) == "within noise"  # 2.02 * 0.15 * sqrt(2) = 0.43
    assert verdict(_claiming("reported: 0.35")) == "undecidable"
    assert verdict(SPEC + STATED.replace("0.15", "0.1")) == "held"
    assert verdict(SPEC, 29.0, 29.1, 29.2) == "within noise"  # 2 degrees: 4.30 * 0.1 * sqrt(2)
    assert verdict(SPEC, 29.0, 29.04, 29.08) == "held"  # 0.24


def test_a_row_that_learned_nothing_has_no_noise_of_its_own(tmp_path: Path) -> None:
    runs = [make_run("half", 29.0, parameters=0)]
    (found,) = _table(tmp_path, _claiming("reported: 0.4"), runs).prospects
    assert found.bound == pytest.approx(scipy.stats.t.ppf(0.975, 2) * 0.15 / math.sqrt(3), rel=1e-4)
    runs += [make_run("full", 30.0, parameters=0)]
    assert _table(tmp_path, _claiming("reported: 0.4"), runs).prospects == ()


def test_claims_that_no_seed_changes_are_left_out(tmp_path: Path) -> None:
    text = SPEC.replace(CLAIM, CLAIM.replace("test/psnr", "parameters"))
    assert _table(tmp_path, text).prospects == ()


def test_where_a_row_is_meant_to_run_once_there_is_nothing_to_tell(tmp_path: Path) -> None:
    once = _claiming("reported: 0.4").replace("seeds: 3", "seeds: 1")
    assert _table(tmp_path, once).prospects == ()
    pairs = [(name, seed) for name in ("full", "half") for seed in (0, 1)]
    runs = [make_run(name, 30.0 + seed, seed=seed) for name, seed in pairs]
    assert _table(tmp_path, once, runs).prospects[0].seeds == 2


def test_a_limit_has_noise_on_one_side_and_columns_have_it_on_both(tmp_path: Path) -> None:
    text = SPEC.replace("[test/psnr,", "[test/psnr, test/f1, test/f1_0,").replace(
        CLAIM,
        "{row: full, by: test/psnr, at_least: 29.0}\n  - {row: full, by: test/f1_0, than: test/f1}",
    )
    stated = "spread: {source: a pilot, test/psnr: 0.15, test/f1: 0.03, test/f1_0: 0.04}\n"
    limit, than = _table(tmp_path, text + stated).prospects
    assert limit.bound == pytest.approx(expected_bound([0.15], 3))
    assert than.spread == pytest.approx(0.05 / math.sqrt(2))
    assert than.bound == pytest.approx(2.7764 * 0.05 / math.sqrt(3), rel=1e-4)
    assert limit.expectation.claimed is None, "nobody knows how far above a limit a row is"


def test_claims_of_which_nobody_reports_a_difference_share_a_line(tmp_path: Path) -> None:
    more = "  - {row: full, better_than: never run, by: test/psnr}\n"
    text = SPEC + more + "  - {row: half, better_than: never run, by: test/psnr, reported: 0.4}\n"
    cells = prospect_cells(_table(tmp_path, text + STATED).prospects)
    assert [line[0] for line in cells] == [
        "2 claims (PSNR (dB))",
        "half better than never run (PSNR (dB))",
    ]
    unknown = prospect_cells(_table(tmp_path, text).prospects)
    assert unknown[1][1:] == ["0.40", "unknown", "3", "unknown", "unknown"]
