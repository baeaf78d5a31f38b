"""Slots of memory: whose they are, what fits, and that none overlaps another."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spike_zoo.data import batches as slots_module
from spike_zoo.data.batches import ALIGNED, Slots, aligned, filled


def test_workers_have_slots_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    slots = Slots(workers=3, each=2, size=100)
    taken = []
    for worker in range(3):
        info = SimpleNamespace(id=worker)
        monkeypatch.setattr(slots_module, "get_worker_info", lambda info=info: info)
        taken += [slots.take(100), slots.take(10)]
        assert slots.take(1) is None
    assert sorted(slot for slot in taken if slot is not None) == list(range(6))
    assert slots.size % ALIGNED == 0


def test_outside_workers_there_is_no_slot_to_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots_module, "get_worker_info", lambda: None)
    assert Slots(workers=2, each=1, size=100).take(1) is None


@pytest.fixture
def in_worker_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots_module, "get_worker_info", lambda: SimpleNamespace(id=0))


@pytest.mark.usefixtures("in_worker_0")
def test_more_bytes_than_a_slot_has_are_not_taken() -> None:
    slots = Slots(workers=1, each=1, size=ALIGNED)
    assert slots.take(ALIGNED + 1) is None
    assert slots.take(ALIGNED) == 0


@pytest.mark.usefixtures("in_worker_0")
def test_a_slot_is_free_again_when_its_last_array_is_gone() -> None:
    slots = Slots(workers=1, each=1, size=100)
    slot = slots.take(100)
    assert slot is not None
    part = filled(slots.key, slot)[10:20]
    assert slots.take(100) is None
    del part
    assert slots.take(100) == slot


@given(each=st.integers(1, 3), workers=st.integers(1, 3), size=st.integers(1, 200))
def test_what_is_written_into_one_slot_is_in_no_other(each: int, workers: int, size: int) -> None:
    slots = Slots(workers, each, size)
    memories = [slots.memory(slot) for slot in range(workers * each)]
    for number, memory in enumerate(memories):
        memory[:] = number + 1
    for number, memory in enumerate(memories):
        assert len(memory) >= size
        assert np.unique(memory).tolist() == [number + 1]
    assert all(memory.ctypes.data % ALIGNED == 0 for memory in memories)


@given(offset=st.integers(0, 10**9))
def test_the_next_aligned_offset_is_the_nearest_that_is_not_before(offset: int) -> None:
    found = aligned(offset)
    assert found % ALIGNED == 0
    assert 0 <= found - offset < ALIGNED
