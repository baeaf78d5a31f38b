"""Rows of other codecs run through the command line, and the tables have the paper's points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spike_zoo.cli.main import main
from spike_zoo.records.result import RunResult
from spike_zoo.sweeps import read_sweep
from spike_zoo.tables import read_table_file
from tests.conftest import ROOT
from tests.methods.sci.test_configs import CODED, CONFIGS, ROWS, SCI, class_of, content_of

CODED_ROWS = [path for path in ROWS if class_of(path) in CODED]
BASE = ROOT / "configs" / "sci_video.yaml"


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("archives") / "sequence.h5")
    scenes = ["--train", "1", "--val", "1", "--test", "1", "--height", "32", "--width", "32"]
    line = ["simulate", "--kind", "sequence", "--size", "small", "--jobs", "1", *scenes]
    assert main([*line, "--out", path]) == 0
    return path


def measured(path: Path, archive: str, run_dir: Path) -> RunResult:
    """Test a row as the sweep does, on a small archive."""
    files = [BASE.relative_to(ROOT), Path("configs/profiles/smoke.yaml"), path.relative_to(ROOT)]
    line = [argument for file in files for argument in ("--config", file.as_posix())]
    line += ["--data.init_args.archive", archive, "--run_dir", str(run_dir)]
    assert main(["test", *line, "--trainer.enable_progress_bar", "false"]) == 0
    return RunResult.read(run_dir / "test")


def stated(path: Path) -> dict[str, Any]:
    arguments: dict[str, Any] = content_of(path)["model"]["init_args"]
    return arguments


@pytest.mark.slow
@pytest.mark.parametrize("path", CODED_ROWS, ids=lambda path: path.stem)
def test_a_row_runs_with_the_smoke_profile(path: Path, archive: str, tmp_path: Path) -> None:
    result = measured(path, archive, tmp_path)
    assert (result.variant, result.method, result.profile) == (path.stem, "sci", "smoke")
    if class_of(path) == "LosslessModule":
        assert list(result.metrics) == ["test/bpp"]
        assert 0 < result.metrics["test/bpp"] <= 1
        assert result.metrics["test/bpp"] == 1 or path.stem != "raw"
        return
    curve = result.curves["rate_distortion/psnr"]
    assert len(curve) == len(stated(path).get("qps", range(4))) == 4
    rates = [rate for rate, _ in curve]
    assert rates == sorted(rates)
    assert rates[0] < rates[-1]
    assert all(5 < quality < 60 for _, quality in curve)
    assert result.metrics["test/psnr_q3"] == pytest.approx(curve[3][1])


def test_every_row_of_a_codec_is_swept_and_shown() -> None:
    swept = {
        Path(name).name
        for name in read_sweep(SCI / "sweep_video.yaml").parameters["config"]["values"]
    }
    assert swept == {path.name for path in CODED_ROWS}
    shown = {variant.name for variant in read_table_file(SCI / "table.yaml").variants}
    assert swept <= shown
    assert BASE in CONFIGS
