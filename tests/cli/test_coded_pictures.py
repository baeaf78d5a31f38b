"""Tests of ``compress --codec``: videos of reconstructed images with metadata."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from spike_zoo import SpikeRecording
from spike_zoo.cli.compress import compress
from spike_zoo.cli.decompress import decompress
from spike_zoo.cli.info import info
from spike_zoo.cli.main import main
from spike_zoo.cli.reconstruct import reconstruct
from spike_zoo.errors import FormatError, UsageError
from spike_zoo.formats import write_recording
from spike_zoo.media.coded_pictures import CodedPictures, read_pictures
from spike_zoo.media.pictures import load_picture, to_bytes
from spike_zoo.media.video import save_video
from spike_zoo.testing import pattern_take
from tests.helpers.streams import random_spikes


@pytest.fixture
def street(tmp_path: Path) -> str:
    """A recording of odd size with a frame rate."""
    recording = pattern_take(1, planes=80, height=45, width=61).recording
    planes = recording[0 : len(recording)].astype(bool)
    with_fps = SpikeRecording.from_planes(planes, fps=20_000.0, rate_scale=recording.rate_scale)
    write_recording(with_fps, tmp_path / "street.npz")
    return str(tmp_path / "street.npz")


@pytest.mark.parametrize("codec", ["x265", "av1"])
def test_decoded_images_keep_their_planes_and_size(street: str, tmp_path: Path, codec: str) -> None:
    small, large = tmp_path / "small.mp4", tmp_path / "large.mp4"
    options = {"method": "tfi", "stride": 20}
    compress(street, out=str(small), codec=codec, crf=45, **options)  # type: ignore[arg-type]
    compress(street, out=str(large), codec=codec, crf=10, **options)  # type: ignore[arg-type]
    assert small.stat().st_size < large.stat().st_size
    decompress(str(large), out=str(tmp_path / "decoded"))
    reconstruct(street, out=str(tmp_path / "expected"), **options)  # type: ignore[arg-type]
    names = sorted(path.name.rpartition("-")[2] for path in (tmp_path / "decoded").iterdir())
    assert names == ["000000.png", "000020.png", "000040.png", "000060.png"]
    for name in names:
        decoded = load_picture(tmp_path / "decoded" / f"large-{name}")
        expected = load_picture(tmp_path / "expected" / f"street-{name}")
        assert decoded.shape == expected.shape == (1, 45, 61)
        assert np.abs(decoded - expected).mean() < 0.02


def test_the_same_recording_gives_the_same_bytes(street: str, tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        compress(street, out=str(tmp_path / name), codec="x265", method="tfi")
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_info_reports_codec_method_planes_and_size(
    street: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compress(street, out=str(tmp_path / "a.mp4"), codec="x265", start=10, stop=60, crf=30)
    info(str(tmp_path / "a.mp4"))
    assert "tfi-aligned (no weights)" in capsys.readouterr().out
    info(str(tmp_path / "a.mp4"), json=True)
    facts = json.loads(capsys.readouterr().out)
    size = (tmp_path / "a.mp4").stat().st_size
    assert facts["bpp"] == pytest.approx(8 * size / (50 * 45 * 61))
    names = "method codec crf first stride images planes height width fps"
    expected = ("tfi-aligned", "x265", 30, 10, 7, 8, 50, 45, 61, 20_000.0)
    assert tuple(facts[name] for name in names.split()) == expected
    info(str(tmp_path / "a.mp4"))
    assert "images coded by x265, crf 30" in capsys.readouterr().out
    decompress(str(tmp_path / "a.mp4"), out=str(tmp_path / "decoded"))
    assert (tmp_path / "decoded" / "a-000010.png").is_file()
    assert "planes 10 to 59" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"codec": "x265", "out": "a.sci"}, "--out a.sci: --codec x265 writes X.mp4"),
        ({"codec": "x265", "out": "a.mp4", "crf": 52}, "--crf 52: must be 0 to 51 for x265"),
        ({"codec": "av1", "out": "a.mp4", "stride": 0}, "--stride 0: must be at least 1 plane"),
        ({"codec": "av1", "out": "a.mp4", "quality": 2}, "--quality 2: not for --codec av1"),
        ({"out": "a.mp4"}, "--codec x265 writes X.mp4"),
        ({"out": "a.sci", "crf": 20}, "--crf 20: only for --codec"),
        ({"codec": "av1", "out": "a.mp4", "method": "ssdm-student"}, "--method ssdm-student"),
        ({"codec": "x265", "lossless": True, "out": "a.spl"}, "--codec x265: --lossless"),
    ],
)
def test_incompatible_options_are_rejected(
    street: str, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    before = sorted(tmp_path.iterdir())
    out = str(tmp_path / str(options.pop("out")))
    with pytest.raises(UsageError) as error:
        compress(street, out=out, **options)  # type: ignore[arg-type]
    assert message.replace("a.sci:", f"{tmp_path / 'a.sci'}:") in str(error.value)
    assert sorted(tmp_path.iterdir()) == before


def test_foreign_and_damaged_videos_are_rejected(street: str, tmp_path: Path) -> None:
    save_video([np.zeros((16, 16))] * 3, tmp_path / "other.mp4")
    with pytest.raises(FormatError, match=r"other\.mp4: an MP4 without the description"):
        decompress(str(tmp_path / "other.mp4"), out=str(tmp_path / "decoded"))
    compress(street, out=str(tmp_path / "a.mp4"), codec="x265", method="tfi")
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "a.mp4").read_bytes()[:300])
    for command in (["info"], ["decompress", "--out", str(tmp_path / "decoded")]):
        assert main([*command, str(tmp_path / "cut.mp4")]) == 1
    assert not (tmp_path / "decoded").exists()
    with pytest.raises(UsageError, match="is a video already; give a folder"):
        decompress(str(tmp_path / "a.mp4"), out=str(tmp_path / "b.mp4"))


def test_a_single_image_is_coded_as_a_video(tmp_path: Path) -> None:
    recording = pattern_take(1, planes=3, height=16, width=16).recording
    write_recording(recording, tmp_path / "short.npz")
    compress(str(tmp_path / "short.npz"), out=str(tmp_path / "a.mp4"), codec="x265", method="tfi")
    decompress(str(tmp_path / "a.mp4"), out=str(tmp_path / "decoded"))
    assert [path.name for path in (tmp_path / "decoded").iterdir()] == ["a-000000.png"]


def test_colour_methods_are_rejected_and_ignored_colour_filters_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = SpikeRecording.from_planes(random_spikes(81, 32, 32), rate_scale=0.5, cfa="RGGB")
    clip = str(write_recording(recording, tmp_path / "a.npz"))
    line = ["compress", clip, "--codec", "av1", "--out", str(tmp_path / "a.mp4")]
    assert main([*line, "--method", "tfi-colour"]) == 2
    assert "codes grey images; for a video in colour run reconstruct" in capsys.readouterr().err
    assert main([*line, "--method", "tfi"]) == 0
    assert "tfi ignores the colour filters RGGB and makes grey images" in capsys.readouterr().err


def test_the_only_copy_is_not_clipped(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip, size = str(shared / "data" / "data.dat"), {"height": 250, "width": 400}
    span = {"start": 100, "stop": 200}
    compress(clip, out=str(tmp_path / "a.mp4"), codec="x265", stride=25, crf=8, **span, **size)  # type: ignore[arg-type]
    printed = capsys.readouterr()
    assert "(lossy, 4 images" in printed.out
    assert "estimated from 4 images" in printed.err
    assert "warning" not in printed.err
    scale = CodedPictures.read(tmp_path / "a.mp4").rate_scale
    [decoded] = [image for plane, image in read_pictures(tmp_path / "a.mp4") if plane == 150]
    truth = load_picture(shared / "data" / "data.png")  # white is 0.6 spikes per plane
    error = np.asarray(to_bytes(decoded), float) / 255 * scale / 0.6 - truth[0]
    assert -10 * np.log10((error**2).mean()) > 36


def test_images_that_an_estimated_rate_scale_clips_are_reported(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip, size = str(shared / "data" / "data.dat"), {"height": 250, "width": 400}
    reconstruct(clip, out=str(tmp_path / "a.png"), method="tfi-aligned", **size)  # type: ignore[arg-type]
    assert (
        "of the pixels are clipped or just white at a rate scale of 0.44" in capsys.readouterr().err
    )
    reconstruct(clip, out=str(tmp_path / "b.png"), method="tfi-aligned", rate_scale=0.6, **size)  # type: ignore[arg-type]
    assert "clipped" not in capsys.readouterr().err
