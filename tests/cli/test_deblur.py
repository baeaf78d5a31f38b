"""Tests of the command ``deblur``: outputs and rejected calls."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from spike_zoo import SpikeRecording, load, read_recording, write_recording
from spike_zoo.cli.deblur import find_pairs
from spike_zoo.media import load_image, save_image
from spike_zoo.methods.ssdm import SSDMCascadeModule, SSDMStudentModule, TeacherOptions
from tests.helpers.checkpoints import export
from tests.helpers.commands import Outcome, Zoo
from tests.helpers.golden import Golden

HEIGHT, WIDTH, PLANES = 6, 10, 137
EVALUATED = [20, 36, 52, 68, 84, 100, 116]
PAIR, FOLDERS = "blur/street.png spikes/street.npz", "blur spikes"


def write_pair(name: str, seed: int, planes: int = PLANES) -> None:
    generator = np.random.default_rng(seed)
    recording = SpikeRecording.from_planes(generator.random((planes, HEIGHT, WIDTH)) < 0.4)
    pixels = generator.random((3, 4 * HEIGHT, 4 * WIDTH))
    save_image(pixels, Path("blur", f"{name}.png"))
    Path("spikes").mkdir(exist_ok=True)
    write_recording(recording, Path("spikes", f"{name}.npz"))


@pytest.fixture(autouse=True)
def _scene(zoo: Zoo) -> None:
    """Two blurry images, their recordings and a student's weights."""
    write_pair("street", seed=0)
    write_pair("alley", seed=1)
    torch.manual_seed(0)
    export(SSDMStudentModule(), Path("student"))


def run(zoo: Zoo, line: str, weights: object = "student") -> Outcome:
    return zoo(f"deblur {line} --method {weights} --device cpu")


def expected_images(centers: list[int], name: str = "street") -> Tensor:
    module = load("student")
    assert isinstance(module, SSDMStudentModule)
    blurry, recording = load_image(f"blur/{name}.png"), read_recording(f"spikes/{name}.npz")
    return module.deblur(blurry, recording, centers)


def check_image(path: str | Path, expected: Any) -> None:
    np.testing.assert_allclose(load_image(path), expected, atol=0.5 / 255 + 1e-6)


