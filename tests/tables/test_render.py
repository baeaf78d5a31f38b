"""Markdown and CSV of tables."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

from spike_zoo.tables import fill_table, read_table_file, render_csv, render_markdown
from spike_zoo.tables.fill import FilledTable
from spike_zoo.tables.spec import TableFile
from tests.helpers.tables import SPEC, THEIRS, make_run, write_spec


def test_markdown_has_measured_and_published_values_and_the_best_in_bold(
    table: FilledTable,
) -> None:
    lines = render_markdown([table]).splitlines()
    assert "| full | **31.00 ± 1.41** [38.80] | 5,107,960 | 2 |" in lines
    assert "| half | 29.00 | **1,600,816** | 1 |" in lines
    assert "| never run | n/a | n/a | 0 |" in lines
    assert "Our claims: 0 of 1 supported (1 undecided)." in lines
    claim = "- **undecided: within noise**: full better than half (PSNR (dB)) (+2.00, noise 22.01"
    assert any(line.startswith(claim) for line in lines)
    assert any("Fan et al., NeurIPS 2024" in line for line in lines)


def test_claims_of_the_paper_are_separate_and_both_tests_must_agree(tmp_path: Path) -> None:
    """The headline counted seeds only, also where no claim was supported over recordings."""
    text = SPEC.replace("by: test/psnr}", "by: test/psnr, paper: true}")
    text += "  - {row: half, better_than: full, by: test/psnr}\n"
    (spec,) = read_table_file(write_spec(tmp_path, text)).tables
    runs = []
    for variant, base, sign in (("full", 31.0, 1), ("half", 29.0, -1)):
        images = [
            {"name": f"s{n}-00", "rate_scale": 0.6, "psnr": base + 9 * sign * (-1) ** n}
            for n in range(6)
        ]
        for seed in (0, 1):
            run = make_run(variant, base + 0.1 * seed, seed, config_hash=variant)
            runs.append(replace(run, images=tuple(images)))
    lines = render_markdown([fill_table(spec, runs)]).splitlines()
    assert "Claims of the paper: 0 of 1 supported (1 undecided)." in lines
    assert "Our claims: 0 of 1 supported (1 undecided)." in lines
    start = (
        "- **undecided: within noise, over photographs**: full better than half (PSNR (dB)) (+2.00"
    )
    assert any(line.startswith(start) for line in lines)
    assert "Weights: in the configuration (full / half).  " in lines


def test_no_value_is_the_best_of_rows_with_different_images(file: TableFile) -> None:
    runs = [make_run("full", 31.0), make_run("half", 29.0, parameters=1_600_816)]
    for digests, is_marked in ((("a", "a"), True), ((None, None), True), (("a", "b"), False)):
        measured = [
            replace(run, result=replace(run.result, images=8, images_sha256=digest))
            for run, digest in zip(runs, digests, strict=True)
        ]
        text = render_markdown([fill_table(file.tables[0], measured)])
        assert ("**31.00**" in text) is is_marked, digests
        assert "**1,600,816**" in text, "a cost does not depend on the images"


def test_rows_that_share_the_lowest_cost_are_not_bold(file: TableFile) -> None:
    table = fill_table(file.tables[0], [make_run("full", 30.0), make_run("half", 29.0)])
    assert "| half | 29.00 | 5,107,960 |" in render_markdown([table])


def test_flags_are_shown_above_the_table_and_at_the_row(file: TableFile) -> None:
    runs = [make_run("full", 30.0), make_run("full", 30.0, seed=1)]
    runs.append(make_run("half", 29.0, profile="gpu"))
    text = render_markdown([fill_table(file.tables[0], runs)])
    warning = "**Warning: The rows were made under different profiles"
    assert text.index(warning) < text.index("| full |")
    assert "| half † |" in text
    assert "† other data or another profile" in text


def test_csv_has_full_precision_gaps_and_results(file: TableFile) -> None:
    value = 30.123456789012345
    table = fill_table(file.tables[0], [make_run("full", value)])
    rows = list(csv.DictReader(io.StringIO(render_csv([table, table]))))
    assert float(rows[0]["test/psnr"]) == value
    assert float(rows[0]["test/psnr published"]) == 38.8
    assert rows[2]["test/psnr"] == ""
    assert rows[3]["result"] == "not measured"
    assert [row["row"] for row in rows[:4]] == [row["row"] for row in rows[4:]]


def test_published_columns_follow_in_brackets_and_name_their_source(tmp_path: Path) -> None:
    (spec,) = read_table_file(write_spec(tmp_path, SPEC + THEIRS)).tables
    runs = [make_run("full", 30.0), make_run("half", 29.0, parameters=1_600_816)]
    text = render_markdown([fill_table(spec, [*runs, make_run("full", 30.0, seed=1)])])
    head = "|  | PSNR (dB) ↑ | parameters ↓ | [REDS, PSNR (dB)] ↑ | [DAVIS, PSNR (dB)] ↑ | n |"
    assert head in text
    assert "| full | **30.00 ± 0.00** [38.80] | 5,107,960 | [39.78] |  | 2 |" in text
    assert "| theirs | n/a | n/a | [40.13] |  | 0 |" in text, "published values are not bold"
    assert "[REDS] [DAVIS] published: Dong et al., AAAI 2026." in text
    same = spec.published_columns[0]
    text = render_markdown([fill_table(replace(spec, published_columns=(same, same)), runs)])
    assert "\n[REDS] published: Dong et al., AAAI 2026." in text


def test_csv_has_published_columns_in_full_precision_and_without_duplicates(tmp_path: Path) -> None:
    (spec,) = read_table_file(write_spec(tmp_path, SPEC + THEIRS)).tables
    table = fill_table(spec, [make_run("full", 30.0)])
    reader = csv.DictReader(io.StringIO(render_csv([table, table])))
    rows = {row["row"]: row for row in reader}
    assert list(reader.fieldnames or ()).count("REDS test/psnr published") == 1
    assert rows["theirs"]["REDS test/psnr published"] == "40.126"
    assert rows["theirs"]["test/psnr"] == rows["half"]["REDS test/psnr published"] == ""


def test_an_undecided_claim_states_the_number_of_seeds_needed(tmp_path: Path) -> None:
    claimed = SPEC.replace("by: test/psnr}", "by: test/psnr, reported: 4.0}")
    (spec,) = read_table_file(write_spec(tmp_path, claimed)).tables
    runs = [make_run("full", 30.0), make_run("full", 31.0, seed=1), make_run("half", 29.0)]
    table = fill_table(spec, runs)
    # 12.71 * sqrt(1/2) * sqrt(1/2 + 1) = 11.0; n of 12.71 * sqrt(1/2) * sqrt(2/n) <= 4 is 11
    expected = (
        "- **undecided: noise above the claimed 4.00, which 11 seeds can detect**: "
        "full better than half (PSNR (dB)) (+1.50, noise 11.00, p = 0.333 against 0)"
    )
    assert expected in render_markdown([table]).splitlines()
    assert "undecided: noise above the claimed 4.00" in render_csv([table])
