"""Exposures of a batch, and checks of image size and planes against a recording."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spike_zoo.errors import GeometryError, PlaneRangeError
from spike_zoo.spikes import SpikeRecording
from spike_zoo.spikes.windows import whole_windows
from spike_zoo.tasks.exposures import Exposure, check_pair


@given(
    start=st.integers(0, 50),
    length=st.integers(1, 100),
    planes=st.lists(st.integers(0, 150), min_size=1),
)
def test_the_middle_image_is_nearest_to_the_middle_of_the_exposure(
    start: int, length: int, planes: list[int]
) -> None:
    images = (torch.zeros(1),) * 3
    exposure = Exposure(*images, "street", planes, (start, start + length), 1.0)
    distances = np.abs(np.array(planes) - exposure.middle)
    assert distances[exposure.middle_image] == distances.min()


@given(height=st.integers(1, 9), width=st.integers(1, 9), ratio=st.integers(1, 4))
def test_the_image_size_must_be_the_ratio_times_the_sensor_size(
    height: int, width: int, ratio: int
) -> None:
    recording = SpikeRecording.from_planes(np.zeros((1, height, width), np.bool_))
    image = torch.zeros(3, ratio * height, ratio * width)
    check_pair(image, recording, ratio)
    for other in (image[:, 1:], image[..., 1:]):
        with pytest.raises(GeometryError, match=f"high, {ratio * width} x {ratio * height}"):
            check_pair(other, recording, ratio)


@given(
    planes=st.integers(1, 30), length=st.integers(1, 15).map(lambda n: 2 * n - 1), data=st.data()
)
def test_windows_are_accepted_only_inside_the_recording(
    planes: int, length: int, data: st.DataObject
) -> None:
    center = data.draw(st.integers(-3, planes + 3))
    window = range(center - length // 2, center + length // 2 + 1)
    if window[0] >= 0 and window[-1] < planes:
        whole_windows([center], length, planes)
    else:
        with pytest.raises(PlaneRangeError):
            whole_windows([center], length, planes)
