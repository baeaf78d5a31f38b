"""From records to a table: means, published values, gaps and warnings."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from spike_zoo.errors import ConfigError, MissingFileError
from spike_zoo.tables import (
    collect_results,
    fill_table,
    read_table_spec,
    render_csv,
    render_markdown,
    table_of_runs,
)
from tests.helpers.results import make_result

SPEC = """
title: Capacity
source: Fan et al., NeurIPS 2024
columns: [test/psnr, parameters]
rows:
  - {name: full, variant: variants/full.yaml, published: {test/psnr: 38.8}}
  - {name: half, variant: variants/half.yaml}
  - {name: never run, variant: variants/never.yaml}
"""


@pytest.fixture
def spec_file(tmp_path: Path) -> Path:
    path = tmp_path / "table.yaml"
    path.write_text(SPEC)
    return path


def test_rows_show_mean_and_deviation_over_seeds_beside_the_published_value(
    spec_file: Path,
) -> None:
    results = [
        make_result(seed=0, metrics={"test/psnr": 30.0}),
        make_result(seed=1, metrics={"test/psnr": 32.0}),
        make_result(variant="half", metrics={"test/psnr": 29.0}, parameters=1_600_816),
    ]
    text = render_markdown(fill_table(read_table_spec(spec_file), results))
    assert "| full | **31.00 ± 1.41 [38.80]** | 5,107,960 |" in text
    assert "| half | 29.00 | 1,600,816 |" in text
    assert "| never run | n/a | n/a |" in text
    assert "Seeds: 0, 1." in text


def test_rows_on_different_data_or_profiles_are_flagged(spec_file: Path) -> None:
    results = [make_result(), make_result(variant="half", data_sha256="cd" * 32, profile="gpu")]
    text = render_markdown(fill_table(read_table_spec(spec_file), results))
    assert "different data" in text
    assert "mix profiles: cpu, gpu" in text


def test_csv_has_full_precision(spec_file: Path) -> None:
    value = 30.123456789012345
    table = fill_table(read_table_spec(spec_file), [make_result(metrics={"test/psnr": value})])
    rows = list(csv.DictReader(io.StringIO(render_csv(table))))
    assert float(rows[0]["test/psnr"]) == value
    assert rows[2]["test/psnr"] == ""


def test_a_folder_of_runs_gives_a_row_per_variant(tmp_path: Path) -> None:
    for name in ("tfp", "tfi"):
        make_result(variant=name).write(tmp_path / name / "test" / "result.json")
    results = collect_results([tmp_path])
    table = fill_table(table_of_runs(results), results)
    assert sorted(name for name, _ in table.rows) == ["tfi", "tfp"]
    assert "test/lpips" not in table.columns


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"no result\.json below"):
        collect_results([tmp_path])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("title: Capacity", "titel: x"), "the table lacks the key 'title'"),
        (("name: half,", "nmae: half,"), "row 2 lacks the key 'name'"),
        (("source:", "sources:"), "unknown key 'sources'"),
    ],
)
def test_a_wrong_key_is_named_with_its_place(
    spec_file: Path, change: tuple[str, str], message: str
) -> None:
    spec_file.write_text(SPEC.replace(*change))
    with pytest.raises(ConfigError, match=rf"table\.yaml: .*{message}"):
        read_table_spec(spec_file)
