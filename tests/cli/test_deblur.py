"""Tests of the command ``deblur``: outputs and rejected calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
import torch

from spike_zoo import SpikeRecording, read_recording, write_recording
from spike_zoo.checkpoints.loading import export
from spike_zoo.cli.deblur import deblur, exposure_span, find_pairs
from spike_zoo.cli.main import main
from spike_zoo.errors import (
    MissingFileError,
    MissingGeometryError,
    PlaneRangeError,
    SpikeZooError,
    UsageError,
)
from spike_zoo.media import load_picture, save_picture
from spike_zoo.methods.ssdm import SSDMCascadeModule, SSDMStudentModule, TeacherOptions

if TYPE_CHECKING:
    from torch import Tensor

HEIGHT, WIDTH, PLANES = 6, 10, 137
EVALUATED = [20, 36, 52, 68, 84, 100, 116]
OFFICIAL = Path("weights") / "ssdm_ldn_official.pth"


def write_pair(folder: Path, name: str, seed: int, planes: int = PLANES) -> None:
    generator = np.random.default_rng(seed)
    recording = SpikeRecording.from_planes(generator.random((planes, HEIGHT, WIDTH)) < 0.4)
    pixels = generator.random((3, 4 * HEIGHT, 4 * WIDTH))
    for part in ("blur", "spikes"):
        (folder / part).mkdir(exist_ok=True)
    save_picture(pixels, folder / "blur" / f"{name}.png")
    write_recording(recording, folder / "spikes" / f"{name}.npz")


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A folder with two blurry images, their recordings and a student's weights."""
    write_pair(tmp_path, "street", seed=0)
    write_pair(tmp_path, "alley", seed=1)
    torch.manual_seed(0)
    export(SSDMStudentModule(), tmp_path / "student")
    return tmp_path


def run(scene: Path, out: str, name: str = "street", **options: object) -> None:
    image, spikes = scene / "blur" / f"{name}.png", scene / "spikes" / f"{name}.npz"
    arguments: dict[str, object] = {
        "image": str(image),
        "spikes": str(spikes),
        "weights": str(scene / "student"),
        "device": "cpu",
        **options,
    }
    deblur(out=str(scene / out), **arguments)  # type: ignore[arg-type]  # many types in one table


def new_files(scene: Path) -> list[str]:
    inputs = {scene / part for part in ("blur", "spikes", "student")}
    return sorted(str(path.relative_to(scene)) for path in scene.iterdir() if path not in inputs)


def expected_images(scene: Path, centers: list[int], name: str = "street") -> Tensor:
    from spike_zoo import load

    module = load(scene / "student")
    assert isinstance(module, SSDMStudentModule)
    blurry = load_picture(scene / "blur" / f"{name}.png")
    return module.deblur(blurry, read_recording(scene / "spikes" / f"{name}.npz"), centers)


def test_deblurring_with_official_weights_reproduces_the_golden_sequence(
    shared: Path, golden: Path, tmp_path: Path
) -> None:
    weights = shared / OFFICIAL
    if not weights.is_file():
        pytest.skip(f"{OFFICIAL} is not in the shared folder")
    with np.load(golden / "ssdm_golden.npz") as stored:
        blur, sequence = stored["photo.blur"][0], stored["photo.seq_u8"]
        shape = json.loads(str(stored["meta"]))["shape"]["photo.spike"]
        bits = np.unpackbits(stored["photo.spike"], bitorder="little", count=int(np.prod(shape)))
    spikes = bits.reshape(shape)[0].astype(np.bool_)
    save_picture(blur[::-1], tmp_path / "photo.png")  # stored as B,G,R
    write_recording(SpikeRecording.from_planes(spikes), tmp_path / "photo.dat")
    call = ["deblur", str(tmp_path / "photo.png"), str(tmp_path / "photo.dat")]
    call += ["--weights", str(weights), "--frames", "7", "--out", str(tmp_path / "out")]
    call += ["--height", "40", "--width", "40", "--channel-order", "bgr", "--device", "cpu"]
    assert main(call) == 0
    names = [f"photo-{plane:06d}.png" for plane in EVALUATED]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    for name, image in zip(names, sequence, strict=True):
        actual = np.rint(255 * load_picture(tmp_path / "out" / name)).astype(int)
        assert np.abs(actual[::-1] - image).max() <= 1


