"""Clips of seven frames: planes of frames, ground truth and errors."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spike_zoo.errors import FormatError, MediaError, MissingFileError
from spike_zoo.simulation.datasets.septuplets import Septuplet, blended_light, find_septuplets
from tests.helpers.image_trees import write_image, write_septuplets
from tests.helpers.splits import split_sizes

TRAIN = [f"{video:05d}/{clip:04d}" for video in range(1, 5) for clip in (1, 2, 3)]


def test_luminance_equals_every_frame_at_its_plane() -> None:
    frames = [np.full((2, 3), 30 * number, np.uint8) for number in range(1, 8)]
    light = blended_light(frames)
    assert light.shape == (41, 2, 3)
    # luminance grows by 30 levels every seven planes, starting at plane -1
    expected = (30 + 30 * (np.arange(41) + 1) / 7) / 255
    np.testing.assert_allclose(light[:, 1, 2], expected, atol=1e-6)


def test_ground_truth_is_frames_two_to_six_at_the_centres_of_windows(tmp_path: Path) -> None:
    write_septuplets(tmp_path, ["00001/0001"], [])
    take: Any = Septuplet(tmp_path / "sequences" / "00001" / "0001").take()
    assert take.image_index.tolist() == [6, 13, 20, 27, 34]
    assert take.images[:, 0, 0].tolist() == [60, 90, 120, 150, 180]
    assert take.images.dtype == np.uint8
    assert take.images.shape == (5, 16, 24)
    assert take.recording.shape == (41, 16, 24)
    light = (30 + 30 * (np.arange(41) + 1) / 7) / 255
    assert take.recording[:].mean() == pytest.approx(0.6 * light.mean(), abs=0.005)


def test_the_lists_define_the_split_and_validation_has_whole_videos(tmp_path: Path) -> None:
    write_septuplets(tmp_path / "vimeo_septuplet", TRAIN, ["00009/0001"])
    for folder in (tmp_path, tmp_path / "vimeo_septuplet"):
        splits = find_septuplets(folder, 0)
        assert [clip.name for clip in splits["test"]] == ["00009-0001"]
        assert (len(splits["train"]), len(splits["val"])) == (9, 3)
        assert len({clip.group for clip in splits["val"]}) == 1
        assert not {clip.group for clip in splits["val"]} & {clip.group for clip in splits["train"]}


def test_a_single_list_is_sufficient(tmp_path: Path) -> None:
    (write_septuplets(tmp_path, [], TRAIN) / "sep_trainlist.txt").unlink()
    splits = find_septuplets(tmp_path, 0)
    assert split_sizes(splits) == {"train": 0, "val": 0, "test": 12}


def test_missing_and_invalid_clips_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"neither sep_trainlist\.txt nor sep_testlist\.txt"):
        find_septuplets(tmp_path, 0)
    write_septuplets(tmp_path, ["00001/0001"], [])
    with (tmp_path / "sep_trainlist.txt").open("a") as file:
        file.write("\n00001/0002\n")
    with pytest.raises(MissingFileError, match=r"00001/0002: this clip of line 3 of sep_trainlist"):
        find_septuplets(tmp_path, 0)
    (tmp_path / "sep_trainlist.txt").write_text("00001/../../secret\n")
    with pytest.raises(FormatError, match=r"line 1 is '00001/\.\./\.\./secret', expected a clip"):
        find_septuplets(tmp_path, 0)


def test_missing_frames_and_frames_of_another_size_are_named(tmp_path: Path) -> None:
    clip = write_septuplets(tmp_path, ["00001/0001"], []) / "sequences" / "00001" / "0001"
    write_image(clip / "im4.png", size=(16, 23))
    with pytest.raises(MediaError, match=r"im4\.png: 16x23 pixels, im1\.png has 16x24"):
        Septuplet(clip).take()
    (clip / "im4.png").unlink()
    with pytest.raises(MissingFileError, match=r"im4\.png"):
        Septuplet(clip).take()
