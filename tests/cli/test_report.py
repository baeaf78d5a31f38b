"""Tests of the command ``report`` for every kind of source."""

import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spike_zoo import SpikeRecording, write_recording
from spike_zoo.checkpoints.loading import load
from spike_zoo.media import save_image
from spike_zoo.methods.stir import AlignedSTIRModule, FlowOptions
from spike_zoo.pages.methods import LabelledMethod, load_methods
from spike_zoo.testing import pattern_take
from spike_zoo.testing.patterns import tiny_archive
from spike_zoo.training.result import RECONSTRUCTIONS, TRUTHS, RunResult
from tests.helpers.bitstreams import bitstream, encode_symbols, random_symbols, small_header
from tests.helpers.checkpoints import export, write_checkpoint
from tests.helpers.codecs import SumsCodec
from tests.helpers.commands import Zoo
from tests.helpers.pages import page_data
from tests.helpers.results import make_result

QUICK = "--methods tfp tfi --images 2"
RUNS = {"stir": 31.0, "tfp": 25.0}
Page = tuple[str, list[dict[str, Any]]]
Make = Callable[..., Page]


@pytest.fixture
def report(zoo: Zoo) -> Make:
    """A recording; a function that writes a report and returns its text and viewers."""
    write_recording(pattern_take(0, planes=81, height=32, width=48).recording, "street.npz")

    def make(source: object, options: str = "") -> Page:
        assert zoo(f"report {source} --out report.html --overwrite {options}").code == 0
        html = Path("report.html").read_text(encoding="utf-8")
        return html, page_data(html)

    return make


def layers(viewer: dict[str, Any]) -> list[str]:
    return [layer["name"] for layer in viewer["layers"]]


def write_runs(*results: RunResult) -> None:
    for result in results:
        folder = Path("runs", result.variant)
        result.write(folder / "result.json")
        for kind in (RECONSTRUCTIONS, TRUTHS):
            save_image(np.full((16, 24), 0.5), folder / "images" / kind / "a-plane75.png")


def test_a_recording_shows_every_method_its_planes_and_the_next_commands(
    report: Make, tmp_path: Path
) -> None:
    html, (images, spikes) = report("street.npz", QUICK)
    assert layers(images) == ["tfp", "tfi"]
    assert images["moments"] == ["plane 40"], "the only one with all planes that tfi uses"
    assert images["differences"]
    assert spikes["shape"] == [61, 32, 48]
    assert "PSNR" not in html, "no PSNR without ground truth"
    assert "TFP (texture from playback) averages the spikes" in html
    assert "TFI (texture from interval) takes one over the time" in html
    assert "What to do next" in html
    assert "reconstruct street.npz --method tfi --average 9 --out street.mp4" in html
    assert html.count("<h2>Images</h2>") == 1
    part, (images, _) = report("street.npz", f"{QUICK} --start 40")
    assert all(int(moment.split()[1]) >= 40 for moment in images["moments"])
    assert "compress street.npz --start 40 --out street-small.mp4" in part
    assert str(tmp_path) not in html, "a page contains no local folders"