def test_a_folder_gets_one_picture_for_each_plane(
    scene: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(scene, "new/frames", frames=5)
    planes = [20, 44, 68, 92, 116]
    names = sorted(path.name for path in (scene / "new" / "frames").iterdir())
    assert names == [f"street-{plane:06d}.png" for plane in planes]
    for name, image in zip(names, expected_images(scene, planes), strict=True):
        picture = load_picture(scene / "new" / "frames" / name)
        np.testing.assert_allclose(picture, image, atol=0.5 / 255 + 1e-6)
    assert "(5 files, planes 20 to 116)" in capsys.readouterr().out


def test_a_picture_shows_the_middle_of_the_exposure(
    scene: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(scene, "a.png")
    image = expected_images(scene, [68])[0]
    np.testing.assert_allclose(load_picture(scene / "a.png"), image, atol=0.5 / 255 + 1e-6)
    assert f"{scene / 'a.png'} (plane 68)" in capsys.readouterr().out


def test_a_video_has_seven_images_by_default(
    scene: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(scene, "a.mp4", fps=10.0)
    with av.open(str(scene / "a.mp4")) as container:
        images = list(container.decode(video=0))
        assert container.streams.video[0].average_rate == 10
    assert [(image.height, image.width) for image in images] == [(4 * HEIGHT, 4 * WIDTH)] * 7
    assert "(7 images, 10 a second)" in capsys.readouterr().out


def test_folders_are_matched_by_name_and_keep_their_order(scene: Path) -> None:
    (scene / "spikes" / "notes.txt").write_text("not a recording")
    write_pair(scene, "extra", seed=2)
    (scene / "blur" / "extra.png").unlink()  # a recording without an image is ignored
    folders = {"image": str(scene / "blur"), "spikes": str(scene / "spikes")}
    run(scene, "frames", frames=2, **folders)
    names = sorted(path.name for path in (scene / "frames").iterdir())
    assert names == [
        f"{name}-{plane:06d}.png" for name in ("alley", "street") for plane in (20, 116)
    ]
    image = expected_images(scene, [116], "alley")[0]
    picture = load_picture(scene / "frames" / "alley-000116.png")
    np.testing.assert_allclose(picture, image, atol=0.5 / 255 + 1e-6)
    run(scene, "all.mp4", frames=3, **folders)
    with av.open(str(scene / "all.mp4")) as container:
        assert len(list(container.decode(video=0))) == 6


def test_a_grey_image_is_deblurred_as_three_equal_channels(scene: Path) -> None:
    grey = load_picture(scene / "blur" / "street.png")[:1]
    save_picture(grey, scene / "blur" / "street.png", overwrite=True)
    run(scene, "a.png")
    assert load_picture(scene / "blur" / "street.png").shape[0] == 1
    assert load_picture(scene / "a.png").shape[0] == 3


def test_a_headerless_recording_is_read_with_a_quarter_of_the_image_size(
    scene: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from spike_zoo import read_recording

    bits = read_recording(scene / "spikes" / "street.npz").read()
    spikes = SpikeRecording.from_planes(np.concatenate((bits, bits), axis=2)[..., :8])
    write_recording(spikes, scene / "spikes" / "bare.dat")
    for sidecar in (scene / "spikes").glob("*.yaml"):
        sidecar.unlink()
    save_picture(np.zeros((3, 4 * HEIGHT, 32)), scene / "bare.png")
    pair = {"image": str(scene / "bare.png"), "spikes": str(scene / "spikes" / "bare.dat")}
    run(scene, "a.png", **pair)
    assert load_picture(scene / "a.png").shape == (3, 24, 32)
    warning = capsys.readouterr().err
    assert (
        "bare.dat: states no size; 8 x 6 (W x H), a quarter of the image's, is assumed" in warning
    )
    assert f"{PLANES} planes (--height and --width set it)" in warning
    with pytest.raises(MissingGeometryError, match="--height and --width"):
        run(scene, "b.png", height=HEIGHT, **pair)
    save_picture(np.zeros((3, 40, 32)), scene / "bare.png", overwrite=True)
    with pytest.raises(MissingGeometryError) as error:
        run(scene, "b.png", **pair)
    assert "bare.dat: a .dat file has no header" in error.value.message
    assert "8 x 10 (W x H), a quarter of the image's, does not give" in error.value.message


def test_a_quarter_size_that_does_not_fit_is_rejected_naming_the_options(scene: Path) -> None:
    spikes = SpikeRecording.from_planes(np.ones((PLANES, 40, 60), bool))
    write_recording(spikes, scene / "spikes" / "bare.dat")
    save_picture(np.zeros((3, 40, 60)), scene / "bare.png")
    pair = {"image": str(scene / "bare.png"), "spikes": str(scene / "spikes" / "bare.dat")}
    with pytest.raises(MissingGeometryError) as error:
        run(scene, "b.png", **pair)
    assert "15 x 10 (W x H), a quarter of the image's" in error.value.message
    assert "--height and --width" in error.value.message
    assert "frame_align" not in error.value.message


@pytest.mark.parametrize(
    ("options", "planes", "span"),
    [
        ((None, None, 20), 137, (20, 117)),
        ((None, None, 20), 400, (20, 380)),
        ((None, 97, 20), 400, (20, 117)),
        ((7, 30, 20), 37, (7, 37)),
        ((0, None, 5), 50, (0, 45)),
    ],
)
def test_the_exposure_defaults_to_the_planes_between_the_margins(
    options: tuple[int | None, int | None, int], planes: int, span: tuple[int, int]
) -> None:
    assert exposure_span(*options, planes) == span


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"out": "a.gif"}, UsageError, r"\.gif is not written here"),
        ({"out": "a.png", "frames": 7}, UsageError, "--frames 7 are several pictures"),
        ({"frames": 0}, UsageError, "--frames 0"),
        ({"exposure_start": -1}, UsageError, "--exposure-start -1"),
        ({"exposure_length": 0}, UsageError, "--exposure-length 0"),
        ({"margin": -1}, UsageError, "--margin -1"),
        ({"out": "a.mp4", "fps": 0.0}, UsageError, "--fps 0"),
        ({"device": "toaster"}, UsageError, "--device toaster"),
        ({"channel_order": "bgr"}, UsageError, "--channel-order bgr: .* trained on rgb images"),
        ({"weights": "tfi"}, UsageError, "--weights tfi: TFI does not deblur"),
        ({"weights": "nowhere.pth"}, MissingFileError, r"nowhere\.pth"),
        ({"frames": 98}, PlaneRangeError, r"street\.png .* 98 different planes"),
        ({"exposure_start": 3}, PlaneRangeError, r"street\.png .* around plane 3 leaves"),
        ({"exposure_length": 300}, PlaneRangeError, r"planes 20\.\.319"),
    ],
)
def test_impossible_calls_are_rejected_and_leave_no_files(
    scene: Path, options: dict[str, object], error: type[SpikeZooError], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(scene, **{"out": "frames", **options})  # type: ignore[arg-type]  # many types in one table
    assert new_files(scene) == []


def test_a_recording_shorter_than_a_window_is_rejected(scene: Path) -> None:
    write_pair(scene, "short", seed=3, planes=20)
    with pytest.raises(PlaneRangeError, match="has 20 planes, one window takes 21"):
        run(scene, "frames", "short", margin=5)
    assert new_files(scene) == []


def test_an_image_without_spikes_is_rejected_or_skipped_on_request(scene: Path) -> None:
    (scene / "spikes" / "alley.npz").unlink()
    folders = {"image": str(scene / "blur"), "spikes": str(scene / "spikes")}
    with pytest.raises(MissingFileError, match=r"alley\.png: .* \(1 of 2 images have none\)"):
        run(scene, "frames", **folders)
    assert new_files(scene) == []
    run(scene, "frames", frames=1, skip_unmatched=True, **folders)
    assert [path.name for path in (scene / "frames").iterdir()] == ["street-000068.png"]


def test_an_error_in_a_later_pair_leaves_no_files_of_earlier_pairs(scene: Path) -> None:
    write_pair(scene, "zebra", seed=4, planes=30)
    folders = {"image": str(scene / "blur"), "spikes": str(scene / "spikes")}
    for out in ("frames", "all.mp4"):
        with pytest.raises(PlaneRangeError, match=r"zebra\.png"):
            run(scene, out, frames=2, **folders)
    assert new_files(scene) == []


@pytest.mark.parametrize(
    ("image", "spikes", "error", "message"),
    [
        ("blur", "spikes/street.npz", UsageError, "a folder with a folder"),
        ("blur/street.png", "spikes", UsageError, "one image with one recording"),
        ("student", "spikes", MissingFileError, "no image .* with a recording of its name"),
    ],
)
def test_images_and_spikes_that_do_not_match_are_rejected(
    scene: Path, image: str, spikes: str, error: type[SpikeZooError], message: str
) -> None:
    with pytest.raises(error, match=message):
        find_pairs(scene / image, scene / spikes)


@pytest.mark.parametrize("suffix", [".dat", ".npy", ".h5", ".hdf5", ".spl"])
def test_recordings_of_any_format_are_found_in_a_folder(scene: Path, suffix: str) -> None:
    (scene / "spikes" / "street.npz").rename(scene / "spikes" / f"street{suffix}")
    [_, pair] = find_pairs(scene / "blur", scene / "spikes")
    assert (pair.image.name, pair.spikes.name) == ("street.png", f"street{suffix}")


def test_two_images_with_the_same_name_are_rejected(scene: Path) -> None:
    save_picture(np.zeros((3, 4, 4)), scene / "a.png")
    (scene / "a.png").rename(scene / "blur" / "street.jpg")
    with pytest.raises(UsageError, match=r"street\.jpg and street\.png: two files with the same"):
        find_pairs(scene / "blur", scene / "spikes")


def test_a_folder_of_images_with_a_single_picture_as_target_is_rejected(scene: Path) -> None:
    with pytest.raises(UsageError, match="does not fit into one picture"):
        run(scene, "a.png", image=str(scene / "blur"), spikes=str(scene / "spikes"))


def test_published_weights_use_bgr_and_another_channel_order_is_rejected(
    shared: Path, scene: Path
) -> None:
    weights = shared / OFFICIAL
    if not weights.is_file():
        pytest.skip(f"{OFFICIAL} is not in the shared folder")
    with pytest.raises(UsageError, match=r"--channel-order rgb: .* trained on bgr images"):
        run(scene, "a.png", weights=str(weights), channel_order="rgb")
    assert new_files(scene) == []
    run(scene, "a.png", weights=str(weights))


def test_the_teacher_uses_the_given_exposure(scene: Path) -> None:
    teacher = SSDMCascadeModule(TeacherOptions(use_bsn=False, upsampler="bilinear"))
    export(teacher, scene / "teacher")
    weights = str(scene / "teacher")
    run(scene, "middle.png", weights=weights, exposure_start=25, exposure_length=30)
    recording = read_recording(scene / "spikes" / "street.npz")
    blurry = load_picture(scene / "blur" / "street.png")
    expected = teacher.deblur(blurry, recording, [40], exposure=(25, 55))[0]
    actual = load_picture(scene / "middle.png")
    np.testing.assert_allclose(actual, expected.numpy(), atol=0.5 / 255 + 1e-6)
