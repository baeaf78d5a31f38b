"""No photograph that trained shipped weights is a test or validation photograph."""

from __future__ import annotations

import pytest
from PIL import Image, ImageOps

from benchmarks import photographs

pytestmark = pytest.mark.repo


def test_no_listed_photograph_is_held_out() -> None:
    listed = photographs.read_list()
    assert len(listed) >= 211
    assert photographs.copies(listed) == []


def test_a_mirrored_smaller_and_compressed_copy_is_found() -> None:
    name, image = next(iter(photographs.held_out().items()))
    small = ImageOps.mirror(image).resize((300, 211), Image.Resampling.BICUBIC)
    (found,) = photographs.copies({"copy.jpg": photographs.content_hash(small)})
    assert found.startswith(f"{name}: copy.jpg")
