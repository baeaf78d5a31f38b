"""Tests of the command ``reconstruct``: outputs and rejected calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
import torch
from skimage.io import imread

from spike_zoo import SpikeRecording, write_recording
from spike_zoo.archive import ArchiveWriter
from spike_zoo.checkpoints.loading import export
from spike_zoo.cli.main import main
from spike_zoo.cli.reconstruct import reconstruct
from spike_zoo.coding.spl import codec as lossless
from spike_zoo.errors import ExistingFileError, UsageError
from spike_zoo.media import load_picture
from spike_zoo.methods.classical import TFI, TFPModule
from spike_zoo.methods.stir import STIRModule
from spike_zoo.simulation import SpikeCamera
from spike_zoo.spikes.cfa import cfa_masks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

PLANES, HEIGHT, WIDTH = 70, 24, 37


@pytest.fixture
def recording(tmp_path: Path) -> SpikeRecording:
    """A recording, also at ``street.npz`` in the test's folder."""
    spikes = np.random.default_rng(4).random((PLANES, HEIGHT, WIDTH)) < 0.3
    recording = SpikeRecording.from_planes(spikes, rate_scale=0.6)
    write_recording(recording, tmp_path / "street.npz")
    return recording


@pytest.fixture
def street(recording: SpikeRecording, tmp_path: Path) -> str:
    return str(tmp_path / "street.npz")


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "street.npz")


@pytest.mark.parametrize(
    ("options", "measured"),
    [
        (["--method", "tfi"], 21.78),
        (["--method", "tfi", "--average", "21"], 35.83),
        (["--method", "tfp"], 31.60),
        (["--method", "tfp", "--window=21"], 29.10),
    ],
)
def test_a_picture_of_the_sample_clip_reaches_the_measured_psnr(
    shared: Path, tmp_path: Path, options: list[str], measured: float
) -> None:
    out = tmp_path / "picture.png"
    size = ["--height", "250", "--width", "400"]
    center = ["--center", "150", "--rate-scale", "0.6"]
    clip = str(shared / "data" / "data.dat")
    assert main(["reconstruct", clip, "--out", str(out), *size, *center, *options]) == 0
    error = load_picture(out) - load_picture(shared / "data" / "data.png")
    assert -10 * np.log10(np.mean(error**2)) == pytest.approx(measured, abs=0.05)


@pytest.mark.parametrize("method", ["tfi", "tfp"])
def test_a_lossless_recording_gives_the_same_pictures_as_the_original(
    recording: SpikeRecording, street: str, tmp_path: Path, method: str
) -> None:
    lossless_file = lossless.write(recording, tmp_path / "street.spl", restart=16)
    for source, folder in ((street, "of_npz"), (str(lossless_file), "of_spl")):
        reconstruct(source, out=str(tmp_path / folder), method=method, stride=9)
    pictures = sorted((tmp_path / "of_npz").iterdir())
    assert len(pictures) == 8
    for picture in pictures:
        assert (tmp_path / "of_spl" / picture.name).read_bytes() == picture.read_bytes()