@pytest.mark.filterwarnings("ignore:my street.dat")  # an incomplete plane
@pytest.mark.parametrize("colour", ["", "--cfa RGGB"])
def test_the_next_commands_read_the_recording_as_the_report_does(colour: str, zoo: Zoo) -> None:
    """A ``.dat`` that is turned, mirrored, cut and not flipped gives the images of the upright."""
    upright = pattern_take(0, planes=81, height=32, width=48).recording
    write_recording(upright, "street.spl")
    planes = np.rot90(upright[:].astype(bool), axes=(1, 2))[:, :, ::-1]  # (T, 48, 32) as stored
    stored = SpikeRecording.from_planes(planes)
    file = write_recording(stored, "my street.dat", flip=False)
    file.write_bytes(file.read_bytes() + b"1")
    options = f"--height 48 --width 32 --flip false --mirror --rotate 90 --start 5 {colour}"
    options += " --allow-partial --rate-scale 0.6 --out page.html"
    assert zoo(f"report {options} {QUICK}", "my street.dat").code == 0
    html = Path("page.html").read_text(encoding="utf-8")
    commands = [unescape(text) for text in re.findall(r"python -m spike_zoo [^<]+", html)]
    assert len(commands) == (3 if colour else 4)
    for command in commands:
        assert zoo("", *shlex.split(command)[3:]).code == 0
    for out, method in (("my street.png", "best"), ("my street.mp4", "fast")):
        line = next(line for line in map(shlex.split, commands) if line[-1] == out)
        expected = f"{method}{Path(out).suffix}"
        own = line[line.index("--method") : line.index("--out")]
        cfa = colour.split()
        arguments = ["--start", "5", "--rate-scale", "0.6", *cfa, *own, "--out", expected]
        assert zoo("reconstruct street.spl", *arguments).code == 0
        assert Path(out).read_bytes() == Path(expected).read_bytes()


def test_a_recording_of_a_folder_is_named(zoo: Zoo) -> None:
    write_recording(np.ones((9, 4, 8), bool), "clips/deep/a.npz")
    result = zoo("report clips")
    assert result.code == 2
    assert "clips: a folder of recordings, not of runs" in result.err
    assert "such as clips/deep/a.npz" in result.err


def test_an_archive_is_measured_against_its_ground_truth(clips_archive: Path, report: Make) -> None:
    html, (images, _) = report(clips_archive, QUICK)
    assert layers(images) == ["tfp", "tfi", "ground truth"]
    assert any("dB, SSIM" in note for note in images["layers"][0]["notes"])
    assert "PSNR (dB)" in html
    assert "Rate and distortion" not in html


def test_options_of_one_recording_are_rejected_for_an_archive(
    clips_archive: Path, zoo: Zoo
) -> None:
    for option in ("--start 20", "--stop 60", "--truth none.png"):
        result = zoo(f"report {clips_archive} {option}")
        assert (result.code, f"{option}: does not apply to an archive" in result.err) == (2, True)


def test_a_recording_without_a_rate_scale_is_marked_as_estimated(report: Make, zoo: Zoo) -> None:
    spikes = np.random.default_rng(0).random((41, 24, 32)) < 0.3
    write_recording(SpikeRecording.from_planes(spikes), "unknown.npz")
    html, _ = report("unknown.npz", QUICK)
    assert "(estimated)" in html
    assert "--rate-scale sets it" in html
    error = zoo(f"report unknown.npz {QUICK}").err
    assert "spikes per plane at white, estimated" in error


