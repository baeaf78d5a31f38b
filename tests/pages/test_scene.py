"""Tests of the scenes of a report: chosen planes, ground truth, size limits."""

from pathlib import Path

import numpy as np
import pytest

from spike_zoo import SpikeArchive, SpikeRecording
from spike_zoo.errors import GeometryError
from spike_zoo.formats.sidecar import RecordingSettings
from spike_zoo.media import save_image
from spike_zoo.pages.choices import Choices
from spike_zoo.pages.scene import (
    ReportScene,
    most_detailed_point,
    recordings_to_show,
    scene_of_archive,
    scene_of_file,
)

GROUND_TRUTH = np.full((1, 8, 16), 0.5, np.float32)


def _recording(planes: int = 161, rate: float = 0.3, scale: float | None = 0.6) -> SpikeRecording:
    spikes = np.random.default_rng(0).random((planes, 8, 16)) < rate
    return SpikeRecording.from_planes(spikes, rate_scale=scale)


def test_planes_are_spread_away_from_the_ends_and_include_the_requested_one() -> None:
    scene = ReportScene("clip", _recording())
    assert scene.selected_planes(Choices(), 3) == [30, 80, 130]
    assert scene.selected_planes(Choices(center=75), 3) == [30, 75, 130]
    assert scene.selected_planes(Choices(), 1) == [80]
    assert scene.selected_planes(Choices(center=2), 1) == [2]


def test_a_part_is_shown_with_the_planes_of_the_recording(tmp_path: Path) -> None:
    save_image(GROUND_TRUTH, tmp_path / "true.png")
    choices = Choices(start=100, stop=120, truth=str(tmp_path / "true.png"))
    scene = scene_of_file("clip", _recording(), choices)
    assert list(scene.truths) == [110]
    assert scene.selected_planes(choices, 3) == [100, 110, 119]
    at_the_end = scene_of_file("clip", _recording(), Choices(start=150))
    assert set(at_the_end.selected_planes(choices, 3)) <= set(range(150, 161))


def test_planes_with_ground_truth_are_chosen_first() -> None:
    scene = ReportScene(
        "clip", _recording(), {70: GROUND_TRUTH, 80: GROUND_TRUTH, 90: GROUND_TRUTH}
    )
    assert scene.selected_planes(Choices(), 2) == [70, 90]
    assert {70, 80, 90} < set(scene.selected_planes(Choices(), 5))
    assert scene.center(Choices()) == 80


def test_a_short_recording_shows_its_middle_plane() -> None:
    assert ReportScene("clip", _recording(3)).selected_planes(Choices(), 5) == [1]


def test_colour_or_larger_images_are_not_used_as_ground_truth() -> None:
    large = np.zeros((3, 32, 64), np.float32)
    assert not ReportScene("clip", _recording(), {80: large}).has_truth


def test_an_unknown_rate_scale_is_estimated() -> None:
    scene = ReportScene("clip", _recording(scale=0.6))
    assert scene.rate_scale == (0.6, False)
    scale, is_estimated = ReportScene("clip", _recording(scale=None)).rate_scale
    assert is_estimated
    assert 0.3 < scale < 0.6, "the brightest pixels of a firing rate of 0.3"
    silent, _ = ReportScene("dark", _recording(rate=0.0, scale=None)).rate_scale
    assert silent > 0


def test_a_ground_truth_file_must_have_the_size_of_the_planes(tmp_path: Path) -> None:
    save_image(GROUND_TRUTH, tmp_path / "true.png")
    save_image(np.zeros((3, 3)), tmp_path / "small.png")
    scene = scene_of_file("clip", _recording(), Choices(truth=str(tmp_path / "true.png")))
    assert list(scene.truths) == [80]
    assert scene.has_truth
    with pytest.raises(GeometryError, match=r"of 3 x 3 \(W x H\), the planes are 16 x 8"):
        scene_of_file("clip", _recording(), Choices(truth=str(tmp_path / "small.png")))


def test_a_scene_of_an_archive_has_its_images_and_exposures(
    clips_archive: Path, exposures_archive: Path
) -> None:
    with SpikeArchive(clips_archive) as archive:
        (name,) = recordings_to_show(archive, Choices())
        assert name in archive.names("test")
        scene = scene_of_archive(archive, name, RecordingSettings(rate_scale=0.4))
        assert scene.has_truth
        assert scene.rate_scale.value == 0.4
        assert not scene.exposures
        assert len(recordings_to_show(archive, Choices(scenes=100))) == len(archive.names("test"))
        assert recordings_to_show(archive, Choices(scenes=0)) == []
    with SpikeArchive(exposures_archive) as archive:
        scene = scene_of_archive(archive, archive.names()[0], RecordingSettings())
        assert scene.exposures[0].blur.shape[0] == 3
        assert 0 <= scene.exposures[0].blur.min() <= scene.exposures[0].blur.max() <= 1


def test_large_sensors_show_fewer_planes_and_images() -> None:
    choices = Choices(images=5)
    assert choices.planes_that_fit(250, 400) == 61
    assert choices.planes_that_fit(1000, 1000) == 15
    assert choices.images_that_fit(7, 250, 400) == 5
    assert choices.images_that_fit(7, 1000, 1000) == 1


def test_crops_are_centred_on_the_most_detailed_region() -> None:
    image = np.zeros((1, 90, 90), np.float32)
    image[0, 60:70:2, 20:30:2] = 1.0
    across, down = most_detailed_point(image)
    assert 0.2 < across < 0.34
    assert 0.66 < down < 0.79
    assert most_detailed_point(np.zeros((1, 4, 4))) == (0.5, 0.5)
