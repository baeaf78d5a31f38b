import itertools

import numpy as np
import pytest

from spike_zoo.simulation.scenes.photographs import PHOTOGRAPHS, photograph


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


def test_an_unknown_photograph_is_rejected() -> None:
    with pytest.raises(ValueError, match="'lena'"):
        photograph("lena")
