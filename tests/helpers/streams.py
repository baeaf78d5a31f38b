"""Random spike streams and spikes of a smooth scene, also as strategies of hypothesis."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from spike_zoo.spikes.recording import Selection


class CountedPlanes:
    """Packed planes that record the ranges that are read."""

    def __init__(self, packed: NDArray[np.uint8]) -> None:
        self.packed = packed
        self.ranges: list[tuple[int, int]] = []

    @property
    def shape(self) -> tuple[int, ...]:
        return self.packed.shape

    def __getitem__(self, selection: Selection) -> NDArray[np.uint8]:
        planes = selection[0] if isinstance(selection, tuple) else selection
        self.ranges.append((planes.start, planes.stop))
        return self.packed[selection]


def spike_streams(max_planes: int = 9, max_side: int = 33) -> st.SearchStrategy[NDArray[np.bool_]]:
    """Return a strategy of bool arrays ``(T, H, W)``; every axis has at least length 1."""
    side = st.integers(1, max_side)
    shapes = st.tuples(st.integers(1, max_planes), side, side)
    return shapes.flatmap(lambda shape: hnp.arrays(np.bool_, shape))


def random_spikes(
    planes: int, height: int, width: int, *, rate: float = 0.3, seed: int = 0
) -> NDArray[np.bool_]:
    """Return independent spikes ``(T, H, W)`` with probability ``rate``, reproducible by seed."""
    return np.random.default_rng(seed).random((planes, height, width)) < rate


def smooth_scene(planes: int, height: int, width: int) -> NDArray[np.bool_]:
    """Return spikes of a smooth static scene."""
    random = np.random.default_rng(0)
    scene = gaussian_filter(random.random((height, width)), 4)
    scene = (scene - scene.min()) / np.ptp(scene)
    return random.random((planes, height, width)) < 0.6 * scene
