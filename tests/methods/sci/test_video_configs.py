"""Rows of other codecs run through the command line, and the tables have the paper's points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from spike_zoo import SpikeArchive
from spike_zoo.cli.main import main
from spike_zoo.media.coded_video import encode_video
from spike_zoo.records.result import RunResult
from spike_zoo.sweeps import read_sweep
from spike_zoo.tables import read_table_file
from spike_zoo.tables.read import read_points
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
    if path.stem == "cta_x265":
        assert result.metrics["test/bpp_q3"] == pytest.approx(bpp_by_hand(path, archive))


def bpp_by_hand(path: Path, archive: str) -> float:
    """Return the rate of the finest point of a row that codes the spikes themselves."""
    with SpikeArchive(archive) as opened:
        spikes = opened[opened.names("test")[0]][:]
    given = stated(path)
    coded = encode_video(spikes.astype(np.uint8) * 255, given["codec"], given["qps"][-1])
    return 8 * len(b"".join(coded.packets)) / spikes.size


def test_every_row_of_a_codec_is_swept_and_shown() -> None:
    swept = {
        Path(name).name
        for name in read_sweep(SCI / "sweep_video.yaml").parameters["config"]["values"]
    }
    assert swept == {path.name for path in CODED_ROWS}
    shown = {variant.name for variant in read_table_file(SCI / "table.yaml").variants}
    assert swept <= shown
    assert BASE in CONFIGS


def test_rows_say_what_their_names_say() -> None:
    kinds = {"cta": "CTAModule", "atc": "ATCModule", "caas": "CAASModule"}
    kinds |= dict.fromkeys(("raw", "spikes"), "LosslessModule") | {"sci": "SCIBitstreamModule"}
    for path in CODED_ROWS:
        words = path.stem.split("_")
        assert class_of(path) == kinds[words[0]], path.stem
        codec = {"x264", "x265", "svtav1"} & set(words)
        assert codec == ({stated(path)["codec"]} if "codec" in stated(path) else set())
        assert content_of(path)["data"] == content_of(BASE)["data"]
        if words[0] == "sci":
            assert stated(path)["gop"] == int(words[2])
    assert stated(SCI / "variants" / "caas_x265_still.yaml")["motion"] == "none"


def test_rows_of_one_codec_have_one_set_of_quantisers() -> None:
    for codec in ("x264", "x265", "svtav1"):
        sets = {
            tuple(stated(SCI / "variants" / f"{kind}_{codec}.yaml")["qps"])
            for kind in ("atc", "caas")
        }
        assert len(sets) == 1, codec


def test_the_points_of_the_papers_table_iii_are_all_there() -> None:
    found = read_points(SCI / "published" / "cta.csv")
    assert {name: len(points) for name, points in found.items()} == {
        "CTA, VTM": 4,
        "CTA, DCVC": 4,
        "CTA, DCVC-DC": 4,
    }
    assert found["CTA, VTM"][2] == (0.63, 17.42)
    assert max(quality for points in found.values() for _, quality in points) == 20.36


def test_bit_savings_of_table_vii_are_those_of_its_mean_rates() -> None:
    content = yaml.safe_load((SCI / "table.yaml").read_text(encoding="utf-8"))
    (table,) = (one for one in content["tables"] if "(Table VII)" in one["title"])
    for point, rate in enumerate((0.0111, 0.0162, 0.0251, 0.0381)):
        theirs = [row["published"] for row in table["rows"] if "published" in row]
        savings = [values[f"test/bit_saving_q{point}"] for values in theirs]
        assert 1 - sum(savings) / 300 == pytest.approx(rate, abs=6e-5)
