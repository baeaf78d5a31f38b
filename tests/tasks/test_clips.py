"""Reconstruction of recordings clip by clip: planes, rate scale and evaluation mode."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from spike_zoo import load
from spike_zoo.checkpoints.published import shipped_names
from spike_zoo.errors import PlaneRangeError, UsageError
from spike_zoo.methods.classical.methods import ClassicalMethod
from spike_zoo.spikes import SpikeRecording
from spike_zoo.spikes.windows import centred_window, consecutive_clips
from spike_zoo.tasks.clips import ClipReconstruction, read_clip

PLANES, LENGTH, WIDTH = 12, 7, 11


class MeanOfClip(ClipReconstruction):
    """Method that returns the firing rate of the clip, with dropout to detect training mode."""

    clip_length = LENGTH

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        assert rate_scale is not None
        return self.dropout(spikes.mean(1, keepdim=True) / rate_scale.view(-1, 1, 1, 1))


def numbered_recording(rate_scale: float | None = 1.0) -> SpikeRecording:
    """Return a recording whose plane n fires only in column n."""
    spikes = np.zeros((PLANES, 2, WIDTH + 1), np.bool_)
    for plane in range(PLANES):
        spikes[plane, :, plane] = True
    return SpikeRecording.from_planes(spikes, rate_scale=rate_scale)


@given(center=st.integers(0, PLANES - 1), length=st.integers(1, 9))
def test_a_clip_is_centred_and_reflected_at_the_ends_of_the_recording(
    center: int, length: int
) -> None:
    clip = read_clip(numbered_recording(), center, length)
    padded = np.pad(np.arange(PLANES), 9, mode="reflect")
    start = 9 + center - length // 2
    assert clip[:, 0].int().argmax(dim=1).tolist() == padded[start : start + length].tolist()


def test_each_image_is_made_from_its_clip_and_returned_on_the_cpu() -> None:
    images = MeanOfClip().reconstruct(numbered_recording(), [5, 0])
    assert images.shape == (2, 1, 2, WIDTH + 1)
    assert (images.dtype, images.device.type) == (torch.float32, "cpu")
    sevenths = (7 * images[:, 0, 0]).round().int().tolist()
    assert sevenths[0] == [0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0]
    assert sevenths[1] == [1, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0]  # planes 1..3 are reflected


def test_images_are_streamed_and_a_wrong_plane_raises_before_the_first_image() -> None:
    module = MeanOfClip()
    together = module.reconstruct(numbered_recording(), [3, 8])
    for image, expected in zip(
        module.reconstruct_stream(numbered_recording(), [3, 8]), together, strict=True
    ):
        assert torch.equal(image, expected)
    with pytest.raises(PlaneRangeError, match=r"plane 12 is out of range: .* planes 0\.\.11"):
        module.reconstruct_stream(numbered_recording(), [3, PLANES])


def dark_recording(seed: int, planes: int, size: tuple[int, int]) -> SpikeRecording:
    """Return a recording in which pixels are silent for up to 1,500 planes."""
    generator = np.random.default_rng(seed)
    light = 10 ** generator.uniform(-3.2, -1, size)
    charge = np.cumsum(np.broadcast_to(light, (planes, *size)), axis=0) + generator.random(size)
    spikes = np.diff(np.floor(charge), axis=0, prepend=0) > 0
    return SpikeRecording.from_planes(spikes, rate_scale=0.06)


WITHOUT_IMAGES = {"sci-cifar", "sci-mnist", "ssdm-student"}
METHODS: list[tuple[str, dict[str, int]]] = [
    *((name, {}) for name in shipped_names() if name not in WITHOUT_IMAGES),
    *(("tfi-aligned", {"window": window}) for window in (5, 55)),
    ("tfi-aligned-colour", {"window": 15}),
    ("tfi", {"average": 9}),
    ("tfp", {"window": 400}),
]


@pytest.mark.parametrize(("name", "settings"), METHODS)
def test_an_image_does_not_depend_on_the_other_images_of_the_call(
    name: str, settings: dict[str, int]
) -> None:
    method: Any = load(name)
    method = method.adjusted(**settings) if settings else method
    is_fast = isinstance(method, ClassicalMethod)
    recording = dark_recording(0, *((2500, (8, 8)) if is_fast else (131, (17, 24))))
    recording.cfa = "RGGB" if method.channels == 3 else None
    planes = len(recording)
    centers = [0, 7, 41, planes // 2, planes - 42, planes - 1]
    centers = sorted([*centers, *range(100, 1300, 400)]) if is_fast else [0, 41, planes - 1]
    together = method.reconstruct(recording, centers)
    descending = method.reconstruct(recording, centers[::-1]).flip(0)
    assert torch.equal(together, descending)
    for center, image in zip(centers[:-1], together, strict=False):
        assert torch.equal(method.reconstruct(recording, center)[0], image), center


def test_other_types_than_recordings_and_short_recordings_are_rejected() -> None:
    sources: dict[str, Any] = {
        r"read_recording\('clip.dat'\)": Path("clip.dat"),
        "from_planes": torch.zeros(9, 4, 4),
        "read_recording": None,
    }
    for hint, source in sources.items():
        with pytest.raises(UsageError, match=f"expected a SpikeRecording, got .*{hint}"):
            MeanOfClip().reconstruct(source, [0])
    short = SpikeRecording.from_planes(np.ones((3, 2, 2), np.bool_), rate_scale=1.0)
    with pytest.raises(PlaneRangeError, match="recording with 3 planes"):
        MeanOfClip().reconstruct(short, [0])


@pytest.mark.parametrize("is_training", [False, True])
def test_images_are_made_in_evaluation_mode_and_the_mode_is_restored(is_training: bool) -> None:
    module = MeanOfClip().train(is_training)
    ones = SpikeRecording.from_planes(np.ones((PLANES, 2, 40), np.bool_), rate_scale=1.0)
    assert module.reconstruct(ones, [5]).unique().tolist() == [1.0], "dropout is off"
    assert module.training is is_training
    stream = module.reconstruct_stream(ones, [5, 6])
    next(stream)
    stream.close()  # type: ignore[attr-defined]  # a generator
    assert module.training is is_training, "also after a stream that is closed early"


def test_rate_scale_is_taken_from_the_argument_then_the_recording_then_the_method() -> None:
    module = MeanOfClip()
    module.own_rate_scale = 2.0
    for argument, stated, expected in ((0.5, 0.25, 0.5), (None, 0.25, 0.25), (None, None, 2.0)):
        image = module.reconstruct(numbered_recording(stated), [5], rate_scale=argument)
        assert image.max().item() == pytest.approx(1 / 7 / expected)


def test_an_unknown_rate_scale_is_1_with_one_warning() -> None:
    with pytest.warns(UserWarning, match=r"may be too dark.*--rate-scale R") as caught:
        image = MeanOfClip().reconstruct(numbered_recording(None), [5, 6])
    assert len(caught) == 1
    assert image.max().item() == pytest.approx(1 / 7)


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan, math.inf, "auto"])
def test_impossible_rate_scales_are_rejected(wrong: Any) -> None:
    with pytest.raises(UsageError, match=f"rate_scale is {wrong}, expected .* above 0"):
        MeanOfClip().reconstruct(numbered_recording(), [5], rate_scale=wrong)


@given(planes=st.integers(1, 300), length=st.integers(1, 80))
def test_consecutive_clips_start_half_a_clip_apart_and_are_centred(
    planes: int, length: int
) -> None:
    if planes < length:
        with pytest.raises(PlaneRangeError, match=f"has {planes} planes, one clip takes {length}"):
            consecutive_clips(planes, length)
        return
    centers = consecutive_clips(planes, length)
    stride = max(length // 2, 1)
    assert np.diff(centers).tolist() == [stride] * (len(centers) - 1)
    (before, _), (_, stop) = (
        centred_window(center, length) for center in (centers[0], centers[-1])
    )
    behind = planes - stop
    assert min(before, behind) >= 0
    assert abs(before - behind) <= 1
    assert before + behind < stride, "otherwise one more clip would fit"
