"""Tests of the command ``report`` for every kind of source."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spike_zoo import SpikeRecording, write_recording
from spike_zoo.checkpoints.loading import export
from spike_zoo.cli.main import main
from spike_zoo.media import save_picture
from spike_zoo.methods.stir import STIRModule
from spike_zoo.records.result import RECONSTRUCTIONS, TRUTHS, RunResult
from spike_zoo.reports.methods import LabelledMethod, load_methods
from spike_zoo.testing import pattern_take
from spike_zoo.testing.patterns import tiny_archive
from tests.helpers.bitstreams import bitstream, encode_symbols, random_symbols, small_header
from tests.helpers.checkpoints import write_checkpoint
from tests.helpers.codecs import SumsCodec
from tests.helpers.pages import page_data
from tests.helpers.results import make_result

if TYPE_CHECKING:
    from pathlib import Path

QUICK = ["--methods", "tfp", "tfi", "--pictures", "2", "--planes", "5"]


def _report(source: object, folder: Path, *options: str) -> tuple[str, list[dict[str, Any]]]:
    target = folder / "report.html"
    assert main(["report", str(source), *options, "--out", str(target), "--overwrite"]) == 0
    html = target.read_text(encoding="utf-8")
    return html, page_data(html)


@pytest.fixture
def street(tmp_path: Path) -> Path:
    take = pattern_take(0, planes=81, height=32, width=48)
    return write_recording(take.recording, tmp_path / "street.npz")


def test_a_recording_shows_every_method_and_its_planes(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    html, (pictures, spikes) = _report(street, tmp_path, *QUICK)
    assert capsys.readouterr().out.startswith(f"page: {tmp_path / 'report.html'} (")
    assert [layer["name"] for layer in pictures["layers"]] == ["tfp", "tfi"]
    assert len(pictures["moments"]) == 2
    assert pictures["differences"]
    assert spikes["shape"] == [5, 32, 48]
    assert "PSNR" not in html, "no PSNR without ground truth"


def test_an_archive_is_measured_against_its_ground_truth(
    clips_archive: Path, tmp_path: Path
) -> None:
    html, (pictures, _) = _report(clips_archive, tmp_path, *QUICK)
    assert [layer["name"] for layer in pictures["layers"]] == ["tfp", "tfi", "ground truth"]
    assert any("dB, SSIM" in note for note in pictures["layers"][0]["notes"])
    assert "PSNR (dB)" in html


def test_a_recording_without_a_rate_scale_is_marked_as_estimated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spikes = np.random.default_rng(0).random((41, 24, 32)) < 0.3
    path = write_recording(SpikeRecording.from_planes(spikes), tmp_path / "unknown.npz")
    html, _ = _report(path, tmp_path, *QUICK)
    assert "(estimated)" in html
    assert "--rate-scale sets it" in html
    assert "spikes per plane at white, estimated" in capsys.readouterr().err


def test_a_method_that_cannot_reconstruct_is_left_out_with_a_reason(tmp_path: Path) -> None:
    take = pattern_take(0, planes=9, height=32, width=48)
    path = write_recording(take.recording, tmp_path / "short.npz")
    html, (pictures, _) = _report(path, tmp_path, "--methods", "tfp", "stir-small")
    assert [layer["name"] for layer in pictures["layers"]] == ["tfp"]
    assert "stir-small is left out: " in html


def test_a_page_states_why_fewer_planes_are_shown_than_requested(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = pattern_take(0, planes=7, height=32, width=48)
    short = write_recording(take.recording, tmp_path / "short.npz")
    html, _ = _report(short, tmp_path, "--methods", "tfp")
    assert "1 of 5 planes are shown, because windows around the others" in html
    assert "to limit the size" not in html
    monkeypatch.setattr("spike_zoo.reports.choices.MOST_PIXELS", 2 * 32 * 48)
    html, _ = _report(street, tmp_path, "--methods", "tfp")
    assert "2 of 5 planes are shown, to limit the size of the page" in html


def test_flow_is_shown_with_a_legend_if_a_method_estimates_it(street: Path, tmp_path: Path) -> None:
    export(STIRModule(3, 1, width=0.34, lpips="off", loss_motion=0.1), tmp_path / "mine")
    html, (_, motion, _) = _report(street, tmp_path, "--methods", str(tmp_path / "mine"))
    names = [layer["name"] for layer in motion["layers"]]
    assert names == ["picture", "20 planes before", "20 planes after"]
    assert not motion["differences"], "no difference images of flow colours"
    assert "Optical flow: mine" in html
    assert "full colour: " in html


def test_motion_fields_trained_without_a_motion_loss_are_not_shown_as_flow(
    street: Path, tmp_path: Path
) -> None:
    html, viewers = _report(street, tmp_path, "--methods", "stir-small")
    assert "flow" not in html.partition("<script")[0].partition("<body>")[2]
    assert [viewer["kind"] for viewer in viewers] == ["viewer", "spikes"]


def test_a_flow_that_several_methods_share_is_shown_once(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same_methods = [*load_methods(["tfi-aligned"], device="cpu", trust=False)] * 2
    methods = [
        LabelledMethod(name, method.module)
        for name, method in zip(("one", "two"), same_methods, strict=True)
    ]
    monkeypatch.setattr("spike_zoo.reports.sources._load_methods", lambda *_: methods)
    html, _ = _report(street, tmp_path, "--pictures", "1")
    assert html.count("<h2>Optical flow: one</h2>") == 1
    assert "Optical flow: two" not in html


def test_a_slow_method_shows_only_the_first_plane(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tiny_archive(tmp_path / "three.h5", planes=161, stride=40)
    quick, slow = load_methods(["tfp", "tfi"], device="cpu", trust=False)
    methods = [quick, replace(slow, has_one_picture=True)]
    monkeypatch.setattr("spike_zoo.reports.sources._load_methods", lambda *_: methods)
    html, (pictures, _) = _report(archive, tmp_path, "--pictures", "3")
    full, single, _ = pictures["layers"]
    assert [bool(picture) for picture in full["pictures"]] == [True] * 3
    assert [bool(picture) for picture in single["pictures"]].count(True) == 1
    assert single["pictures"][pictures["first"]]
    assert "tfi takes seconds per picture" in html
    assert ">tfi (1 plane)</th>" in html, "its mean covers fewer planes"


def test_a_page_explains_methods_and_names_the_next_commands(street: Path, tmp_path: Path) -> None:
    html, _ = _report(street, tmp_path, *QUICK)
    assert "TFP (texture from playback) averages the spikes" in html
    assert "TFI (texture from interval) takes one over the time" in html
    assert "What to do next" in html
    assert "reconstruct street.npz --method tfi --average 9 --out street.mp4" in html
    assert html.count("<h2>Pictures</h2>") == 1
    assert str(tmp_path) not in html, "a page contains no local folders"


def test_exposures_become_a_strip_of_sharp_images(exposures_archive: Path, tmp_path: Path) -> None:
    _, (sharp, *_) = _report(exposures_archive, tmp_path, *QUICK)
    assert sharp["strip"]
    assert [layer["name"] for layer in sharp["layers"]][:2] == ["blurry", "deblurred"]
    assert len(sharp["layers"][1]["pictures"]) == len(sharp["moments"]) > 1


def test_the_bits_of_a_bitstream_are_shown_without_its_model(tmp_path: Path) -> None:
    path = tmp_path / "street.sci"
    path.write_bytes(
        bitstream(
            small_header(2), [encode_symbols(random_symbols(9)), encode_symbols(random_symbols(5))]
        )
    )
    html, viewers = _report(path, tmp_path, "--codec", "nothing")
    assert html.count("fill: #2f80c9") == 2, "a bar for each group of pictures"
    assert "bits per frame on average" in html
    assert "The pictures cannot be made: nothing: neither a file nor" in html
    assert viewers == []


def test_the_intact_groups_of_a_damaged_bitstream_are_shown(tmp_path: Path) -> None:
    data = bitstream(
        small_header(2), [encode_symbols(random_symbols(9)), encode_symbols(random_symbols(5))]
    )
    (tmp_path / "cut.sci").write_bytes(data[:-3])
    html, _ = _report(tmp_path / "cut.sci", tmp_path, "--codec", "nothing")
    assert html.count("<rect ") == 1
    assert "Left out: " in html


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["street.npz", "--out", "page.pdf"], "a report is written as .html"),
        (["street.npz", "--out", "there.html"], "there.html"),
    ],
)
def test_an_invalid_target_is_rejected_before_anything_is_written(
    street: Path,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(street.parent)
    (street.parent / "there.html").write_text("mine")
    assert main(["report", *arguments, "--methods", "tfp"]) == 2
    assert message in capsys.readouterr().err
    assert (street.parent / "there.html").read_text() == "mine"
    assert len(list(street.parent.iterdir())) == 2


def test_a_codec_shows_pictures_and_motion_of_a_bitstream(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = SumsCodec()
    (tmp_path / "street.sci").write_bytes(codec.compress(pattern_take(0, planes=81).recording))
    monkeypatch.setattr("spike_zoo.checkpoints.loading.load", lambda *_, **__: codec)
    _, viewers = _report(tmp_path / "street.sci", tmp_path)
    assert [viewer["label"] for viewer in viewers] == ["decoded pictures", "decoded motion"]


def test_rates_are_measured_at_every_quality_against_the_ground_truth(
    clips_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spike_zoo.reports.rates.load", lambda *_, **__: SumsCodec())
    html, _ = _report(clips_archive, tmp_path, *QUICK, "--rates")
    assert html.count("<use xlink:href=") >= 3, "a point of each quality"
    assert "bits per pixel and plane" in html
    assert "Rate and distortion" not in _report(clips_archive, tmp_path, *QUICK)[0]


def test_rates_of_a_method_without_a_codec_are_left_out(street: Path, tmp_path: Path) -> None:
    html, _ = _report(street, tmp_path, *QUICK, "--rates", "--codec", "stir-small")
    assert "No bitstream can be made: --codec stir-small: STIRModule does not compress" in html


def test_a_run_shows_its_test_samples_and_a_scene_of_the_test_split(
    clips_archive: Path, tmp_path: Path
) -> None:
    data_config = {"init_args": {"archive": str(clips_archive), "test_split": "test"}}
    folder = tmp_path / "runs" / "mine"
    make_result(variant="mine", config={"data": data_config}).write(folder / "result.json")
    for kind in (RECONSTRUCTIONS, TRUTHS):
        save_picture(np.full((16, 24), 0.5), folder / "images" / kind / "a-plane75.png")
    (folder / "per_image.csv").write_text("name,plane,psnr\na,75,31.254\n")
    (folder / "checkpoints").mkdir()
    write_checkpoint(folder / "checkpoints" / "best.ckpt")
    html, viewers = _report(tmp_path / "runs", tmp_path, *QUICK)
    assert html.count("<h2>Pictures</h2>") == 1
    stored, computed, spikes = viewers
    assert stored["layers"][0]["notes"] == ["31.25 dB"]
    assert [layer["name"] for layer in computed["layers"]] == [
        *("tfp", "tfi", "mine, best", "ground truth")
    ]
    assert spikes["kind"] == "spikes"
    _, (stored,) = _report(tmp_path / "runs", tmp_path, "--scenes", "0")
    assert stored["label"] == "test samples"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name, value in (("stir", 31.0), ("tfp", 25.0)):
        folder = tmp_path / "runs" / name
        make_result(variant=name, metrics={"test/psnr": value}).write(folder / "result.json")
        for kind in (RECONSTRUCTIONS, TRUTHS):
            save_picture(np.full((16, 24), 0.5), folder / "images" / kind / "scene-plane075.png")
    return tmp_path / "runs"


def test_page_shows_numbers_of_the_records_and_pictures_side_by_side(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "page.html"
    assert main(["report", str(runs), "--scenes", "0", "--out", str(target)]) == 0
    assert f"page: {target} (" in capsys.readouterr().out
    html = target.read_text()
    assert html.index("25.00") < html.index("31.00"), "the best comes last"
    (viewer,) = page_data(html)
    assert [layer["name"] for layer in viewer["layers"]] == ["tfp", "stir", "ground truth"]
    assert html.count("data:image/png;base64") == 3
    assert not re.search(r'(src|href)="https?:', html), "nothing is fetched"


def test_page_draws_the_curves_that_runs_measured(tmp_path: Path) -> None:
    points = {"rate_distortion/psnr": ((0.01, 30.0), (0.1, 34.0)), "other": ((1.0, 2.0),)}
    html = _page(tmp_path, make_result(variant="ours", curves=points), make_result(variant="tfp"))
    assert html.count("<svg") == 1
    assert "PSNR (dB) against bpp" in html
    assert ">ours</text>" in html


def _trained_result(name: str, test_split: str = "test", **changes: Any) -> RunResult:
    data = {"archive": "data/own.h5", "train_split": "train", "test_split": test_split}
    config = {"data": {"class_path": "spike_zoo.data.DeblurDataModule", "init_args": data}}
    metrics = {"test/psnr": 30.0, "train/total": 0.1}
    return make_result(variant=name, metrics=metrics, config=config, **changes)


def _page(tmp_path: Path, *results: RunResult) -> str:
    for result in results:
        result.write(tmp_path / "runs" / result.variant / "result.json")
    target = ["--out", str(tmp_path / "page.html"), "--overwrite"]
    assert main(["report", str(tmp_path / "runs"), "--scenes", "0", *target]) == 0
    return (tmp_path / "page.html").read_text()


def test_page_states_where_runs_were_measured_and_warns_of_rows_that_cannot_be_compared(
    tmp_path: Path,
) -> None:
    statement = "Measured on split &#39;test&#39; of own.h5, which training did not use"
    assert statement in _page(tmp_path, _trained_result("a"))
    html = _page(tmp_path, _trained_result("seen", "train", profile="gpu", data_sha256="cd" * 32))
    assert "measured on different data and cannot be compared" in html
    assert "mix profiles and cannot be compared" in html
    assert "Tested on the scenes of their training: seen." in html


def test_page_of_a_folder_without_results_is_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "no result.json below" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".md", ".csv"])
def test_a_table_is_written_in_the_format_of_its_suffix(
    runs: Path, tmp_path: Path, suffix: str
) -> None:
    target = tmp_path / f"table{suffix}"
    assert main(["table", str(runs), "--out", str(target)]) == 0
    text = target.read_text()
    assert "tfp" in text
    assert "31.0" in text


def test_a_table_of_unknown_format_is_rejected(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["table", str(runs), "--out", "table.xlsx"]) == 2
    assert ".md, .csv or .png" in capsys.readouterr().err
    assert not Path("table.xlsx").exists()
