"""Which images were tested is one digest, whatever their order."""

from __future__ import annotations

import hashlib
import random

from hypothesis import given
from hypothesis import strategies as st

from spike_zoo.records.image_set import image_set_digest

IMAGES = st.lists(
    st.tuples(st.sampled_from(["street", "alley", "a-1"]), st.integers(0, 9)), unique=True
)


def test_the_digest_is_that_of_a_list_which_a_shell_can_make() -> None:
    listed = b"alley\t7\nstreet\t40"  # name, tabulator, plane; sorted
    assert image_set_digest([("street", 40), ("alley", "7")]) == hashlib.sha256(listed).hexdigest()


@given(images=IMAGES, seed=st.integers(0, 9))
def test_the_order_of_images_does_not_matter(images: list[tuple[str, int]], seed: int) -> None:
    shuffled = random.Random(seed).sample(images, len(images))
    assert image_set_digest(shuffled) == image_set_digest(images)


@given(images=IMAGES, others=IMAGES)
def test_other_images_have_another_digest(
    images: list[tuple[str, int]], others: list[tuple[str, int]]
) -> None:
    is_same = set(images) == set(others)
    assert (image_set_digest(images) == image_set_digest(others)) is is_same
