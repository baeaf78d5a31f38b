"""Claims are tested over the recordings of a test set too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import scipy.stats

from spike_zoo.tables import (
    FilledTable,
    Judgement,
    RecordedRun,
    as_plain,
    fill_table,
    read_table_file,
    render_markdown,
)
from tests.helpers.tables import SPEC, make_run, write_spec

HALF = {"a-slow-0": (29.0, 29.2), "b-slow-1": (31.0, 31.0), "c-fast-2": (25.0, 26.0)}


def _run(variant: str, gains: tuple[float, ...], **changes: Any) -> RecordedRun:
    """Return a run with two images of each recording, better by a gain for each recording."""
    images = tuple(
        {"name": name, "plane": plane, "rate_scale": 0.6, "psnr": value + gain}
        for (name, values), gain in zip(HALF.items(), gains, strict=False)
        for plane, value in enumerate(values)
    )
    return RecordedRun(make_run(variant, 30.0, **changes).result, images=images)


def _table(folder: Path, text: str, *runs: RecordedRun) -> FilledTable:
    return fill_table(read_table_file(write_spec(folder, text)).tables[0], runs)


def test_the_test_over_recordings_is_the_paired_t_test_of_their_means(tmp_path: Path) -> None:
    runs = [_run("half", (0, 0, 0)), _run("full", (0.9, 1.0, 1.3))]
    table = _table(tmp_path, SPEC, *runs)
    found = table.verdicts[0].recordings
    assert found is not None
    expected = scipy.stats.ttest_rel([30.0, 32.0, 26.8], [29.1, 31.0, 25.5]).pvalue
    assert (found.count, found.judgement) == (3, Judgement.HELD)
    assert found.p_value == pytest.approx(expected)
    assert "3 recordings: held, p = 0.012)" in render_markdown([table])
    assert as_plain(table)["expectations"][0]["recordings"] == {
        "judgement": "held",
        "count": 3,
        "p_value": pytest.approx(expected),
    }


def test_seeds_are_averaged_before_recordings_are_compared(tmp_path: Path) -> None:
    runs = [_run("half", (0, 0, 0)), _run("full", (0.9, 1.0, 1.3))]
    runs.append(_run("full", (-0.9, 1.0, 1.1), seed=1))
    found = _table(tmp_path, SPEC, *runs).verdicts[0].recordings
    assert found is not None
    assert found.p_value == pytest.approx(scipy.stats.ttest_1samp([0.0, 1.0, 1.2], 0).pvalue)
    assert found.judgement is Judgement.NOISE


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        ("better_than: half, by: test/psnr, at_least: 2.0", Judgement.NOT_HELD),
        ("within: 2.0, of: half, by: test/psnr", Judgement.HELD),
        ("within: 1.0, of: half, by: test/psnr", Judgement.NOISE),
        ("by: test/psnr, at_least: 20.0", Judgement.HELD),
        ("by: test/psnr, at_least: 30.0", Judgement.NOISE),
    ],
)
def test_every_kind_of_claim_is_tested_over_recordings(
    tmp_path: Path, claim: str, expected: Judgement
) -> None:
    text = SPEC.replace("{row: full, better_than: half, by: test/psnr}", f"{{row: full, {claim}}}")
    runs = [_run("half", (0, 0, 0)), _run("full", (0.9, 1.0, 1.3))]
    found = _table(tmp_path, text, *runs).verdicts[0].recordings
    assert found is not None
    assert found.judgement is expected


def test_a_column_of_one_pace_counts_only_its_recordings(tmp_path: Path) -> None:
    text = SPEC.replace("[test/psnr,", "[test/psnr, test/psnr_slow,").replace(
        "by: test/psnr}", "by: test/psnr_slow}"
    )
    metrics = {"test/psnr": 30.0, "test/psnr_slow": 30.0}
    runs = [
        _run(name, gains, metrics=metrics)
        for name, gains in (("half", (0, 0, 0)), ("full", (0.9, 1.0, -9.0)))
    ]
    found = _table(tmp_path, text, *runs).verdicts[0].recordings
    assert found is not None
    assert (found.count, found.judgement) == (2, Judgement.HELD)


@pytest.mark.parametrize("gains", [(1.0, 1.0), (1.0,), (1.0, float("nan"), 1.0)])
def test_other_recordings_or_diverged_ones_are_not_compared(
    tmp_path: Path, gains: tuple[float, ...]
) -> None:
    runs = [_run("half", (0, 0, 0)), _run("full", gains)]
    assert _table(tmp_path, SPEC, *runs).verdicts[0].recordings is None


def test_a_row_without_single_images_is_not_compared_with_zero(tmp_path: Path) -> None:
    runs = [make_run("half", 29.0), _run("full", (0.9, 1.0, 1.3))]
    assert _table(tmp_path, SPEC, *runs).verdicts[0].recordings is None
