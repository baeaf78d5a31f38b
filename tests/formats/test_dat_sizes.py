"""Ranking of the sizes of headerless recordings."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spike_zoo.formats import read_recording, write_recording
from spike_zoo.formats.dat_sizes import COMMON_SIZES, StoredSize, fitting_sizes, ranked_sizes
from spike_zoo.simulation import SceneSpec, SpikeCamera, simulate_take
from spike_zoo.testing import pattern_take
from tests.helpers.streams import smooth_scene


def _empty(path: Path, size: int) -> Path:
    with path.open("wb") as stream:
        stream.truncate(size)
    return path


@pytest.mark.parametrize(
    ("size", "fits"),
    [
        (125_000, "1000x1000 (1 planes)"),
        (137 * 7200, "180x320 (137 planes)"),
        (61 * 1152, "96x96 (61 planes)"),
        (115_200, "720x1280 (1 planes)"),
        (12_500, "250x400 (1 planes)"),
        (9_600 * 7, "240x320 (7 planes)"),
        (25 * 50_000, "500x800 (25 planes)"),
        (177 * 30_000, "400x600 (177 planes)"),
        (91 * 14_336, "256x448 (91 planes)"),
        (25 * 28_800, "360x640 (25 planes)"),
    ],
)
def test_sizes_that_fit_are_named_with_their_planes(tmp_path: Path, size: int, fits: str) -> None:
    message = fitting_sizes(_empty(tmp_path / "clip.dat", size))
    assert fits in message
    assert "likely" not in message  # nothing can be learned from empty planes


def test_a_length_that_fits_no_sensor_is_reported(tmp_path: Path) -> None:
    message = fitting_sizes(_empty(tmp_path / "clip.dat", 37_499))
    assert message.startswith("None of the common sensor sizes")


@pytest.mark.parametrize("size", [(250, 400), (1000, 1000), (360, 640), (180, 320), (96, 96)])
def test_the_fitting_size_with_the_most_similar_rows_is_listed_first(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    planes = 100 if size != (1000, 1000) else 10
    path = write_recording(smooth_scene(planes, *size), tmp_path / "clip.dat")
    message = fitting_sizes(path)
    assert f"the most likely first: {size[0]}x{size[1]} (" in message
    other_sizes = [
        f"{h}x{w} (" for h, w in COMMON_SIZES if planes * size[0] * size[1] % (h * w) == 0
    ]
    assert all(other in message for other in other_sizes)


@pytest.mark.parametrize(
    ("size", "header", "over"),
    [
        ((123, 200, None), 16, 0),
        ((97, 131, "bit"), 0, 0),
        ((97, 131, "byte"), 50, 0),
        ((90, 144, None), 0, 700),
    ],
)
def test_unusual_sizes_of_moving_scenes_are_ranked_first_with_their_offset(
    tmp_path: Path, size: tuple[int, int, str | None], header: int, over: int
) -> None:
    height, width, align = size
    spec = SceneSpec(planes=61, height=height, width=width, background="photo:chelsea", speed=0.3)
    spikes = simulate_take(spec, margin=20).recording
    path = write_recording(spikes, tmp_path / "a.dat", frame_align=align or "byte")
    stored = path.read_bytes()
    path.write_bytes(bytes(range(header)) + stored + stored[:over])
    ranking = ranked_sizes(path)
    assert ranking.is_recognised
    assert ranking.sizes[0] == StoredSize(height, width, align, header, 61, over)
    options: dict[str, Any] = {"frame_align": align, "offset": header, "allow_partial": bool(over)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the incomplete last plane
        recording = read_recording(path, height=height, width=width, **options)
    np.testing.assert_array_equal(recording[:], spikes[:])


def test_planes_of_every_listed_size_can_be_read(tmp_path: Path) -> None:
    take = pattern_take(0, planes=161, height=100, width=160)
    path = write_recording(take.recording, tmp_path / "a.dat")
    for size in ranked_sizes(path).sizes:
        stated: dict[str, Any] = {"frame_align": size.frame_align, "offset": size.offset}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of incomplete planes and other sizes
            recording = read_recording(
                path, height=size.height, width=size.width, allow_partial=True, **stated
            )
        assert recording[:].shape == (size.planes, size.height, size.width)


@pytest.mark.parametrize("rate", [0.0, 0.02, 0.3, 1.0])
@pytest.mark.parametrize("is_noise", [True, False])
def test_noise_and_uniform_light_have_no_most_likely_size(
    tmp_path: Path, rate: float, is_noise: bool
) -> None:
    uniform = np.full((24, 96, 64), rate, np.float32)
    generator = np.random.default_rng(0)
    camera = SpikeCamera(gain=1, generator=generator)
    spikes = generator.random(uniform.shape) < rate if is_noise else camera.expose(uniform)
    path = write_recording(spikes, tmp_path / "a.dat")
    assert not ranked_sizes(path).is_recognised
    assert "likely" not in fitting_sizes(path)


@pytest.mark.parametrize("clip", ["data.dat", "real/car.dat"])
def test_sample_clips_are_recognised(shared: Path, clip: str) -> None:
    assert ranked_sizes(shared / "data" / clip).sizes[0][:2] == (250, 400)
