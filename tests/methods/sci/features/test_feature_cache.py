"""What frozen parts make is asked once, by recording and plane."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from spike_zoo.methods.sci import FEM, SCICodec
from spike_zoo.methods.sci.features.feature_cache import CachedFeatures, TensorCache
from tests.methods.sci.batches import scene_batch


class Counting(SCICodec):
    """Counts the windows that it looks at."""

    windows = 0

    def feature(self, window: torch.Tensor, rate_scale: torch.Tensor | None = None) -> torch.Tensor:
        self.windows += len(window)
        return super().feature(window, rate_scale)


@pytest.fixture
def codec() -> Counting:
    torch.manual_seed(0)
    return Counting(FEM(0.125)).eval()


def test_features_are_those_of_the_windows_around_the_images(codec: Counting) -> None:
    batch = scene_batch(3)
    with torch.no_grad():
        wanted = codec.features(batch["spikes"], batch["rate_scale"])
    torch.testing.assert_close(CachedFeatures(0.0)(codec, batch), wanted)


def test_each_window_is_asked_once_wherever_it_stands(codec: Counting) -> None:
    batch, features = scene_batch(3), CachedFeatures(1.0)
    first = features(codec, batch)
    assert codec.windows == 6
    turned: dict[str, Any] = {
        name: value[::-1] if isinstance(value, list) else value.flip(0)
        for name, value in batch.items()
    }
    again = features(codec, turned)  # type: ignore[arg-type]  # a batch
    assert codec.windows == 6
    torch.testing.assert_close(again.flip(0), first, rtol=1e-3, atol=1e-3)  # half floats
    later = {**batch, "start": batch["start"] + 7}  # two of three windows are known by now
    later["spikes"] = batch["spikes"].roll(-7, dims=1)
    found = features(codec, later)  # type: ignore[arg-type]  # a batch
    assert codec.windows == 8
    torch.testing.assert_close(found[:, :2], first[:, 1:], rtol=1e-3, atol=1e-3)


def test_without_memory_every_window_is_asked_again(codec: Counting) -> None:
    batch, features = scene_batch(2), CachedFeatures(0.0)
    one, other = features(codec, batch), features(codec, batch)
    assert torch.equal(one, other)
    assert codec.windows == 8


def test_a_full_memory_keeps_what_it_has() -> None:
    memory = TensorCache(1000 / 2**30)
    memory.keep("a", torch.ones(400))
    memory.keep("a", torch.ones(400))  # takes no more room
    memory.keep("b", torch.ones(200))  # 400 bytes more
    memory.keep("c", torch.ones(100))
    assert ["a" in memory, "b" in memory, "c" in memory] == [True, False, True]
    assert memory["a"].dtype == torch.float16
    with pytest.raises(ValueError, match="cache_gib must be 0 or more"):
        TensorCache(-0.5)


def test_what_is_kept_is_not_the_batch_it_was_part_of() -> None:
    memory, batch = TensorCache(1.0), torch.ones(100, 4).half()
    memory.keep("a", batch[0])
    assert memory["a"].untyped_storage().nbytes() == 8
