"""Tests of the command ``reconstruct``: outputs and rejected calls."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.io import imread
from torch import Tensor

from spike_zoo import SpikeRecording, load, write_recording
from spike_zoo.coding.spl import codec as lossless
from spike_zoo.media import load_image, sharpened
from spike_zoo.methods.classical import TFI, TFPModule
from spike_zoo.methods.stir import STIRModule
from spike_zoo.simulation import SpikeCamera
from spike_zoo.spikes.cfa import cfa_masks
from spike_zoo.tasks.protocols import margin_of
from tests.helpers.archives import write_takes
from tests.helpers.checkpoints import export
from tests.helpers.commands import Zoo

PLANES, HEIGHT, WIDTH = 70, 24, 37


@pytest.fixture(autouse=True)
def recording(zoo: Zoo) -> SpikeRecording:
    """A recording, also as ``street.npz``."""
    spikes = np.random.default_rng(4).random((PLANES, HEIGHT, WIDTH)) < 0.3
    recording = SpikeRecording.from_planes(spikes, rate_scale=0.6)
    write_recording(recording, "street.npz")
    return recording


def names(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def check_image(path: str, expected: Tensor) -> None:
    np.testing.assert_allclose(load_image(path), expected, atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize(
    ("options", "measured"), [("--method tfi --average 21", 35.83), ("--method tfp", 31.60)]
)
def test_an_image_of_the_sample_clip_reaches_the_measured_psnr(
    shared: Path, options: str, measured: float, zoo: Zoo
) -> None:
    line = f"reconstruct {shared / 'data' / 'data.dat'} --height 250 --width 400 --center 150"
    assert zoo(f"{line} --rate-scale 0.6 --out a.png {options}").code == 0
    error = load_image("a.png") - load_image(shared / "data" / "data.png")
    assert -10 * np.log10(np.mean(error**2)) == pytest.approx(measured, abs=0.05)


def test_a_stated_softness_is_removed_from_every_image(zoo: Zoo) -> None:
    line = "reconstruct street.npz --method tfi --average 9 --stride 20 --out"
    assert zoo(f"{line} plain").code == 0
    assert zoo(f"{line} sharp --sharpen 0.4").code == 0
    assert names("sharp") == names("plain")
    for name in names("plain"):
        image = torch.from_numpy(load_image(f"plain/{name}"))
        expected = sharpened(image, 0.4)
        np.testing.assert_allclose(load_image(f"sharp/{name}"), expected, atol=2 / 255)
        assert not np.allclose(expected, image, atol=4 / 255)
    for value in ("0", "2.5"):
        result = zoo(f"{line} none --sharpen {value}")
        assert result.code == 2
        assert "--sharpen" in result.err


def test_a_lossless_recording_gives_the_same_images_as_the_original(
    recording: SpikeRecording, zoo: Zoo
) -> None:
    lossless.write(recording, Path("street.spl"), restart=16)
    for suffix in ("npz", "spl"):
        line = f"reconstruct street.{suffix} --out {suffix} --method tfi --stride 9"
        assert zoo(line).code == 0
    assert len(names("npz")) == 8
    for name in names("npz"):
        assert Path("spl", name).read_bytes() == Path("npz", name).read_bytes()


def test_the_default_method_is_the_best_that_takes_at_most_a_minute(
    zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    for budget, options, message in (
        (60.0, "fused", "method: fused\n"),
        (1e-4, "tfi --average 9", "method: tfi, mean of 9 planes: fused would"),
    ):
        monkeypatch.setattr("spike_zoo.cli.reconstruct._BUDGET", budget)
        assert message in zoo("reconstruct street.npz --out a.png --overwrite").err
        zoo(f"reconstruct street.npz --out b.png --overwrite --method {options}")
        assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_images_of_a_range_of_planes_equal_those_of_the_whole_recording(zoo: Zoo) -> None:
    line = "reconstruct street.npz --average 9 --stride 10 --out"
    assert zoo(f"{line} all --start 0 --stop 70").code == 0
    assert zoo(f"{line} some --start 20 --stop 41").code == 0
    assert names("some") == [f"street-{plane:06d}.png" for plane in (20, 30, 40)]
    for name in names("some"):
        assert Path("some", name).read_bytes() == Path("all", name).read_bytes()


@pytest.mark.parametrize(
    ("span", "plane"), [("", 35), ("--start 10 --stop 60", 35), ("--start 30", 50)]
)
def test_an_image_without_a_centre_shows_the_middle_plane(span: str, plane: int, zoo: Zoo) -> None:
    line = "reconstruct street.npz --method tfi --out"
    assert f"a.png (plane {plane} of 70)" in zoo(f"{line} a.png {span}").out
    assert zoo(f"{line} b.png --center {plane}").code == 0
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_a_raw_recording_is_read_from_the_bottom_by_default(
    recording: SpikeRecording, zoo: Zoo
) -> None:
    upright = SpikeRecording.from_planes(recording[:][:, :, :32], rate_scale=0.6)
    write_recording(upright, "street.dat", with_sidecar=False)
    line = f"reconstruct street.dat --method tfp --height {HEIGHT} --width 32 --rate-scale 0.6"
    for options in ("--out a.png", "--out b.png --flip false"):
        assert zoo(f"{line} {options}").code == 0
    np.testing.assert_array_equal(imread("a.png"), imread("b.png")[::-1])
    assert (imread("a.png") != imread("b.png")).any()


@pytest.mark.slow
def test_a_video_shows_every_stride_th_plane(zoo: Zoo) -> None:
    result = zoo("reconstruct street.npz --out a.mp4 --stride 10 --fps 50 --start 0 --stop 70")
    with av.open("a.mp4") as container:
        images = list(container.decode(video=0))
        assert container.streams.video[0].average_rate == 50
    assert len(images) == 7
    assert (images[0].height, images[0].width) == (HEIGHT, WIDTH + 1)
    assert "a.mp4 (7 images, planes 0 to 60, every 10; 50 a second)" in result.out


def test_a_folder_gets_one_image_named_after_each_plane(
    recording: SpikeRecording, zoo: Zoo
) -> None:
    assert zoo("reconstruct street.npz --out new/a --method tfp --window 9 --stride 30").code == 0
    assert names("new/a") == [f"street-{plane:06d}.png" for plane in (4, 34, 64)]
    expected = TFPModule(window=9).reconstruct(recording, [4, 34, 64])
    for name, image in zip(names("new/a"), expected, strict=True):
        check_image(f"new/a/{name}", image)
    assert names("new") == ["a"]


def test_a_method_from_a_file_reconstructs_a_recording_of_an_archive(
    recording: SpikeRecording, zoo: Zoo
) -> None:
    export(TFI(average=5), Path("mine"))
    write_takes(Path("archive.h5"), {"other": recording, "street": recording})
    line = "reconstruct archive.h5 --out a.png --name street --method mine --center 7"
    assert zoo(line).code == 0
    check_image("a.png", TFI(average=5).reconstruct(recording, [7])[0])


@pytest.mark.parametrize("is_fast", [True, False])
def test_a_learned_method_accepts_tiles_and_a_precision_which_is_bf16_where_it_is_fast(
    recording: SpikeRecording, zoo: Zoo, monkeypatch: pytest.MonkeyPatch, is_fast: bool
) -> None:
    monkeypatch.setattr("spike_zoo.nn.precision.has_fast_bf16", lambda: is_fast)
    torch.manual_seed(0)
    module = STIRModule(pyramid_levels=3, width=0.34)
    export(module, Path("mine"))
    line = "reconstruct street.npz --method mine --center 30 --out"
    assert ("precision: bf16" in zoo(f"{line} a.png").err) is is_fast
    module.precision = "bf16" if is_fast else "32"
    check_image("a.png", module.reconstruct(recording, [30])[0])
    module.precision = "bf16"
    result = zoo(f"{line} b.png --precision bf16 --tile 128")
    assert ("slower than 32 on this machine" in result.err) is not is_fast
    check_image("b.png", module.reconstruct(recording, [30])[0])
    assert "at least 128" in zoo(f"{line} c.png --tile 100").err


def test_an_unknown_rate_scale_is_estimated_and_reported_on_one_line(zoo: Zoo) -> None:
    spikes = np.zeros((60, 8, 16), np.bool_)
    spikes[::4, :, :8] = True  # a quarter of the planes
    write_recording(SpikeRecording.from_planes(spikes), "raw.dat")
    line = "reconstruct raw.dat --height 8 --width 16 --method tfi --out a.png"
    (estimated,) = zoo(line).err.splitlines()
    columns = load_image("a.png")[0].mean(axis=0)
    np.testing.assert_allclose(columns, [1 / 1.1] * 8 + [0.0] * 8, atol=0.003)
    assert estimated.startswith("rate scale: 0.275 spikes per plane at white, estimated")
    assert "--rate-scale sets it" in estimated
    assert zoo(f"{line} --overwrite --rate-scale 0.5").err == ""
    assert load_image("a.png").max() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("a.png --method tfi --window 9", "no setting 'window' to change; its settings: average"),
        ("a.png --method tfp --average 9", "--method tfp: there is no setting 'average' to"),
        ("a.png --device toaster", "--device toaster"),
        ("a.png --tile 256", "--tile 256: method fused has no such option"),
        ("a.png --precision bf16", "--precision bf16: method fused has no such option"),
    ],
)
def test_options_that_a_method_does_not_have_are_rejected(
    options: str, message: str, zoo: Zoo
) -> None:
    result = zoo(f"reconstruct street.npz --out {options}")
    assert result.code == 2
    assert message in result.err
    assert names(".") == ["street.npz"]


def test_existing_files_are_replaced_only_with_overwrite(zoo: Zoo) -> None:
    Path("a.png").write_bytes(b"mine")
    Path("images").mkdir()
    Path("images/notes.txt").write_text("mine")
    for out in ("a.png", "images"):
        assert "exists" in zoo(f"reconstruct street.npz --out {out}").err
        assert zoo(f"reconstruct street.npz --overwrite --out {out}").code == 0
    assert load_image("a.png").shape == (1, HEIGHT, WIDTH)
    assert {"notes.txt", "street-000032.png"} <= {*names("images")}


@pytest.mark.parametrize("out", ["a.mp4", "images", "deep/er/images"])
def test_ctrl_c_leaves_no_partial_files(
    zoo: Zoo, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    original = TFI._stream

    def interrupted(*arguments: Any) -> Iterator[Tensor]:
        images = original(*arguments)
        yield next(images)
        raise KeyboardInterrupt

    monkeypatch.setattr(TFI, "_stream", interrupted)
    assert zoo(f"reconstruct street.npz --method tfi --out {out}").code == 130
    assert [path for path in Path().rglob("*") if path.is_file()] == [Path("street.npz")]


@pytest.fixture
def _bayer(zoo: Zoo) -> None:
    """A recording with Bayer filters, dark in red and bright in blue."""
    light = cfa_masks("BGGR", 24, 32) * np.array([0.2, 0.4, 0.8], np.float32).reshape(3, 1, 1)
    camera = SpikeCamera(gain=0.6, generator=np.random.default_rng(4))
    recording = camera.record([np.tile(light.sum(axis=0), (90, 1, 1))])
    recording.cfa = "BGGR"
    write_recording(recording, "bayer.npz")


@pytest.mark.usefixtures("_bayer")
def test_a_bayer_recording_becomes_an_image_and_a_video_in_colour(zoo: Zoo) -> None:
    assert "method: tfi-aligned-colour" in zoo("reconstruct bayer.npz --out a.png").err
    image = imread("a.png").astype(float) / 255
    np.testing.assert_allclose(image.mean(axis=(0, 1)), [0.2, 0.4, 0.8], atol=0.06)
    assert zoo("reconstruct bayer.npz --window 41 --out a.mp4").code == 0
    with av.open("a.mp4") as video:
        frame = next(video.decode(video=0)).to_ndarray(format="rgb24").mean(axis=(0, 1)) / 255
    np.testing.assert_allclose(frame, [0.2, 0.4, 0.8], atol=0.08)


@pytest.mark.usefixtures("_bayer")
def test_white_balance_and_black_level_are_applied_and_checked(zoo: Zoo) -> None:
    def mean_colour(options: str) -> NDArray[np.float64]:
        assert zoo(f"reconstruct bayer.npz --window 41 --out b.png --overwrite {options}").code == 0
        return imread("b.png").mean(axis=(0, 1)) / 255

    grey = mean_colour("--white_balance grey-world")
    np.testing.assert_allclose(grey, grey[[1, 1, 1]], atol=0.02)
    np.testing.assert_allclose(mean_colour("--white_balance 2,1,1"), [0.4, 0.4, 0.8], atol=0.03)
    np.testing.assert_allclose(mean_colour("--black_level 0.2"), [0, 0.25, 0.75], atol=0.03)
    for options, message in (
        ("--white_balance 2,1", "three gains of red, green and blue"),
        ("--method tfi --black_level 0.1", "tfi is grey"),
    ):
        assert message in zoo(f"reconstruct bayer.npz --out c.png {options}").err


@pytest.mark.parametrize(
    ("out", "method", "margin"),
    [("images", "tfp", 20), ("images", "tfp --window 21", 10), ("a.mp4", "tfp", 20)],
)
def test_images_keep_the_planes_that_a_method_uses_unless_a_range_is_stated(
    zoo: Zoo, out: str, method: str, margin: int
) -> None:
    line = f"reconstruct street.npz --method {method} --stride 10 --out {out} --overwrite"
    last = margin + (PLANES - 2 * margin - 1) // 10 * 10
    result = zoo(line)
    if out == "images":
        assert f"planes {margin} to {last}, every 10)" in result.out
        assert names(out)[0] == f"street-{margin:06d}.png"
    assert "noisier" not in result.err
    result = zoo(f"{line} --start 0")
    assert ("image of planes 0 to 10:" if margin > 10 else "image of plane 0:") in result.err
    assert f"{margin} planes before and after" in result.err
    assert "noisier" not in zoo(f"{line} --start {margin}").err
    assert " and of plane 60:" in zoo(f"{line} --start 0 --stop {PLANES}").err or margin == 20


def test_all_images_of_a_recording_shorter_than_a_window_are_made_and_named(zoo: Zoo) -> None:
    result = zoo("reconstruct street.npz --method tfp --window 99 --out b")
    assert "(4 files, planes 0 to 60, every 20)" in result.out
    assert "planes 0 to 40 and of plane 60: the method uses 49 planes before" in result.err


@pytest.mark.parametrize(
    ("method", "margin"),
    [
        ("tfi", 43),
        ("tfi:9", 47),
        ("tfp", 20),
        ("tfi-aligned", 32),
        ("plain", 40),
        ("stir", 30),
        ("sci", 20),
    ],
)
def test_margins_are_half_the_planes_that_a_method_uses(method: str, margin: int) -> None:
    name, _, average = method.partition(":")
    module: Any = load(name)
    module = module.adjusted(average=int(average)) if average else module
    assert margin_of(module) == margin
