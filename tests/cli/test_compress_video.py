"""Tests of ``compress --out X.mp4``: videos of reconstructed images with metadata."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spike_zoo import SpikeRecording
from spike_zoo.formats import write_recording
from spike_zoo.media.coded_images import CodedImages, read_images
from spike_zoo.media.images import load_image, to_bytes
from spike_zoo.media.video import VideoWriter, save_video
from spike_zoo.testing import pattern_take
from tests.helpers.commands import Zoo
from tests.helpers.streams import random_spikes


def _write_video(path: Path, comment: str) -> None:
    with VideoWriter(path, 25, comment=comment) as video:
        for _ in range(2):
            video.write(np.zeros((1, 45, 61)))


X265 = "compress street.npz --codec x265 --method tfi --out"


@pytest.fixture(autouse=True)
def _street(zoo: Zoo) -> None:
    """A recording of odd size with a frame rate."""
    recording = pattern_take(1, planes=80, height=45, width=61).recording
    planes = recording[0 : len(recording)].astype(bool)
    with_fps = SpikeRecording.from_planes(planes, fps=20_000.0, rate_scale=recording.rate_scale)
    write_recording(with_fps, "street.npz")


@pytest.mark.parametrize("codec", ["--codec x265", ""])
def test_decoded_images_keep_their_planes_and_size(codec: str, zoo: Zoo) -> None:
    for crf, name in ((45, "small"), (10, "large")):
        line = f"compress street.npz {codec} --crf {crf} --method tfi --stride 20 --out {name}.mp4"
        assert zoo(line).code == 0
    assert CodedImages.read("large.mp4").codec == ("x265" if codec else "av1")
    assert Path("small.mp4").stat().st_size < Path("large.mp4").stat().st_size
    assert zoo("decompress large.mp4 --out decoded.1/").code == 0
    Path("decoded.1").rename("decoded")
    assert zoo("reconstruct street.npz --method tfi --stride 20 --out expected").code == 0
    planes = sorted(path.name.rpartition("-")[2] for path in Path("decoded").iterdir())
    assert planes == ["000000.png", "000020.png", "000040.png", "000060.png"]
    for plane in planes:
        decoded = load_image(f"decoded/large-{plane}")
        expected = load_image(f"expected/street-{plane}")
        assert decoded.shape == expected.shape == (1, 45, 61)
        assert np.abs(decoded - expected).mean() < 0.02


def test_the_same_recording_gives_the_same_bytes(zoo: Zoo) -> None:
    for name in ("a.mp4", "b.mp4"):
        assert zoo(f"{X265} {name}").code == 0
    assert Path("a.mp4").read_bytes() == Path("b.mp4").read_bytes()


def test_info_reports_codec_method_planes_and_size(zoo: Zoo) -> None:
    zoo("compress street.npz --codec x265 --start 10 --stop 60 --crf 30 --out a.mp4")
    facts = json.loads(zoo("info a.mp4 --json").out)
    size = Path("a.mp4").stat().st_size
    assert facts["bpp"] == pytest.approx(8 * size / (50 * 45 * 61))
    names = "method codec crf first stride images planes height width fps"
    expected = ("tfi-aligned", "x265", 30, 10, 7, 8, 50, 45, 61, 20_000.0)
    assert tuple(facts[name] for name in names.split()) == expected
    text = zoo("info a.mp4").out
    assert "tfi-aligned (no weights)" in text
    assert "images coded by x265, crf 30" in text
    assert "planes 10 to 59" in zoo("decompress a.mp4 --out decoded").out
    assert Path("decoded/a-000010.png").is_file()


def test_foreign_and_damaged_videos_are_rejected(zoo: Zoo) -> None:
    save_video([np.zeros((16, 16))] * 3, Path("other.mp4"))
    result = zoo("decompress other.mp4 --out decoded")
    assert "other.mp4: an MP4 without the description" in result.err
    assert zoo(f"{X265} a.mp4").code == 0
    Path("cut.mp4").write_bytes(Path("a.mp4").read_bytes()[:300])
    for command in ("info cut.mp4", "decompress cut.mp4 --out decoded"):
        assert zoo(command).code == 1
    assert not Path("decoded").exists()
    assert "is a video already; give a folder" in zoo("decompress a.mp4 --out b.mp4").err


def test_a_dark_recording_gets_warnings_instead_of_an_estimate_from_black_images(zoo: Zoo) -> None:
    write_recording(SpikeRecording.from_planes(np.zeros((161, 16, 16), np.bool_)), "dark.npz")
    result = zoo("compress dark.npz --codec x265 --method tfi --out a.mp4")
    assert "almost no pixel has a spike, so the rate scale cannot be estimated" in result.err
    assert "all images are black" in result.err


def test_a_single_image_is_coded_as_a_video(zoo: Zoo) -> None:
    recording = pattern_take(1, planes=3, height=16, width=16).recording
    write_recording(recording, "street.npz", overwrite=True)
    assert zoo(f"{X265} a.mp4").code == 0
    assert zoo("decompress a.mp4 --out decoded").code == 0
    assert [path.name for path in Path("decoded").iterdir()] == ["a-000000.png"]


def test_colour_methods_are_rejected_and_ignored_colour_filters_are_reported(zoo: Zoo) -> None:
    recording = SpikeRecording.from_planes(random_spikes(81, 32, 32), rate_scale=0.5, cfa="RGGB")
    write_recording(recording, "a.npz")
    result = zoo("compress a.npz --out a.mp4 --method tfi-colour")
    assert (result.code, Path("a.mp4").exists()) == (2, False)
    assert "codes grey images; for a video in colour run reconstruct" in result.err
    result = zoo("compress a.npz --out a.mp4 --method tfi")
    assert "tfi ignores the colour filters RGGB of the sensor" in result.err


def test_the_only_copy_is_not_clipped_and_clipped_pixels_of_others_are_reported(
    shared: Path, zoo: Zoo
) -> None:
    clip = f"{shared / 'data' / 'data.dat'} --height 250 --width 400"
    coding = "--codec x265 --start 100 --stop 200 --stride 25 --crf 8"
    result = zoo(f"compress {clip} {coding} --out a.mp4")
    assert "(lossy, 4 images" in result.out
    assert "estimated from the brightest pixels" in result.err
    assert "warning" not in result.err
    scale = CodedImages.read("a.mp4").rate_scale
    [decoded] = [image for plane, image in read_images("a.mp4") if plane == 150]
    truth = load_image(shared / "data" / "data.png")  # white is 0.6 spikes per plane
    error = np.asarray(to_bytes(decoded), float) / 255 * scale / 0.6 - truth[0]
    assert -10 * np.log10((error**2).mean()) > 36
    result = zoo(f"reconstruct {clip} --method tfi-aligned --out a.png")
    assert f"rate scale: {scale:.3g} spikes" in result.err, "one estimate in all commands"
    assert "clipped" not in result.err
    error = load_image("a.png")[0] - truth[0]
    assert -10 * np.log10((error**2).mean()) > 30
    result = zoo(f"reconstruct {clip} --method tfi-aligned --rate-scale 0.4 --out b.png")
    assert "clipped or just white at a rate scale of 0.4;" in result.err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stride": "seven"}, "its description: stride: expected int, got 'seven'"),
        ({"stride": None}, "the following arguments are required: stride"),
        ({"stride": 0}, "stride is 0, expected at least 1"),
        ({"first": -3}, "first is -3, expected at least 0"),
        ({"images": 2.5}, "images: expected int, got 2.5"),
        ({"width": 10**400}, "width is 1000"),
        ({"planes": []}, "planes: expected int, got []"),
        ({"rate_scale": math.nan}, "rate_scale is nan, expected a number > 0"),
        ({"fps": {}}, "fps: expected float | None, got {}"),
        ({"method": 5}, "method: expected str, got 5"),
        ({"codec": ["av1"]}, "codec: expected str, got ['av1']"),
        ({"digest": None}, "the following arguments are required: digest"),
        ({"format": ["x"]}, "it can only be played"),
        ({"turn": 90}, "unknown key 'turn'"),
    ],
)
def test_descriptions_of_wrong_types_and_values_are_rejected(
    change: dict[str, Any], message: str, zoo: Zoo
) -> None:
    description = CodedImages("tfi", "", "av1", 35, 0, 7, 2, 80, 45, 61, 0.6)
    content = json.loads(description.as_text()) | change
    _write_video(Path("a.mp4"), json.dumps(content))
    for line in ("info a.mp4", "decompress a.mp4 --out images"):
        result = zoo(line)
        assert (result.code, result.err.count("\n")) == (1, 1)
        assert result.err.startswith("error: a.mp4: ")
        assert message in result.err


@pytest.mark.parametrize("comment", ["[]", "5", '"text"', "[" * 100_000, "", "{}"])
def test_videos_without_a_description_are_rejected(comment: str, zoo: Zoo) -> None:
    _write_video(Path("a.mp4"), comment)
    result = zoo("info a.mp4")
    assert result.code == 1
    assert "it can only be played" in result.err


def test_images_smaller_than_stated_are_rejected(zoo: Zoo) -> None:
    text = CodedImages("tfi", "", "av1", 35, 0, 7, 2, 80, 450, 61, 0.6).as_text()
    _write_video(Path("a.mp4"), text)
    result = zoo("decompress a.mp4 --out images")
    assert result.code == 1
    assert "not 450x61, which its description states" in result.err
