"""Which images a test measured, as a digest that two runs can be compared by."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def image_set_digest(images: Iterable[tuple[str, int | str]]) -> str:
    """Return the SHA-256 of images in any order.

    Args:
        images: Name of the recording and plane; of an exposure, counted from its first plane.
    """
    lines = sorted(f"{name}\t{plane}" for name, plane in images)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
