from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image

from spike_zoo.simulation import PHOTOGRAPHS, photograph


def test_no_photograph_is_in_two_splits() -> None:
    for first, second in itertools.combinations(PHOTOGRAPHS.values(), 2):
        assert not set(first) & set(second)
    assert [split for split, names in PHOTOGRAPHS.items() if "astronaut" in names] == ["test"]


@pytest.mark.parametrize("name", [name for names in PHOTOGRAPHS.values() for name in names])
def test_every_photograph_ships_with_scikit_image(name: str) -> None:
    image = photograph(name)
    assert image.dtype == np.float32
    assert image.shape[0] == 3
    assert min(image.shape[1:]) >= 150
    assert 0.0 <= image.min() < image.max() <= 1.0


def test_values_are_those_of_the_file() -> None:
    file = Path(skimage.__file__).parent / "data" / "astronaut.png"
    expected = np.asarray(Image.open(file)).transpose(2, 0, 1) / 255
    np.testing.assert_allclose(photograph("astronaut"), expected, atol=1e-6)


def test_a_shared_photograph_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        photograph("camera")[0, 0, 0] = 0.5


def test_an_unknown_photograph_is_refused() -> None:
    with pytest.raises(ValueError, match="'lena'"):
        photograph("lena")