def names(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def test_deblurring_with_official_weights_reproduces_the_golden_sequence(
    official_path: Path, golden: Path, zoo: Zoo
) -> None:
    stored = Golden(golden / "ssdm_golden.npz")
    save_image(stored.arrays["photo.blur"][0, ::-1], Path("photo.png"))  # stored as B,G,R
    spikes = stored.bits("photo.spike")[0]
    write_recording(SpikeRecording.from_planes(spikes), "photo.dat")
    size = "--frames 7 --height 40 --width 40"
    assert run(zoo, f"photo.png photo.dat {size} --out out", official_path).code == 0
    assert names("out") == [f"photo-{plane:06d}.png" for plane in EVALUATED]
    for name, image in zip(names("out"), stored.arrays["photo.seq_u8"], strict=True):
        actual = np.rint(255 * load_image(Path("out", name))).astype(int)
        assert np.abs(actual[::-1] - image).max() <= 1


def test_a_folder_gets_one_image_for_each_plane(zoo: Zoo) -> None:
    planes = [20, 44, 68, 92, 116]
    result = run(zoo, f"{PAIR} --frames 5 --out new/frames")
    assert "(5 files, planes 20 to 116)" in result.out
    assert names("new/frames") == [f"street-{plane:06d}.png" for plane in planes]
    for name, image in zip(names("new/frames"), expected_images(planes), strict=True):
        check_image(f"new/frames/{name}", image)


def test_an_image_shows_the_middle_of_the_exposure_and_a_video_seven_images(zoo: Zoo) -> None:
    assert "a.png (plane 68)" in run(zoo, f"{PAIR} --out a.png").out
    check_image("a.png", expected_images([68])[0])
    assert "(7 images, planes 20 to 116; 25 a second)" in run(zoo, f"{PAIR} --out a.mp4").out
    with av.open("a.mp4") as container:
        images = list(container.decode(video=0))
        assert container.streams.video[0].average_rate == 25
    assert [(image.height, image.width) for image in images] == [(4 * HEIGHT, 4 * WIDTH)] * 7


def test_folders_are_matched_by_name_and_keep_their_order(zoo: Zoo) -> None:
    Path("spikes/notes.txt").write_text("not a recording")
    write_pair("extra", seed=2)
    Path("blur/extra.png").unlink()  # a recording without an image is ignored
    assert run(zoo, f"{FOLDERS} --frames 2 --out frames").code == 0
    pairs = [(name, plane) for name in ("alley", "street") for plane in (20, 116)]
    assert names("frames") == [f"{name}-{plane:06d}.png" for name, plane in pairs]
    check_image("frames/alley-000116.png", expected_images([116], "alley")[0])
    assert run(zoo, f"{FOLDERS} --frames 3 --out all.mp4").code == 0
    with av.open("all.mp4") as container:
        assert len(list(container.decode(video=0))) == 6


def test_a_grey_image_is_deblurred_as_three_equal_channels(zoo: Zoo) -> None:
    save_image(load_image("blur/street.png")[:1], Path("blur/street.png"), overwrite=True)
    assert run(zoo, f"{PAIR} --out a.png").code == 0
    assert [len(load_image(path)) for path in ("blur/street.png", "a.png")] == [1, 3]


def test_a_headerless_recording_is_read_with_a_quarter_of_the_image_size(zoo: Zoo) -> None:
    bits = read_recording("spikes/street.npz").read()
    spikes = SpikeRecording.from_planes(np.concatenate((bits, bits), axis=2)[..., :8])
    write_recording(spikes, "bare.dat", with_sidecar=False)
    save_image(np.zeros((3, 4 * HEIGHT, 32)), Path("bare.png"))
    warning = run(zoo, "bare.png bare.dat --out a.png").err
    assert load_image("a.png").shape == (3, 24, 32)
    assert "states no size; 8 x 6 (W x H), a quarter of the image's, is assumed" in warning
    Path("after.dat").write_bytes(bytes(64) + Path("bare.dat").read_bytes())
    assert run(zoo, "bare.png after.dat --offset 64 --out after.png").code == 0
    assert Path("after.png").read_bytes() == Path("a.png").read_bytes()
    assert f"{PLANES} planes (--height and --width set it)" in warning
    error = run(zoo, f"bare.png bare.dat --out b.png --height {HEIGHT}").err
    assert "--height and --width" in error
    save_image(np.zeros((3, 40, 32)), Path("bare.png"), overwrite=True)
    error = run(zoo, "bare.png bare.dat --out b.png").err
    assert "bare.dat: a .dat file has no header" in error
    assert "8 x 10 (W x H), a quarter of the image's, does not give" in error
    assert "--height and --width" in error
    assert "frame_align" not in error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--device toaster", "--device toaster"),
        ("--method tfi", "--method tfi: TFI does not deblur"),
        ("--frames 98", "98 different planes"),
        ("--exposure-start 3", "around plane 3 leaves"),
        ("--exposure-length 300", "planes 20..319"),
    ],
)
def test_impossible_calls_are_rejected_and_leave_no_files(
    options: str, message: str, zoo: Zoo
) -> None:
    before = names(".")
    line = f"deblur {PAIR} --out frames --method student {options}"
    result = zoo(line if "--method" in options else f"{line} --trust")
    assert result.code in (1, 2)
    assert message in result.err
    assert names(".") == before


def test_pairs_that_do_not_fit_are_named_and_leave_no_files(zoo: Zoo) -> None:
    write_pair("short", seed=3, planes=20)
    write_pair("zebra", seed=4, planes=30)
    before = names(".")
    short = "blur/short.png spikes/short.npz --exposure-start 5"
    assert "has 20 planes, one window takes 21" in run(zoo, f"{short} --out frames").err
    Path("blur/short.png").unlink()
    for out in ("frames", "all.mp4"):  # after the images of earlier pairs
        assert "zebra.png" in run(zoo, f"{FOLDERS} --frames 2 --out {out}").err
    Path("spikes/alley.npz").unlink()
    error = run(zoo, f"{FOLDERS} --out frames").err
    assert "alley.png: " in error
    assert "(1 of 3 images have none)" in error
    save_image(np.zeros((3, 4, 4)), Path("a.png"))
    Path("a.png").rename("blur/street.jpg")
    error = run(zoo, f"{FOLDERS} --out frames").err
    assert "street.jpg and street.png: two files with the same" in error
    assert names(".") == before


@pytest.mark.parametrize("suffix", [".dat", ".npy", ".h5", ".hdf5", ".spl"])
def test_recordings_of_any_format_are_found_in_a_folder(suffix: str) -> None:
    Path("spikes/street.npz").rename(f"spikes/street{suffix}")
    [_, pair] = find_pairs(Path("blur"), Path("spikes"))
    assert [path.name for path in pair] == ["street.png", f"street{suffix}"]


def test_the_teacher_uses_the_given_exposure(zoo: Zoo) -> None:
    teacher = SSDMCascadeModule(TeacherOptions(use_bsn=False, upsampler="bilinear"))
    export(teacher, Path("teacher"))
    exposure = "--exposure-start 25 --exposure-length 30"
    assert run(zoo, f"{PAIR} {exposure} --out middle.png", "teacher").code == 0
    recording, blurry = read_recording("spikes/street.npz"), load_image("blur/street.png")
    expected = teacher.deblur(blurry, recording, [40], exposure=(25, 55))[0]
    check_image("middle.png", expected.numpy())