def test_a_page_states_what_it_leaves_out(report: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    write_recording(pattern_take(0, planes=9, height=32, width=48).recording, "short.npz")
    html, (images, _) = report("short.npz", "--methods tfp stir")
    assert layers(images) == ["tfp"]
    assert "stir is left out: " in html
    assert "of 5 planes are shown, because windows around the others" in html
    assert "to limit the size" not in html
    monkeypatch.setattr("spike_zoo.pages.choices.MAX_PIXELS", 2 * 32 * 48)
    html, _ = report("street.npz", "--methods tfp")
    assert "2 of 5 planes are shown, to limit the size of the page" in html


def test_flow_is_shown_with_a_legend_if_a_method_estimates_it(report: Make) -> None:
    flow = FlowOptions(align_input=False, weight=0.1)
    module = AlignedSTIRModule(flow, pyramid_levels=3, width=0.34, lpips="off")
    export(module, Path("mine"))
    html, (_, motion, _) = report("street.npz", "--methods mine")
    assert layers(motion) == ["image", "20 planes before", "20 planes after"]
    assert not motion["differences"], "no difference images of flow colours"
    assert "Optical flow: mine" in html
    assert "full colour: " in html
    html, viewers = report("street.npz", "--methods stir")  # trained without a flow loss
    assert "flow" not in html.partition("<script")[0].partition("<body>")[2]
    assert [viewer["kind"] for viewer in viewers] == ["viewer", "spikes"]


def test_a_flow_that_several_methods_share_is_shown_once(
    report: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    (method,) = load_methods(["tfi-aligned"], device="cpu", trust=False)
    methods = [LabelledMethod(name, method.module) for name in ("one", "two")]
    monkeypatch.setattr("spike_zoo.pages.report_sources._load_methods", lambda *_: methods)
    html, _ = report("street.npz", "--images 1")
    assert html.count("<h2>Optical flow: one</h2>") == 1
    assert "Optical flow: two" not in html


def test_a_slow_method_shows_only_the_first_plane(
    report: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_archive(Path("three.h5"), planes=161, stride=40)
    quick, slow = load_methods(["tfp", "tfi"], device="cpu", trust=False)
    methods = [quick, replace(slow, has_one_image=True)]
    monkeypatch.setattr("spike_zoo.pages.report_sources._load_methods", lambda *_: methods)
    html, (images, _) = report("three.h5", "--images 3")
    full, single, _ = images["layers"]
    assert [bool(image) for image in full["images"]] == [True] * 3
    assert [bool(image) for image in single["images"]].count(True) == 1
    assert single["images"][images["first"]]
    assert "tfi takes seconds per image" in html
    assert ">tfi (1 plane)</th>" in html, "its mean covers fewer planes"


def test_exposures_become_a_strip_of_sharp_images(exposures_archive: Path, report: Make) -> None:
    _, (sharp, *_) = report(exposures_archive, QUICK)
    assert sharp["strip"]
    assert layers(sharp)[:2] == ["blurry", "deblurred"]
    assert len(sharp["layers"][1]["images"]) == len(sharp["moments"]) > 1


def test_the_bits_of_a_bitstream_are_shown_without_its_model(report: Make) -> None:
    payloads = [encode_symbols(random_symbols(count)) for count in (9, 5)]
    Path("street.sci").write_bytes(bitstream(small_header(2), payloads))
    html, viewers = report("street.sci", "--coding-method nothing")
    assert html.count("fill: #2f80c9") == 2, "a bar for each group of pictures"
    assert "bits per frame on average" in html
    assert "The images cannot be made: nothing: neither a file nor" in html
    assert viewers == []
    Path("cut.sci").write_bytes(Path("street.sci").read_bytes()[:-3])
    html, _ = report("cut.sci", "--coding-method nothing")
    assert html.count("<rect ") == 1
    assert "Left out: " in html


def test_a_codec_shows_images_and_motion_of_a_bitstream(
    report: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = SumsCodec()
    Path("street.sci").write_bytes(codec.compress(pattern_take(0, planes=81).recording))
    monkeypatch.setattr("spike_zoo.checkpoints.loading.load", lambda *_, **__: codec)
    _, viewers = report("street.sci")
    assert [viewer["label"] for viewer in viewers] == ["decoded images", "decoded flow"]


def test_rates_are_measured_at_every_quality_against_the_ground_truth(
    clips_archive: Path, report: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    html, _ = report("street.npz", f"{QUICK} --rates --coding-method stir")
    assert "No bitstream can be made: --coding-method stir: STIRModule does not compress" in html

    def load_codec(name: str, **options: Any) -> Any:
        return SumsCodec() if name == "sci" else load(name, **options)

    monkeypatch.setattr("spike_zoo.checkpoints.loading.load", load_codec)
    html, _ = report(clips_archive, f"{QUICK} --rates")
    assert html.count("<use xlink:href=") >= 3, "a point of each quality"
    assert "bits per pixel and plane" in html
    assert "Rate and distortion" in html


def test_a_run_shows_its_test_samples_and_a_scene_of_the_test_split(
    clips_archive: Path, report: Make
) -> None:
    data_config = {"init_args": {"archive": str(clips_archive), "test_split": "test"}}
    write_runs(make_result(variant="mine", config={"data": data_config}))
    Path("runs/mine/per_image.csv").write_text("name,plane,psnr\na,75,31.254\n")
    Path("runs/mine/checkpoints").mkdir()
    write_checkpoint(Path("runs/mine/checkpoints/best.ckpt"))
    html, (stored, computed, spikes) = report("runs", QUICK)
    assert html.count("<h2>Images</h2>") == 1
    assert stored["layers"][0]["notes"] == ["31.25 dB"]
    assert layers(computed) == ["tfp", "tfi", "mine, best", "ground truth"]
    assert spikes["kind"] == "spikes"
    _, (stored,) = report("runs", "--scenes 0")
    assert stored["label"] == "test samples"


def test_a_page_of_runs_shows_their_numbers_and_images_side_by_side(report: Make, zoo: Zoo) -> None:
    write_runs(*(make_result(variant=n, metrics={"test/psnr": v}) for n, v in RUNS.items()))
    html, (viewer,) = report("runs", "--scenes 0")
    assert html.index("25.00") < html.index("31.00"), "the best comes last"
    assert layers(viewer) == ["tfp", "stir", "ground truth"]
    assert html.count("data:image/png;base64") == 3
    assert not re.search(r'(src|href)="https?:', html), "nothing is fetched"
    Path("empty").mkdir()
    assert "no result.json below" in zoo("report empty").err


def test_a_page_draws_the_curves_that_runs_measured(report: Make) -> None:
    points = {"rate_distortion/psnr": ((0.01, 30.0), (0.1, 34.0)), "other": ((1.0, 2.0),)}
    write_runs(make_result(variant="ours", curves=points), make_result(variant="tfp"))
    html, _ = report("runs", "--scenes 0")
    assert html.count("<svg") == 1
    assert "PSNR (dB) against bpp" in html
    assert ">ours</text>" in html


def test_a_page_warns_of_runs_that_cannot_be_compared(report: Make) -> None:
    def trained(name: str, test_split: str = "test", **changes: Any) -> RunResult:
        data = {"archive": "data/own.h5", "train_split": "train", "test_split": test_split}
        config = {"data": {"class_path": "spike_zoo.data.DeblurDataModule", "init_args": data}}
        metrics = {"test/psnr": 30.0, "train/total": 0.1}
        return make_result(variant=name, metrics=metrics, config=config, **changes)

    write_runs(trained("a"))
    statement = "Measured on split &#39;test&#39; of own.h5, which training did not use"
    assert statement in report("runs", "--scenes 0")[0]
    write_runs(trained("seen", "train", profile="gpu", data_sha256="cd" * 32))
    html, _ = report("runs", "--scenes 0")
    assert "measured on different data and cannot be compared" in html
    assert "made under different profiles and cannot be compared" in html
    assert "Tested on the scenes of their training: seen." in html


def test_a_page_states_what_longer_training_of_the_same_network_gains(report: Make) -> None:
    model = {"init_args": {"weights": "stir"}}
    shipped = make_result(
        variant="stir", metrics={"test/psnr": 34.5}, parameters=9, config={"model": model}
    )
    short = {"test/psnr": 29.25, "train/total": 0.1}
    own = make_result(variant="mine", metrics=short, parameters=9, wall_seconds=90.0)
    other = make_result(variant="other", metrics=short, parameters=8)
    write_runs(shipped, own, other)
    html, _ = report("runs", "--scenes 0")
    assert "mine was trained here, in 1.5 min. With the weights stir," in html
    assert "this network has 5.2 dB more" in html
    assert "other was trained here" not in html
    assert html.index("<h2>Test samples") < html.index("<h2>Numbers"), "images come first"


@pytest.mark.parametrize("suffix", [".md", ".csv"])
def test_a_table_is_written_in_the_format_of_its_suffix(suffix: str, zoo: Zoo) -> None:
    write_runs(*(make_result(variant=n, metrics={"test/psnr": v}) for n, v in RUNS.items()))
    assert zoo(f"table runs --out table{suffix}").code == 0
    text = Path(f"table{suffix}").read_text()
    assert "tfp" in text
    assert "31.0" in text
    assert ".md, .csv" in zoo("table runs --out table.xlsx").err
