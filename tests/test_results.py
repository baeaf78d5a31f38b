"""Committed tables equal the tables of the committed records."""

import json
import re
import statistics
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from benchmarks import claims, evidence, page, reproduce_page, sci_ratio
from spike_zoo.cli.weights_info import weight_cards
from spike_zoo.tables import read_table_file
from spike_zoo.tables.claims import Result
from spike_zoo.tables.fill import FilledTable
from spike_zoo.tables.render import render_csv, render_markdown
from spike_zoo.training.stored import read_records
from spike_zoo.utils.files import shipped_weights
from tests.conftest import ROOT

pytestmark = pytest.mark.repo

RENDERED = sorted((ROOT / "experiments").glob("*/results/*.md"))


@pytest.fixture(scope="module")
def committed() -> dict[Path, list[FilledTable]]:
    return claims.committed_tables()


@pytest.mark.parametrize("rendered", RENDERED, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_committed_tables_equal_the_tables_of_the_committed_records(
    rendered: Path, committed: dict[Path, list[FilledTable]]
) -> None:
    spec = rendered.parents[1] / f"{rendered.stem}.yaml"
    markdown = render_markdown(committed[spec], read_table_file(spec).title)
    advice = "run make ablation-table or spike-zoo table"
    assert markdown == rendered.read_text(encoding="utf-8"), advice
    csv = rendered.with_suffix(".csv").read_text(encoding="utf-8")
    assert render_csv(committed[spec]) == csv, advice


@pytest.fixture(scope="module")
def tables(committed: dict[Path, list[FilledTable]]) -> list[FilledTable]:
    return [table for filled in committed.values() for table in filled]


def test_the_evidence_page_states_the_number_of_every_result(tables: list[FilledTable]) -> None:
    results = [tested for table in tables for tested in table.claims]
    lines = [line for path in RENDERED for line in path.read_text().splitlines()]
    for result in Result:
        listed = sum(line.startswith(f"- **{result}") for line in lines)
        assert sum(tested.result is result for tested in results) == listed, result
    page = (ROOT / "experiments/README.md").read_text()
    assert claims.summary(results) in page, "run python -m benchmarks.claims"


def test_the_benchmark_page_states_the_numbers_of_the_committed_records(
    committed: dict[Path, list[FilledTable]],
) -> None:
    stored = json.loads(page.DATA.read_text(encoding="utf-8"))
    numbers = list(page.values(committed))
    assert stored["numbers"] == numbers, "run make benchmark-page"
    text = page.page(numbers, stored["costs"])
    assert page.PAGE.read_text(encoding="utf-8") == text, "run make benchmark-page"
    assert page.WEIGHTS.read_text(encoding="utf-8") == page.weights_page(), "make benchmark-page"
    assert weight_cards().keys() == shipped_weights().keys()


def test_the_notes_state_the_bits_of_sci_against_x265() -> None:
    table = sci_ratio.table(ROOT / sci_ratio.RECORDS)
    notes = (ROOT / "experiments/sci/NOTES.md").read_text(encoding="utf-8")
    assert table in notes, "run python -m benchmarks.sci_ratio"


def test_no_claim_is_counted_in_two_tables(tables: list[FilledTable]) -> None:
    counts: Counter[tuple[object, ...]] = Counter()
    for table in tables:
        sources = {row: tuple(run.source for run in runs) for row, runs in table.runs.items()}
        for tested in table.claims:
            claim = tested.claim
            others = (claim.row, claim.other, claim.anchor, claim.above)
            folders = tuple(sources.get(str(name), ()) for name in others)
            if tested.difference is not None:
                counts[(*folders, claim.by, claim.than, claim.is_close, claim.limit)] += 1
    assert counts
    assert [key for key, count in counts.items() if count > 1] == []


def test_the_evidence_page_states_the_minutes_of_the_committed_runs() -> None:
    page = (ROOT / "experiments/README.md").read_text(encoding="utf-8")
    rows = re.findall(r"\| (\d+) \((\d+) to (\d+)\) \| \[.*?\]\((\w+)/results/(\w+)\.md\)", page)
    assert len(rows) == 9
    for *stated_minutes, method, table in rows:
        folder = ROOT / "experiments" / method / "results" / claims.PROFILES[table]
        stored = read_records(folder / "records.jsonl").values()
        minutes = [minutes_of_table.result.wall_seconds / 60 for minutes_of_table in stored]
        measured = [statistics.median(minutes), min(minutes), max(minutes)]
        assert [int(number) for number in stated_minutes] == [
            round(minutes_of_table) for minutes_of_table in measured
        ], f"{method}, {table}"


@pytest.mark.parametrize("row", evidence.ROWS)
def test_the_evidence_figure_has_its_records(row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for metrics in evidence.records(row):
        assert {f"test/psnr_{speed}" for speed in evidence.SPEEDS} <= metrics.keys()


def test_the_pages_of_published_values_are_made_from_the_committed_tables(
    committed: dict[Path, list[FilledTable]],
) -> None:
    pages = reproduce_page.pages_of(committed)
    assert set(pages) == set(reproduce_page.PAGES.glob("*.md"))
    for path, text in pages.items():
        assert path.read_text(encoding="utf-8") == text, "run python -m benchmarks.reproduce_page"


def test_every_published_value_is_on_a_page(tables: list[FilledTable]) -> None:
    numbers = defaultdict[str, list[float]](list)  # first cell of a line -> its numbers
    texts = [path.read_text(encoding="utf-8") for path in reproduce_page.PAGES.glob("*.md")]
    last = ""
    for line in (line for text in texts for line in text.splitlines()):
        first, *cells = line.removeprefix("| ").removesuffix(" |").split(" | ")
        last = first = first.strip() or last  # a row of several lines is named once
        plain = (cell.replace(",", "") for cell in cells)
        numbers[first] += map(float, filter(re.compile(r"[-+]?\d+(\.\d+)?").fullmatch, plain))
    names = defaultdict[object, set[str]](set)  # rows of one variant may be listed once
    for row in (row for table in tables for row in table.spec.rows):
        names[row.variant or row.name].add(row.name)
    count = 0
    for table in tables:
        columns = {column.name: column for column in table.spec.columns}
        for row in table.spec.rows:
            published = [(columns[name], value) for name, value in row.published.items()]
            published += [
                (column.column, column.values[row.name])
                for column in table.spec.published_columns
                if row.name in column.values
            ]
            listed = [one for name in names[row.variant or row.name] for one in numbers[name]]
            for column, value in published:
                place = f"{table.title}, {row.name}, {column.name}"
                assert pytest.approx(value * column.scale, rel=1e-5) in listed, place
            count += len(published)
    assert count > 250
    assert {1.62, 2.11, 1.36} <= {*numbers["both, gain over ventral alone"]}


def test_tables_with_published_values_state_the_protocol(tables: list[FilledTable]) -> None:
    for spec in (table.spec for table in tables):
        values = [*spec.published_columns, *(row for row in spec.rows if row.published)]
        if values or any(curve.published for curve in spec.curves):
            assert spec.protocol, spec.title
            assert spec.differs, spec.title
