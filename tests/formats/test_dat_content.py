"""Estimation of sizes and rolled images of headerless recordings."""

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spike_zoo.cli.main import main
from spike_zoo.formats import read_recording, write_recording
from spike_zoo.formats.dat import DatLayout, open_dat
from spike_zoo.formats.dat_content import better_size
from spike_zoo.formats.dat_sizes import fitting_sizes
from spike_zoo.simulation import SceneSpec, simulate_take
from tests.helpers.streams import smooth_scene

HEIGHT, WIDTH = 64, 96


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("rows", [1, 20, HEIGHT - 1])
def test_the_offset_suggested_for_a_rolled_image_corrects_it(
    tmp_path: Path, rows: int, flip: bool
) -> None:
    spikes = smooth_scene(66, HEIGHT, WIDTH)
    path = write_recording(spikes, tmp_path / "clip.dat", flip=flip)
    row_bytes = WIDTH // 8
    first, last = HEIGHT - rows, rows  # rows of the first and of the last plane that are cut off
    path.write_bytes(path.read_bytes()[first * row_bytes : -last * row_bytes])
    with pytest.warns(UserWarning, match=rf"rolled by {rows} rows.*'offset: {rows * row_bytes}'"):
        read_recording(path, height=HEIGHT, width=WIDTH, flip=flip, check_rows=True)
    (tmp_path / "clip.dat.yaml").write_text(f"offset: {rows * row_bytes}")
    with pytest.warns(UserWarning, match="incomplete plane") as caught:
        recording = read_recording(
            path, height=HEIGHT, width=WIDTH, flip=flip, check_rows=True, allow_partial=True
        )
    assert len(caught) == 1
    np.testing.assert_array_equal(recording[:], spikes[1:-1])


@pytest.mark.parametrize(
    "spikes",
    [
        smooth_scene(64, HEIGHT, WIDTH),
        np.random.default_rng(0).random((64, HEIGHT, WIDTH)) < 0.3,
        np.zeros((4, HEIGHT, WIDTH), bool),
        np.concatenate([np.zeros((8, 20, WIDTH), bool), smooth_scene(8, 44, WIDTH)], axis=1),
        np.roll(smooth_scene(64, 8, WIDTH), 3, axis=1),
    ],
    ids=["scene", "noise", "dark", "dark top", "too low"],
)
def test_images_that_are_not_rolled_are_read_without_a_warning(
    tmp_path: Path, spikes: np.ndarray
) -> None:
    path = write_recording(spikes, tmp_path / "clip.dat")
    _, height, width = spikes.shape
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_recording(path, height=height, width=width, check_rows=True)


def test_an_explicit_offset_of_zero_disables_the_warning(tmp_path: Path) -> None:
    rolled = np.roll(smooth_scene(64, HEIGHT, WIDTH), 20, axis=1)
    path = write_recording(rolled, tmp_path / "clip.dat")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_recording(path, height=HEIGHT, width=WIDTH, offset=0, check_rows=True)


def test_the_sample_clip_is_recognised_and_its_rolled_copy_gives_a_warning(
    tmp_path: Path, shared: Path
) -> None:
    stored = (shared / "data" / "data.dat").read_bytes()
    path = tmp_path / "clip.dat"
    path.write_bytes(stored)
    assert "bytes: 250x400 (301 planes)." in fitting_sizes(path)
    path.write_bytes(stored[50 * 97 :] + stored[: 50 * 97])
    with pytest.warns(UserWarning, match="rolled by 153 rows.*'offset: 7650'"):
        read_recording(path, height=250, width=400, check_rows=True)


def _stated(path: Path, height: int, width: int) -> tuple[int, int] | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the last plane may be incomplete
        return better_size(open_dat(path, DatLayout(height, width), allow_partial=True))


@pytest.mark.parametrize("clip", ["data.dat", "base/train/spike/203_part2_key_id151.dat"])
@pytest.mark.parametrize("size", [(400, 250), (500, 200), (125, 800), (500, 800)])
def test_a_wrong_size_of_a_recording_is_recognised(
    shared: Path, clip: str, size: tuple[int, int]
) -> None:
    assert _stated(shared / "data" / clip, *size) == (250, 400)
    assert _stated(shared / "data" / clip, 250, 400) is None


@pytest.mark.parametrize("cfa", [None, "RGGB"])
@pytest.mark.parametrize(("seed", "size"), [*enumerate([(96, 160), (66, 100)] * 2)])
def test_exchanged_sizes_of_scenes_are_recognised_without_false_alarms(
    tmp_path: Path, seed: int, cfa: Any, size: tuple[int, int]
) -> None:
    spec = SceneSpec(planes=41, height=size[0], width=size[1], seed=seed, noise="indoor-v1")
    write_recording(simulate_take(spec, margin=20, cfa=cfa).recording, tmp_path / "a.dat")
    assert _stated(tmp_path / "a.dat", *size) is None
    assert _stated(tmp_path / "a.dat", *size[::-1]) == size


@given(seed=st.integers(0, 999), rate=st.sampled_from([0.0, 1e-4, 0.02, 0.3, 1.0]))
@settings(deadline=None, max_examples=25)
def test_noise_and_dark_and_bright_planes_fit_every_size(seed: int, rate: float) -> None:
    spikes = np.random.default_rng(seed).random((24, 96, 64)) < rate
    spikes[:, seed % 96, 3] = True  # two defective pixels, one below the other
    spikes[:, (seed + 1) % 96, 3] = True
    with tempfile.TemporaryDirectory() as folder:
        path = write_recording(spikes, Path(folder) / "a.dat")
        assert [_stated(path, *size) for size in ((96, 64), (64, 96), (48, 128))] == [None] * 3


@pytest.mark.parametrize("command", ["info", "reconstruct", "report", "compress"])
def test_commands_name_the_size_that_fits_better(
    shared: Path, tmp_path: Path, command: str
) -> None:
    options = ["--height", "400", "--width", "250"]
    options += {
        "info": [],
        "reconstruct": ["--method", "tfi", "--out", str(tmp_path / "a.png")],
        "report": ["--methods", "tfi", "--images", "1", "--out", str(tmp_path / "a.html")],
        "compress": ["--stop", "8", "--out", str(tmp_path / "a.spl")],
    }[command]
    with pytest.warns(UserWarning, match=r"250x400 fits better: pass --height 250 --width 400"):
        main([command, str(shared / "data" / "data.dat"), *options])