def test_the_default_method_is_the_best_within_the_budget(
    street: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for budget, options, message in (
        (60.0, {"method": "tfi-aligned"}, "method: tfi-aligned, about 0 s on one core"),
        (1e-4, {"method": "tfi", "average": 9}, "method: tfi, mean of 9 planes: tfi-aligned would"),
    ):
        reconstruct(street, out=str(tmp_path / "a.png"), budget=budget, overwrite=True)
        assert message in capsys.readouterr().err
        arguments: Any = options
        reconstruct(street, out=str(tmp_path / "b.png"), **arguments, overwrite=True)
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
        capsys.readouterr()


def test_pictures_of_a_range_of_planes_equal_those_of_the_whole_recording(
    street: str, tmp_path: Path
) -> None:
    ranges: dict[str, Any] = {"all": {}, "some": {"start": 20, "stop": 41}}
    for folder, options in ranges.items():
        reconstruct(street, out=str(tmp_path / folder), average=9, stride=10, **options)
    names = sorted(path.name for path in (tmp_path / "some").iterdir())
    assert names == [f"street-{plane:06d}.png" for plane in (20, 30, 40)]
    for name in names:
        assert (tmp_path / "some" / name).read_bytes() == (tmp_path / "all" / name).read_bytes()
    with pytest.raises(UsageError, match=r"--start 50 --stop 40: the recording has planes 0\.\."):
        reconstruct(street, out=str(tmp_path / "none"), start=50, stop=40)


def test_a_picture_without_a_centre_shows_the_middle_plane(
    street: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reconstruct(street, out=str(tmp_path / "middle.png"))
    reconstruct(street, out=str(tmp_path / "35.png"), center=35)
    assert (tmp_path / "middle.png").read_bytes() == (tmp_path / "35.png").read_bytes()
    assert f"{tmp_path / 'middle.png'} (plane 35 of 70)" in capsys.readouterr().out


def test_a_raw_recording_is_read_from_the_bottom_by_default(
    recording: SpikeRecording, tmp_path: Path
) -> None:
    upright = SpikeRecording.from_planes(recording[:][:, :, :32], rate_scale=0.6)
    write_recording(upright, tmp_path / "street.dat", with_sidecar=False)
    size = ["--height", str(HEIGHT), "--width", "32", "--rate-scale", "0.6"]
    pictures = []
    for name, options in (("a.png", []), ("b.png", ["--flip", "false"])):
        call = ["reconstruct", str(tmp_path / "street.dat"), "--method", "tfp", *size, *options]
        assert main([*call, "--out", str(tmp_path / name)]) == 0
        pictures.append(imread(tmp_path / name))
    np.testing.assert_array_equal(pictures[0], pictures[1][::-1])
    assert (pictures[0] != pictures[1]).any()


@pytest.mark.slow
def test_a_video_shows_every_stride_th_plane(
    street: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reconstruct(street, out=str(tmp_path / "a.mp4"), stride=10, fps=50)
    with av.open(str(tmp_path / "a.mp4")) as container:
        images = list(container.decode(video=0))
        assert container.streams.video[0].average_rate == 50
    assert len(images) == 7
    assert (images[0].height, images[0].width) == (HEIGHT, WIDTH + 1)
    assert f"{tmp_path / 'a.mp4'} (7 images, 50 a second)" in capsys.readouterr().out


def test_a_folder_gets_one_picture_named_after_each_plane(
    street: str, tmp_path: Path, recording: SpikeRecording
) -> None:
    reconstruct(street, out=str(tmp_path / "new" / "pictures"), method="tfp", window=9, stride=30)
    names = files_in(tmp_path / "new" / "pictures")
    assert names == ["street-000000.png", "street-000030.png", "street-000060.png"]
    expected = TFPModule(window=9).reconstruct(recording, [0, 30, 60])
    for name, image in zip(names, expected, strict=True):
        picture = load_picture(tmp_path / "new" / "pictures" / name)
        np.testing.assert_allclose(picture, image, atol=0.5 / 255 + 1e-6)
    assert files_in(tmp_path / "new") == ["pictures"]


def test_a_method_from_a_file_reconstructs_a_recording_of_an_archive(
    recording: SpikeRecording, tmp_path: Path
) -> None:
    export(TFI(average=5), tmp_path / "mine")
    with ArchiveWriter(tmp_path / "archive.h5") as writer:
        writer.add("other", recording)
        writer.add("street", recording)
    archive, out = str(tmp_path / "archive.h5"), tmp_path / "a.png"
    reconstruct(archive, out=str(out), name="street", method=str(tmp_path / "mine"), center=7)
    expected = TFI(average=5).reconstruct(recording, [7])[0]
    np.testing.assert_allclose(load_picture(out), expected, atol=0.5 / 255 + 1e-6)


def test_a_learned_method_accepts_a_precision_and_tiles(
    recording: SpikeRecording, street: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    module = STIRModule(pyramid_levels=3, width=0.34)
    export(module, tmp_path / "mine")
    options = {"method": str(tmp_path / "mine"), "center": 30, "tile": 128, "precision": "bf16"}
    reconstruct(street, out=str(tmp_path / "a.png"), **options)  # type: ignore[arg-type]  # mixed
    module.precision = "bf16"
    expected = module.reconstruct(recording, [30])[0]
    np.testing.assert_allclose(load_picture(tmp_path / "a.png"), expected, atol=0.5 / 255 + 1e-6)
    with pytest.raises(UsageError, match=r"--tile 100: .* at least 128"):
        reconstruct(street, out=str(tmp_path / "b.png"), **(options | {"tile": 100}))  # type: ignore[arg-type]  # mixed


@pytest.mark.parametrize("is_fast", [True, False])
def test_the_default_precision_is_bf16_if_bf16_is_fast(
    recording: SpikeRecording,
    street: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    is_fast: bool,
) -> None:
    monkeypatch.setattr("spike_zoo.nn.precision.has_fast_bf16", lambda: is_fast)
    torch.manual_seed(0)
    module = STIRModule(pyramid_levels=3, width=0.34)
    export(module, tmp_path / "mine")
    options: dict[str, Any] = {"method": str(tmp_path / "mine"), "center": 30}
    reconstruct(street, out=str(tmp_path / "a.png"), **options)
    assert ("precision: bf16" in capsys.readouterr().err) is is_fast
    module.precision = "bf16" if is_fast else "32"
    expected = module.reconstruct(recording, [30])[0]
    np.testing.assert_allclose(load_picture(tmp_path / "a.png"), expected, atol=0.5 / 255 + 1e-6)
    reconstruct(street, out=str(tmp_path / "b.png"), precision="bf16", **options)
    assert ("slower than 32 on this machine" in capsys.readouterr().err) is not is_fast


@pytest.mark.parametrize(
    ("span", "plane"), [({"start": 10, "stop": 60}, 35), ({"start": 30}, 50), ({"stop": 20}, 10)]
)
def test_a_picture_of_a_range_shows_its_middle(
    street: str, tmp_path: Path, span: dict[str, Any], plane: int
) -> None:
    reconstruct(street, out=str(tmp_path / "range.png"), method="tfi", **span)
    reconstruct(street, out=str(tmp_path / "plane.png"), method="tfi", center=plane)
    assert (tmp_path / "range.png").read_bytes() == (tmp_path / "plane.png").read_bytes()


def test_an_unknown_rate_scale_is_estimated_and_reported_on_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spikes = np.zeros((60, 8, 16), np.bool_)
    spikes[::4, :, :8] = True  # a quarter of the planes
    write_recording(SpikeRecording.from_planes(spikes), tmp_path / "raw.dat")
    size = ["--height", "8", "--width", "16"]
    out = ["--out", str(tmp_path / "a.png")]
    size += ["--method", "tfi"]
    assert main(["reconstruct", str(tmp_path / "raw.dat"), *size, *out]) == 0
    assert load_picture(tmp_path / "a.png")[0].mean(axis=0).tolist() == [1.0] * 8 + [0.0] * 8
    estimated, white = capsys.readouterr().err.splitlines()
    assert estimated.startswith("rate scale: 0.25 spikes per plane at white, estimated")
    assert "--rate-scale sets it" in estimated
    assert white.startswith("warning: 50.0% of the pixels are clipped or just white")
    call = ["reconstruct", str(tmp_path / "raw.dat"), *size, *out, "--overwrite"]
    assert main([*call, "--rate-scale", "0.5"]) == 0
    assert load_picture(tmp_path / "a.png").max() == pytest.approx(0.5, abs=0.01)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out": "a.gif"}, r"\.gif is not written here; give X\.mp4, X\.png or a folder"),
        ({"out": "a.mp4", "center": 3}, r"--center 3 makes one picture: give --out X\.png"),
        ({"out": "folder", "center": 3}, r"--center 3 makes one picture"),
        ({"out": "a.png", "center": 70}, r"--center 70: the recording has planes 0\.\.69"),
        ({"out": "a.png", "center": -1}, r"--center -1: the recording has planes 0\.\.69"),
        (
            {"out": "a.png", "method": "tfi", "window": 9},
            "--method tfi: there is no setting 'window' to change; its settings: average",
        ),
        (
            {"out": "a.png", "method": "tfp", "average": 9},
            "--method tfp: there is no setting 'average' to",
        ),
        ({"out": "a.png", "method": "tfp", "window": 0}, "at least 1 plane, got 0"),
        ({"out": "a.mp4", "stride": 0}, "--stride 0"),
        ({"out": "a.png", "stride": 3}, "--stride 3 makes several pictures: give a folder"),
        ({"out": "a.png", "start": 9, "stop": 9}, "--start 9 --stop 9: the recording has planes"),
        ({"out": "a.png", "start": 9, "center": 20}, "--center 20 with --start or --stop"),
        ({"out": "a.mp4", "fps": 0.0}, "--fps 0"),
        ({"out": "a.png", "rate_scale": 0.0}, "--rate-scale 0"),
        ({"out": "a.png", "device": "toaster"}, "--device toaster"),
        ({"out": "a.png", "tile": 256}, "--tile 256: method tfi-aligned has no such option"),
        (
            {"out": "a.png", "precision": "bf16"},
            "--precision bf16: method tfi-aligned has no such option",
        ),
    ],
)
def test_impossible_combinations_are_rejected_and_leave_no_files(
    street: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, object],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        reconstruct(street, **options)  # type: ignore[arg-type]  # many types in one table
    assert files_in(tmp_path) == []


def test_existing_files_are_replaced_only_with_overwrite(street: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"mine")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "notes.txt").write_text("mine")
    for name in ("a.png", "pictures"):
        with pytest.raises(ExistingFileError, match="exists"):
            reconstruct(street, out=str(tmp_path / name))
    reconstruct(street, out=str(tmp_path / "a.png"), overwrite=True)
    reconstruct(street, out=str(tmp_path / "pictures"), stride=50, overwrite=True)
    assert load_picture(tmp_path / "a.png").shape == (1, HEIGHT, WIDTH)
    assert files_in(tmp_path / "pictures") == [
        "notes.txt",
        "street-000000.png",
        "street-000050.png",
    ]


@pytest.mark.parametrize("out", ["a.mp4", "pictures", "deep/er/pictures"])
def test_ctrl_c_leaves_no_partial_files(
    street: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    original = TFI._stream

    def interrupted(*arguments: object) -> Iterator[Tensor]:
        images = original(*arguments)  # type: ignore[arg-type]  # passed on as they came
        yield next(images)
        raise KeyboardInterrupt

    monkeypatch.setattr(TFI, "_stream", interrupted)
    assert main(["reconstruct", street, "--method", "tfi", "--out", str(tmp_path / out)]) == 130
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "street.npz"]


@pytest.fixture
def bayer(tmp_path: Path) -> str:
    """A recording with Bayer filters, dark in red and bright in blue."""
    light = cfa_masks("BGGR", 24, 32) * np.array([0.2, 0.4, 0.8], np.float32).reshape(3, 1, 1)
    camera = SpikeCamera(gain=0.6, generator=np.random.default_rng(4))
    recording = camera.record([np.tile(light.sum(axis=0), (90, 1, 1))])
    recording.cfa = "BGGR"
    return str(write_recording(recording, tmp_path / "bayer.npz"))


def test_a_bayer_recording_becomes_a_picture_and_a_video_in_colour(
    bayer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reconstruct", bayer, "--out", str(tmp_path / "a.png")]) == 0
    assert "method: tfi-aligned-colour" in capsys.readouterr().err
    picture = imread(tmp_path / "a.png").astype(float) / 255
    np.testing.assert_allclose(picture.mean(axis=(0, 1)), [0.2, 0.4, 0.8], atol=0.06)
    line = ["reconstruct", bayer, "--window", "41", "--out", str(tmp_path / "a.mp4")]
    assert main(line) == 0
    with av.open(str(tmp_path / "a.mp4")) as video:
        frame = next(video.decode(video=0)).to_ndarray(format="rgb24").mean(axis=(0, 1)) / 255
    np.testing.assert_allclose(frame, [0.2, 0.4, 0.8], atol=0.08)


def test_white_balance_and_black_level_are_applied_and_checked(
    bayer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def mean_colour(*options: str) -> NDArray[np.float64]:
        line = ["reconstruct", bayer, "--window", "41", "--out", str(tmp_path / "b.png")]
        assert main([*line, "--overwrite", *options]) == 0
        return imread(tmp_path / "b.png").mean(axis=(0, 1)) / 255

    grey = mean_colour("--white_balance", "grey-world")
    np.testing.assert_allclose(grey, grey[[1, 1, 1]], atol=0.02)
    np.testing.assert_allclose(mean_colour("--white_balance", "2,1,1"), [0.4, 0.4, 0.8], atol=0.03)
    np.testing.assert_allclose(mean_colour("--black_level", "0.2"), [0, 0.25, 0.75], atol=0.03)
    line = ["reconstruct", bayer, "--out", str(tmp_path / "c.png")]
    assert main([*line, "--white_balance", "2,1"]) == 2
    assert "three gains of red, green and blue" in capsys.readouterr().err
    assert main([*line, "--method", "tfi", "--black_level", "0.1"]) == 2
    assert "tfi is grey" in capsys.readouterr().err
