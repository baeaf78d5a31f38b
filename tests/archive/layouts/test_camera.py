"""Priority of stated camera settings, files, sidecars and defaults of layouts."""

from pathlib import Path

import numpy as np
import pytest

from spike_zoo.archive.layouts.detection import find_takes
from spike_zoo.archive.layouts.ground_truth import open_with_settings
from spike_zoo.errors import MissingGeometryError, UsageError
from spike_zoo.formats import read_recording, write_recording
from spike_zoo.formats.sidecar import RecordingSettings
from spike_zoo.media import save_image
from tests.helpers.archives import write_archive
from tests.helpers.streams import random_spikes

SPIKES = random_spikes(5, 6, 16)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_recording(SPIKES, tmp_path / "train" / "spike" / "clip.dat")


def test_options_override_a_sidecar_and_a_sidecar_overrides_the_layout(clip: Path) -> None:
    def facts(camera: RecordingSettings) -> tuple[object, ...]:
        recording = open_with_settings(clip, camera)
        return recording.shape, recording.rate_scale, recording.fps

    default = RecordingSettings(3, 32, rate_scale=0.6, fps=500.0)
    assert facts(default) == ((5, 3, 32), 0.6, 500.0)
    clip.with_name("clip.dat.yaml").write_text("spike_h: 6\nspike_w: 16\nrate_scale: 0.3\n")
    assert facts(RecordingSettings(usual=default)) == ((5, 6, 16), 0.3, 500.0)
    np.testing.assert_array_equal(
        open_with_settings(clip, RecordingSettings(usual=default))[:], SPIKES
    )
    options = RecordingSettings(12, 8, rate_scale=0.9, fps=1000.0, usual=default)
    assert facts(options) == ((5, 12, 8), 0.9, 1000.0)


def test_rows_can_be_read_in_stored_order(clip: Path) -> None:
    recording = open_with_settings(clip, RecordingSettings(6, 16, flip=False))
    np.testing.assert_array_equal(recording[:], SPIKES[:, ::-1])


@pytest.mark.parametrize(
    ("option", "recording_flip", "folder_flip", "is_flipped"),
    [
        (None, None, None, True),
        (None, "false", None, False),
        (True, "false", None, True),
        (False, "true", None, False),
        (None, None, "false", False),
        (None, "true", "false", True),
        (True, None, "false", True),
    ],
)
def test_the_flip_option_overrides_sidecars_and_the_recordings_sidecar_the_folders(
    clip: Path,
    option: bool | None,
    recording_flip: str | None,
    folder_flip: str | None,
    is_flipped: bool,
) -> None:
    clip.with_name("config.yaml").write_text(
        f"spike_h: 6\nspike_w: 16\nflip: {folder_flip or 'null'}\n"
    )
    clip.with_name("clip.dat.yaml").write_text(
        f"flip: {recording_flip}\n" if recording_flip else "lens: 35 mm\n"
    )
    for recording in (
        read_recording(clip, flip=option),
        find_takes(clip.parents[2], layout="folder", flip=option).jobs["clip"]().recording,
    ):
        np.testing.assert_array_equal(recording[:], SPIKES if is_flipped else SPIKES[:, ::-1])


def test_a_layout_of_folders_mirrors_and_rotates_and_images_are_upright(clip: Path) -> None:
    upright = np.rot90(SPIKES[:, :, ::-1], -1, axes=(1, 2))  # clockwise
    image = np.zeros((16, 6), np.uint8)
    save_image(image, clip.with_suffix(".png"))
    root = clip.parents[2]
    takes = find_takes(root, layout="folder", height=6, width=16, mirror=True, rotate=90)
    take = takes.jobs["clip"]()
    np.testing.assert_array_equal(take.recording[:], upright)
    np.testing.assert_array_equal(take.images, image[None])
    clip.with_name("clip.dat.yaml").write_text("{mirror: true, rotate: 90}")
    take = find_takes(root, layout="folder", height=6, width=16).jobs["clip"]()
    np.testing.assert_array_equal(take.recording[:], upright)
    with pytest.raises(UsageError, match="--rotate must be 0, 90, 180 or 270"):
        find_takes(root, rotate=45)


def test_without_any_size_a_recording_is_rejected(clip: Path) -> None:
    with pytest.raises(MissingGeometryError, match="State its size by --height and --width"):
        open_with_settings(clip, RecordingSettings())


@pytest.mark.parametrize("layout", ["base", "folder", "recvidar"])
def test_every_layout_applies_the_camera_options(clip: Path, layout: str) -> None:
    root = clip.parents[2]
    options = {"height": 6, "width": 16, "rate_scale": 0.25, "fps": 40000.0, "flip": False}
    (job,) = find_takes(root, layout=layout, **options).jobs.values()  # type: ignore[arg-type]  # by name
    recording = job().recording
    assert (recording.rate_scale, recording.fps) == (0.25, 40000.0)
    np.testing.assert_array_equal(recording[:], SPIKES[:, ::-1])


def test_the_rate_scale_of_an_archive_can_be_corrected(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.h5")
    takes = find_takes(path, rate_scale=0.25, fps=40000.0)
    recording = next(iter(takes.jobs.values()))().recording
    assert (recording.rate_scale, recording.fps) == (0.25, 40000.0)
    with pytest.raises(UsageError, match="remove height, width, flip, mirror and rotate"):
        find_takes(path, flip=False)


@pytest.mark.parametrize(
    "options", [{"rate_scale": 0.0}, {"rate_scale": np.inf}, {"fps": -1.0}, {"fps": 0.0}]
)
def test_camera_options_of_zero_or_less_are_rejected(options: dict[str, float]) -> None:
    name = next(iter(options)).replace("_", "-")
    with pytest.raises(UsageError, match=f"--{name} .*above 0"):
        RecordingSettings(**options)  # type: ignore[arg-type]  # numbers
