"""Rows are compared by the images they were tested on, not by the name of the data alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from spike_zoo.cli.main import main
from spike_zoo.records.result import RunResult
from spike_zoo.tables import collect_runs, fill_table, table_of_runs
from spike_zoo.testing import tiny_archive
from spike_zoo.testing.exposures import exposure_archive
from tests.conftest import ROOT
from tests.helpers.tables import make_run

QUIET = ["--trainer.enable_progress_bar", "false", "--trainer.logger", "false"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tests of one archive that differ in how many of its images have a whole clip."""
    folder = tmp_path_factory.mktemp("runs")
    archive = tiny_archive(folder / "tiny.h5", planes=201, height=32, width=48, stride=20)
    for name, length in (("tfi", "61"), ("tfp", "151")):
        call = ["--config", str(ROOT / "configs" / "classical" / f"{name}.yaml"), *QUIET]
        call += ["--data.init_args.archive", str(archive)]
        call += ["--data.init_args.clip_length", length, "--run_dir", str(folder / name)]
        assert main(["test", *call]) == 0
    return folder


def _warnings(folder: Path) -> tuple[str, ...]:
    found = collect_runs([folder])
    return fill_table(table_of_runs(found), found).warnings


def test_a_table_warns_of_rows_on_different_images_of_the_same_data(runs: Path) -> None:
    counts = {name: RunResult.read(runs / name / "test").images for name in ("tfi", "tfp")}
    assert counts["tfi"] is not None
    assert counts["tfp"] is not None
    assert counts["tfi"] > counts["tfp"] > 0
    (warning,) = _warnings(runs)
    assert "different images of the same data" in warning
    for name, count in counts.items():
        assert f"{count} ({name})" in warning
    assert not _warnings(runs / "tfi")


def test_images_of_an_exposure_are_the_same_whatever_is_read_before_it(tmp_path: Path) -> None:
    archive = exposure_archive(tmp_path / "exposures.h5")
    found = set()
    for margin in ("0", "20"):
        call = ["--model", "spike_zoo.methods.ssdm.teacher_module.BlurryInputModule", *QUIET]
        call += ["--data", "spike_zoo.data.DeblurDataModule"]
        call += ["--data.init_args.archive", str(archive), "--data.init_args.margin", margin]
        assert main(["test", *call, "--run_dir", str(tmp_path / margin)]) == 0
        (run,) = collect_runs([tmp_path / margin])
        found.add((run.result.images, run.result.images_sha256))
    assert [images for images, _ in found] == [3]


def test_as_many_other_images_are_no_less_different() -> None:
    rows = [
        make_run("full", 30.0, images=36, images_sha256="ab" * 32),
        make_run("half", 29.0, images=36, images_sha256="cd" * 32),
        make_run("other", 28.0, data_sha256="0" * 64, images=9, images_sha256="ef" * 32),
    ]
    warnings = fill_table(table_of_runs(rows), rows).warnings
    (warning,) = [text for text in warnings if "different images" in text]
    assert "36, ababab (full); 36, cdcdcd (half)" in warning
    assert "other" not in warning
