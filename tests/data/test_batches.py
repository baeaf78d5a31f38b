"""Collation of batches and their transfer from workers."""

import gc
import os
import pickle
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from spike_zoo.data import batches as slots_module
from spike_zoo.data.batches import Collate, Slots, large_places
from spike_zoo.errors import ConfigError


@pytest.fixture(autouse=True)
def in_worker_1(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = SimpleNamespace(id=1)
    monkeypatch.setattr(slots_module, "get_worker_info", lambda: worker)


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


def size_of(*samples: dict[str, Any]) -> int:
    return large_places({key: [each[key] for each in samples] for key in samples[0]})[1]


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


@pytest.mark.parametrize("has_slots", [True, False])
def test_a_batch_arrives_unchanged_by_shared_memory_and_by_pipe(has_slots: bool) -> None:
    samples = [sample(1), sample(2)]
    slots = Slots(workers=2, each=1, size=size_of(*samples)) if has_slots else None
    assert_same(pickled_copy(Collate(slots)(samples)), samples)


def test_a_slot_is_reused_after_its_batch_is_deleted() -> None:
    slots = Slots(workers=2, each=1, size=size_of(sample(0)))
    collate = Collate(slots)
    first = pickled_copy(collate([sample(1)]))
    second = collate([sample(2)])
    assert second.in_slot is None  # the only slot is in use: sent by pipe
    assert_same(pickled_copy(second), [sample(2)])
    part = first["image"][0, 0, 5]
    del first
    gc.collect()
    assert collate([sample(3)]).in_slot is None  # a view of the batch still exists
    np.testing.assert_array_equal(part.numpy(), sample(1)["image"][0, 5])
    del part
    gc.collect()
    fourth = collate([sample(4)])
    assert fourth.in_slot is not None
    assert_same(pickled_copy(fourth), [sample(4)])


def test_a_slot_is_released_only_by_the_process_that_created_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    collate = Collate(Slots(workers=2, each=1, size=size_of(sample(0))))
    arrived = pickled_copy(collate([sample(1)]))
    monkeypatch.setattr(os, "getpid", lambda: -1)  # like in a forked process
    del arrived
    gc.collect()
    assert collate([sample(2)]).in_slot is None


def test_a_batch_larger_than_a_slot_is_sent_by_pipe() -> None:
    small, large = sample(1, side=80), sample(2, side=81)
    collate = Collate(Slots(workers=2, each=1, size=size_of(small)))
    assert_same(pickled_copy(collate([large])), [large])
    assert collate([small]).in_slot is not None


def test_samples_of_different_sizes_are_rejected_by_name() -> None:
    with pytest.raises(ConfigError, match="packed of different sizes"):
        Collate()([sample(1, side=8), sample(2, side=9)])


@pytest.mark.parametrize("key", ["image", "images", "blur"])
def test_images_of_bytes_and_of_floats_in_one_batch_have_one_scale(key: str) -> None:
    grey = np.float32(128) / np.float32(255)
    mixed = [{key: np.full((1, 80, 80), value)} for value in (np.uint8(128), grey)]
    for samples in (mixed, mixed[::-1]):
        slots = Slots(workers=2, each=1, size=4 * mixed[0][key].size * len(mixed))
        for collate in (Collate(), Collate(slots)):
            batch = pickled_copy(collate(samples))[key]
            assert batch.dtype == torch.float32
            assert batch.unique().tolist() == [float(grey)]


def test_other_values_of_two_types_cannot_share_a_batch() -> None:
    samples = [{"packed": np.zeros((1, 80, 80), kind)} for kind in (np.uint8, np.float32)]
    with pytest.raises(ConfigError, match=r"packed of the types float32, uint8"):
        Collate()(samples)
