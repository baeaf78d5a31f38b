"""Collation of batches and their transfer from workers."""

import pickle
from typing import Any

import numpy as np
import pytest
import torch

from spike_zoo.data.batches import collate
from spike_zoo.errors import ConfigError


def sample(seed: int, side: int = 80) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    return {
        "packed": generator.integers(0, 256, (3, side, side), dtype=np.uint8),
        "image": generator.random((1, side, side), dtype=np.float32),
        "none": np.empty((0, 3), np.uint8),
        "scale": np.float32(seed),
        "plane": seed,
        "name": f"r{seed}",
    }


def pickled_copy(batch: object) -> dict[str, Any]:
    arrived: dict[str, Any] = pickle.loads(pickle.dumps(batch))  # like a pipe
    return arrived


def assert_same(arrived: dict[str, Any], samples: list[dict[str, Any]]) -> None:
    assert type(arrived) is dict
    assert arrived["name"] == [each["name"] for each in samples]
    for key in ("packed", "image", "none", "scale", "plane"):
        expected = torch.from_numpy(np.array([each[key] for each in samples]))
        torch.testing.assert_close(arrived[key], expected, rtol=0, atol=0)
        arrived[key] += 1  # the tensor must be writable


def test_a_batch_arrives_unchanged_from_a_worker() -> None:
    samples = [sample(1), sample(2)]
    assert_same(pickled_copy(collate(samples)), samples)


def test_samples_of_different_sizes_are_rejected_by_name() -> None:
    with pytest.raises(ConfigError, match="packed of different sizes"):
        collate([sample(1, side=8), sample(2, side=9)])


@pytest.mark.parametrize("key", ["image", "images", "blur"])
def test_images_of_bytes_and_of_floats_in_one_batch_have_one_scale(key: str) -> None:
    grey = np.float32(128) / np.float32(255)
    mixed = [{key: np.full((1, 80, 80), value)} for value in (np.uint8(128), grey)]
    for samples in (mixed, mixed[::-1]):
        batch = pickled_copy(collate(samples))[key]
        assert batch.dtype == torch.float32
        assert batch.unique().tolist() == [float(grey)]


def test_other_values_of_two_types_cannot_share_a_batch() -> None:
    samples = [{"packed": np.zeros((1, 80, 80), kind)} for kind in (np.uint8, np.float32)]
    with pytest.raises(ConfigError, match=r"packed of the types float32, uint8"):
        collate(samples)
