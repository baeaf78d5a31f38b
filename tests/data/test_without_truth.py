"""Samples of recordings without images: targets, hidden pixels and errors of held-out spikes."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import spike_zoo
from spike_zoo.data import ReconstructionDataModule, SceneDataModule
from spike_zoo.data.without_truth import MARGIN, hide_pixels
from spike_zoo.errors import ConfigError
from spike_zoo.spikes import Take
from spike_zoo.testing import pattern_take
from tests.helpers.splits import archive_of

SIDE, LENGTH, PLANES = 32, 41, 101
ALIGNED: dict[str, Any] = {"targets": "tfi-aligned", "crop": 32, "batch_size": 2, "seed": 0}


def _uniform_flow(velocity: float) -> Tensor:
    """Return the flow of a scene that moves to the right, in pixels per plane."""
    flow = torch.zeros(2, 2, SIDE, SIDE)
    flow[0, 0], flow[1, 0] = -20 * velocity, 20 * velocity
    return flow


def _take(seed: int, planes: int = PLANES, images: str = "none") -> Take:
    take: Any = pattern_take(seed, planes, stride=10)
    if images == "none":
        return Take(take.recording)
    garbage = np.random.default_rng(seed).integers(0, 256, take.images.shape, np.uint8)
    return replace(take, images=garbage)


def _data(path: Path, *takes: Take, **options: Any) -> ReconstructionDataModule:
    archive = str(archive_of(path, *takes))
    return ReconstructionDataModule(archive, LENGTH, **(ALIGNED | options))


def test_spikes_along_the_flow_replace_those_of_hidden_pixels() -> None:
    planes = LENGTH + 2 * MARGIN
    pattern = torch.rand(SIDE, SIDE + planes) < 0.4
    moving = [pattern[:, planes - plane : planes - plane + SIDE] for plane in range(planes)]
    spikes = torch.stack(moving).byte()
    hidden = hide_pixels(spikes, _uniform_flow(1.0), torch.Generator().manual_seed(0))
    count = hidden.rates.isfinite().sum()
    assert SIDE * SIDE / 16 < count <= SIDE * SIDE / 4
    assert torch.equal(hidden.spikes, spikes[MARGIN:-MARGIN])  # the same point has the same spikes
    wrong = hide_pixels(spikes, _uniform_flow(-1.0), torch.Generator().manual_seed(0))
    assert not torch.equal(wrong.spikes, spikes[MARGIN:-MARGIN])


def test_only_the_rates_depend_on_the_spikes_of_hidden_pixels() -> None:
    generator = torch.Generator().manual_seed(1)
    spikes = (torch.rand(LENGTH + 2 * MARGIN, SIDE, SIDE, generator=generator) < 0.4).byte()
    before = hide_pixels(spikes, _uniform_flow(0.15), torch.Generator().manual_seed(0))
    is_hidden = before.rates.isfinite()
    assert is_hidden.any()
    others = torch.where(is_hidden, 1 - spikes, spikes)
    after = hide_pixels(others, _uniform_flow(0.15), torch.Generator().manual_seed(0))
    assert torch.equal(before.spikes, after.spikes)
    torch.testing.assert_close(after.rates[is_hidden], 1 - before.rates[is_hidden])


def test_pixels_that_do_not_move_are_not_hidden() -> None:
    spikes = torch.ones(LENGTH + 2 * MARGIN, SIDE, SIDE, dtype=torch.uint8)
    hidden = hide_pixels(spikes, _uniform_flow(0.0), torch.Generator().manual_seed(0))
    assert hidden.rates.isnan().all()
    assert torch.equal(hidden.spikes, spikes[MARGIN:-MARGIN])


def test_training_targets_are_images_of_the_named_method(tmp_path: Path) -> None:
    take = _take(0)
    data = _data(tmp_path / "a.h5", take, augment=False, crop=None)
    batch = next(iter(data.train_dataloader()))
    method: Any = spike_zoo.load("tfi-aligned")
    expected = method.reconstruct(take.recording, batch["plane"].tolist())
    torch.testing.assert_close(batch["image"], expected, atol=1 / 255, rtol=0)
    assert len(set(batch["plane"].tolist())) == len(batch["plane"])
    samples = data.make_samples("train")
    sent = pickle.loads(pickle.dumps(samples))  # as to workers that are spawned
    np.testing.assert_array_equal(sent[0]["image"], samples[0]["image"])


def test_images_of_the_archive_do_not_change_training_and_validation(tmp_path: Path) -> None:
    without = _data(tmp_path / "a.h5", _take(0), _take(1))
    garbage = _data(tmp_path / "b.h5", _take(0, images="bad"), _take(1, images="bad"))
    for name in ("train_dataloader", "val_dataloader"):
        pairs = zip(*(list(getattr(data, name)()) for data in (without, garbage)), strict=True)
        for one, other in pairs:
            assert one.keys() == other.keys()
            for key in one.keys() - {"name"}:
                torch.testing.assert_close(one[key], other[key], rtol=0, atol=0, equal_nan=True)


def test_the_test_split_still_has_its_images(tmp_path: Path) -> None:
    data = _data(tmp_path / "a.h5", _take(0, images="bad"))
    batch = next(iter(data.test_dataloader()))
    assert "hidden_spikes" not in batch
    stored = data.archive.image("take0", 2)
    np.testing.assert_allclose(batch["image"][0, 0], stored / 255, atol=1e-6)


def test_recordings_without_a_margin_for_hidden_pixels_are_rejected(tmp_path: Path) -> None:
    data = _data(tmp_path / "a.h5", _take(0, planes=LENGTH + 2 * MARGIN - 1))
    with pytest.raises(ConfigError, match=r"val.*1 recordings with fewer than 73 planes.*'take0'"):
        data.setup("validate")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val_split": "other"}, "no split 'other'; it has train, val, test.*folder val"),
        ({"targets": "tfi"}, "tfi does not reconstruct grey images along optical flow"),
        ({"colour": True}, "targets: not with colour"),
        ({"flow_offset": 20}, "targets: not with flow_offset"),
    ],
)
def test_data_that_cannot_be_used_are_rejected(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        _data(tmp_path / "a.h5", _take(0), **options).setup("fit")


def test_scenes_reject_targets() -> None:
    with pytest.raises(ConfigError, match="targets: scenes need images"):
        SceneDataModule("any.h5", targets="tfi-aligned")
