"""Tests of the cache of the teacher's images."""

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
        self.count = 0

    def forward(self, rates: Tensor) -> Tensor:
        self.count += len(rates)
        return rates


class BrighteningBSN(nn.Module):
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


@pytest.mark.parametrize("cached_exposures", [0, 1, 8])
def test_cached_labels_equal_the_teachers_images(
    cached_exposures: int, bsn: CountingBSN, teacher: SSDMTeacher
) -> None:
    labels = CachedLabels(teacher, cached_exposures * IMAGES_GIB)
    batch = exposures(3)
    blur, spikes = batch["blur"], batch["spikes"]
    expected = teacher(blur, spikes, TIMES, SPAN)
    bsn.count = 0
    for order in ([0, 1, 2], [2, 0, 1]):
        actual = labels(blur[order], spikes[order], TIMES, SPAN)
        assert actual.dtype == torch.float32
        torch.testing.assert_close(actual, expected[:, order], atol=3e-4, rtol=0)
    computed = 6 - min(cached_exposures, 3)
    assert bsn.count == computed * len(TIMES)


@pytest.mark.parametrize(("width", "modes"), [(8, range(8)), (12, SHAPE_KEEPING_MODES)])
def test_the_teacher_runs_once_for_all_rotations_and_flips_of_an_exposure(
    width: int, modes: Sequence[int], bsn: CountingBSN, teacher: SSDMTeacher
) -> None:
    labels = CachedLabels(teacher, 1.0)
    batch = exposure_batch(exposed_take(0, 8, width))
    for mode in modes:
        blur, spikes = apply_mode(batch["blur"], mode), apply_mode(batch["spikes"], mode)
        actual = labels(blur, spikes, TIMES, SPAN)
        computed, bsn.count = bsn.count, 0
        assert computed == (len(TIMES) if mode == 0 else 0)
        torch.testing.assert_close(actual, teacher(blur, spikes, TIMES, SPAN), atol=3e-4, rtol=0)
        bsn.count = 0


def test_a_resumed_run_gets_the_same_labels_as_an_uninterrupted_run() -> None:
    teacher = SSDMTeacher(BrighteningBSN(), nn.Upsample(scale_factor=4, mode="bilinear"))
    whole, resumed = CachedLabels(teacher, 1.0), CachedLabels(teacher, 1.0)
    batch = exposures(2)
    blur, spikes = batch["blur"], batch["spikes"]
    rotated = apply_mode(blur, 5), apply_mode(spikes, 5)
    whole(blur, spikes, TIMES, SPAN)
    later = whole(*rotated, TIMES, SPAN)
    assert torch.equal(resumed(*rotated, TIMES, SPAN), later)
    assert not torch.allclose(teacher(*rotated, TIMES, SPAN), later, atol=3e-2), (
        "the labels depend on the orientation"
    )


def test_exposures_with_equal_spikes_are_distinguished_by_their_blurry_images(
    teacher: SSDMTeacher,
) -> None:
    labels, batch = CachedLabels(teacher, 1.0), exposures(1)
    still = torch.ones_like(batch["spikes"])  # equal in all rotations
    for mode in range(8):
        blur = apply_mode(batch["blur"], mode)
        expected = teacher(blur, still, TIMES, SPAN)
        torch.testing.assert_close(labels(blur, still, TIMES, SPAN), expected, atol=3e-4, rtol=0)


def test_labels_are_cached_per_time(bsn: CountingBSN, teacher: SSDMTeacher) -> None:
    labels, batch = CachedLabels(teacher, 1.0), exposures(1)
    for times in ([20, 68, 116], [30, 68, 106]):
        actual = labels(batch["blur"], batch["spikes"], times, SPAN)
        expected = teacher(batch["blur"], batch["spikes"], times, SPAN)
        torch.testing.assert_close(actual, expected, atol=3e-4, rtol=0)


@pytest.mark.parametrize("memory_gib", [IMAGES_GIB, 1.0])
def test_a_later_run_reads_the_labels_of_the_same_teacher_from_disk(
    memory_gib: float, bsn: CountingBSN, teacher: SSDMTeacher, tmp_path: Path
) -> None:
    batch = exposures(3)
    arguments = batch["blur"], batch["spikes"], TIMES, SPAN
    first = CachedLabels(teacher, memory_gib, tmp_path / "labels")(*arguments)
    bsn.count = 0
    again = CachedLabels(teacher, memory_gib, tmp_path / "labels")
    for _ in range(2):
        assert torch.equal(again(*arguments), first)
    assert bsn.count == 0


@pytest.mark.slow
def test_teachers_with_other_weights_or_options_do_not_share_labels(tmp_path: Path) -> None:
    batch = exposures(1)
    arguments = batch["blur"], batch["spikes"], TIMES, SPAN
    all_images = []
    for weight in (0.5, 1.0):
        scale = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.constant_(scale.weight, weight)
        for window in (3, 9):
            for mode, align_input in (("nearest", False), ("bilinear", False), ("nearest", True)):
                enlarge = nn.Upsample(scale_factor=4, mode=mode)
                teacher = SSDMTeacher(scale, enlarge, window, align_input=align_input)
                images = CachedLabels(teacher, 1.0, tmp_path)(*arguments)
                torch.testing.assert_close(images, teacher(*arguments), atol=3e-4, rtol=0)
                all_images.append(images)
    folders = [*tmp_path.iterdir()]
    assert len(folders) == len(all_images)


def test_a_damaged_label_file_is_rejected_by_name(teacher: SSDMTeacher, tmp_path: Path) -> None:
    batch = exposures(1)
    arguments = batch["blur"], batch["spikes"], TIMES, SPAN
    CachedLabels(teacher, 1.0, tmp_path)(*arguments)
    [file] = tmp_path.rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(WeightsError, match=file.name):
        CachedLabels(teacher, 1.0, tmp_path)(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cache_gib": -1.0}, "cache_gib must be 0 or more"),
        ({"cache_dir": "labels"}, "cache_dir needs cache_gib above 0"),
    ],
)
def test_invalid_cache_options_are_rejected(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SSDMStudentModule(**options)
