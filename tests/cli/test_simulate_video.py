"""``simulate --video``: from sharp video to an archive of exposures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spike_zoo import SpikeArchive
from spike_zoo.cli.main import main
from spike_zoo.data import DeblurDataModule
from tests.media.test_frames import write_folder, write_video


def moving(count: int, seed: int) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    texture = np.random.default_rng(seed).integers(0, 256, (32, 200, 3), dtype=np.uint8)
    return [np.ascontiguousarray(texture[:, k : k + 48]) for k in range(count)]


def test_a_folder_of_footage_becomes_an_archive_to_train_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips, out = tmp_path / "clips", tmp_path / "clips.h5"
    write_video(clips / "train" / "street.mp4", moving(42, 0))
    write_folder(clips / "val" / "park", moving(29, 1))
    write_folder(clips / "test" / "GOPR0384", moving(30, 2))
    words = ["simulate", "--video", str(clips), "--out", str(out), "--jobs", "1"]
    words += ["--interpolation", "blend", "--threshold", "4"]
    assert main(words) == 0
    assert "train 2, val 1, test 1 recordings" in capsys.readouterr().out
    with SpikeArchive(out) as archive:
        assert {finding.code for finding in archive.verify()} == {"W02"}  # folders have no rate
        assert archive.names("train") == ["street-000019", "street-000032"]
        assert archive.names("test") == ["GOPR0384-000019"]
        np.testing.assert_array_equal(archive.images("GOPR0384-000019")[3], moving(30, 2)[19])
        assert archive["street-000019"].rate_scale == pytest.approx(0.496, abs=1e-3)
        assert archive["street-000019"].fps == 1920
    data = DeblurDataModule(str(out), crop=None, batch_size=2)
    data.setup("fit")
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    assert batch["spikes"].shape == (2, 137, 8, 12)
    assert batch["blur"].shape == (2, 3, 32, 48)
    assert main(words) == 0
    assert "Already made" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--height", "8"], "--height: a video has its own size"),
        (["--size", "small"], "--size small: a video has its own size"),
        (["--motions", "2"], "--motions: a video has its own size, length and motion"),
        (["--kind", "labelled"], "--kind labelled: a video becomes exposures to deblur"),
        (["--kind", "reconstruction"], "--kind reconstruction: a video becomes exposures"),
        (["--kind", "deblur"], "no exposure fits"),  # what it is
        (["--inserted", "0"], "--inserted must be at least 1"),
        ([], "no exposure fits; the longest has 28 frames"),
    ],
)
def test_what_makes_no_exposure_is_rejected(
    tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = write_folder(tmp_path / "short", moving(28, 0))
    command = ["simulate", "--video", str(clip), "--out", str(tmp_path / "a.h5"), *words]
    assert main(command) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "a.h5").exists()
