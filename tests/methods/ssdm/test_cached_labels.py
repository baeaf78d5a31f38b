"""Tests of the cache of the teacher's images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spike_zoo.errors import WeightsError
from spike_zoo.methods.ssdm import SSDMStudentModule, SSDMTeacher
from spike_zoo.methods.ssdm.cached_labels import CachedLabels
from spike_zoo.spikes.turning import SHAPE_KEEPING_MODES, apply_mode
from spike_zoo.testing.exposures import exposed_take, exposure_batch

TIMES, SPAN = [20, 68, 116], (20, 117)
IMAGES_GIB = 2 * len(TIMES) * 3 * 32 * 32 / 2**30  # of one exposure


class CountingBSN(nn.Module):
    """Identity that counts the images of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def forward(self, rates: Tensor) -> Tensor:
        self.seen += len(rates)
        return rates


class LeaningBSN(nn.Module):
    """Layer that brightens images from left to right."""

    def forward(self, rates: Tensor) -> Tensor:
        return rates * torch.linspace(0.5, 1.5, rates.shape[-1])


@pytest.fixture
def bsn() -> CountingBSN:
    return CountingBSN()


@pytest.fixture
def teacher(bsn: CountingBSN) -> SSDMTeacher:
    return SSDMTeacher(bsn, nn.Upsample(scale_factor=4, mode="bilinear"))


def exposures(count: int) -> Any:
    return exposure_batch(*(exposed_take(seed, 8, 8) for seed in range(count)))


@pytest.mark.parametrize("exposures_kept", [0, 1, 8])
def test_what_is_remembered_is_what_the_teacher_makes(
    exposures_kept: int, bsn: CountingBSN, teacher: SSDMTeacher
) -> None:
    labels = CachedLabels(teacher, exposures_kept * IMAGES_GIB)
    batch = exposures(3)
    blur, spikes = batch["blur"], batch["spikes"]
    made = teacher(blur, spikes, TIMES, SPAN)
    bsn.seen = 0
    for order in ([0, 1, 2], [2, 0, 1]):
        found = labels(blur[order], spikes[order], TIMES, SPAN)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, made[:, order], atol=3e-4, rtol=0)
    asked = 6 - min(exposures_kept, 3)
    assert bsn.seen == asked * len(TIMES)


@pytest.mark.parametrize(("width", "modes"), [(8, range(8)), (12, SHAPE_KEEPING_MODES)])
def test_the_teacher_is_asked_once_for_all_turns_of_an_exposure(
    width: int, modes: Sequence[int], bsn: CountingBSN, teacher: SSDMTeacher
) -> None:
    labels = CachedLabels(teacher, 1.0)
    batch = exposure_batch(exposed_take(0, 8, width))
    for mode in modes:
        blur, spikes = apply_mode(batch["blur"], mode), apply_mode(batch["spikes"], mode)
        found = labels(blur, spikes, TIMES, SPAN)
        asked, bsn.seen = bsn.seen, 0
        assert asked == (len(TIMES) if mode == 0 else 0)
        torch.testing.assert_close(found, teacher(blur, spikes, TIMES, SPAN), atol=3e-4, rtol=0)
        bsn.seen = 0


def test_a_run_that_goes_on_learns_from_the_images_it_would_have_remembered() -> None:
    teacher = SSDMTeacher(LeaningBSN(), nn.Upsample(scale_factor=4, mode="bilinear"))
    whole, resumed = CachedLabels(teacher, 1.0), CachedLabels(teacher, 1.0)
    batch = exposures(2)
    blur, spikes = batch["blur"], batch["spikes"]
    turned = apply_mode(blur, 5), apply_mode(spikes, 5)
    whole(blur, spikes, TIMES, SPAN)
    later = whole(*turned, TIMES, SPAN)
    assert torch.equal(resumed(*turned, TIMES, SPAN), later)
    assert not torch.allclose(teacher(*turned, TIMES, SPAN), later, atol=3e-2), "it matters"


def test_what_looks_alike_to_the_spikes_is_told_apart_by_its_blurry_image(
    teacher: SSDMTeacher,
) -> None:
    labels, batch = CachedLabels(teacher, 1.0), exposures(1)
    still = torch.ones_like(batch["spikes"])  # equal in all rotations
    for mode in range(8):
        blur = apply_mode(batch["blur"], mode)
        made = teacher(blur, still, TIMES, SPAN)
        torch.testing.assert_close(labels(blur, still, TIMES, SPAN), made, atol=3e-4, rtol=0)


def test_other_times_are_other_images(bsn: CountingBSN, teacher: SSDMTeacher) -> None:
    labels, batch = CachedLabels(teacher, 1.0), exposures(1)
    for times in ([20, 68, 116], [30, 68, 106]):
        found = labels(batch["blur"], batch["spikes"], times, SPAN)
        made = teacher(batch["blur"], batch["spikes"], times, SPAN)
        torch.testing.assert_close(found, made, atol=3e-4, rtol=0)


@pytest.mark.parametrize("memory_gib", [IMAGES_GIB, 1.0])
def test_the_next_run_by_the_same_teacher_need_not_ask_it(
    memory_gib: float, bsn: CountingBSN, teacher: SSDMTeacher, tmp_path: Path
) -> None:
    batch = exposures(3)
    asked = batch["blur"], batch["spikes"], TIMES, SPAN
    first = CachedLabels(teacher, memory_gib, tmp_path / "labels")(*asked)
    bsn.seen = 0
    again = CachedLabels(teacher, memory_gib, tmp_path / "labels")
    for _ in range(2):
        assert torch.equal(again(*asked), first)
    assert bsn.seen == 0


def test_another_teacher_never_gives_the_images_of_the_first(tmp_path: Path) -> None:
    batch = exposures(1)
    asked = batch["blur"], batch["spikes"], TIMES, SPAN
    found = []
    for weight in (0.5, 1.0):
        scale = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.constant_(scale.weight, weight)
        for window in (3, 9):
            for mode, along in (("nearest", False), ("bilinear", False), ("nearest", True)):
                enlarge = nn.Upsample(scale_factor=4, mode=mode)
                teacher = SSDMTeacher(scale, enlarge, window, align_input=along)
                images = CachedLabels(teacher, 1.0, tmp_path)(*asked)
                torch.testing.assert_close(images, teacher(*asked), atol=3e-4, rtol=0)
                found.append(images)
    folders = [*tmp_path.iterdir()]
    assert len(folders) == len(found)


def test_a_damaged_file_of_images_is_named(teacher: SSDMTeacher, tmp_path: Path) -> None:
    batch = exposures(1)
    asked = batch["blur"], batch["spikes"], TIMES, SPAN
    CachedLabels(teacher, 1.0, tmp_path)(*asked)
    [file] = tmp_path.rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(WeightsError, match=file.name):
        CachedLabels(teacher, 1.0, tmp_path)(*asked)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cache_gib": -1.0}, "cache_gib must be 0 or more"),
        ({"cache_dir": "labels"}, "cache_dir needs cache_gib above 0"),
    ],
)
def test_what_cannot_be_remembered_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SSDMStudentModule(**wrong)
