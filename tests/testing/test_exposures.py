"""Exposures for tests: blur, spikes and sharp images are of the same light."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spike_zoo import SpikeArchive
from spike_zoo.spikes import Take
from spike_zoo.testing.exposures import GREY, RATE_SCALE, exposed_take

HEIGHT, WIDTH, SPAN = 6, 10, slice(20, 117)


@pytest.fixture(scope="module")
def take() -> Take:
    return exposed_take(2, HEIGHT, WIDTH, images=97)  # one for each plane of the exposure


def test_the_blurry_image_is_the_mean_of_the_sharp_ones(take: Take) -> None:
    assert take.blur is not None
    assert take.images is not None
    assert take.blur.shape == (1, 4 * HEIGHT, 4 * WIDTH, 3)
    error = take.blur[0] - take.images.astype(np.float64).mean(axis=0)
    assert np.abs(error).max() <= 1, "each is rounded to a byte"


def test_the_spikes_of_the_exposure_are_its_blurry_image_in_grey(take: Take) -> None:
    assert take.blur is not None
    small = take.blur[0].reshape(HEIGHT, 4, WIDTH, 4, 3).mean(axis=(1, 3)) / 255
    fired = take.recording[SPAN].mean(axis=0) / RATE_SCALE
    assert np.abs(fired - small @ np.array(GREY)).max() < 1.1 / 97 / RATE_SCALE + 0.5 / 255


@pytest.mark.parametrize(("images", "planes"), [(3, [20, 68, 116]), (5, [20, 44, 68, 92, 116])])
def test_sharp_images_are_spread_over_the_published_exposure(
    images: int, planes: list[int]
) -> None:
    take = exposed_take(0, HEIGHT, WIDTH, images)
    assert take.image_index is not None
    assert take.image_index.tolist() == planes
    assert take.blur_span is not None
    assert take.blur_span.tolist() == [[20, 117]]
    assert len(take.recording) == 137


def test_an_archive_has_four_exposures_to_train_on_and_none_twice(exposures_archive: Path) -> None:
    with SpikeArchive(exposures_archive) as archive:
        counts = {split: len(archive.names(split)) for split in archive.splits()}
        blurs = [archive.blurry_image(name, 0).tobytes() for name in archive.names()]
    assert counts == {"train": 4, "val": 1, "test": 1}
    assert len(set(blurs)) == 6
