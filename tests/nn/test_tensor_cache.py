"""Cache of tensors by key within its memory limit."""

import math

import pytest
import torch
from torch import Tensor

from spike_zoo.nn.tensor_cache import TensorCache

CPU = torch.device("cpu")


class CountedFunction:
    """Function under the cache that counts its computations per key."""

    def __init__(self, cache: TensorCache, size: int = 4) -> None:
        self.cache, self.size, self.count = cache, size, 0

    def __call__(self, *keys: int) -> Tensor:
        def compute(indices: list[int]) -> Tensor:
            self.count += len(indices)
            return torch.stack([torch.full((self.size,), keys[index] / 3) for index in indices])

        return self.cache(keys, compute, CPU)


@pytest.mark.parametrize("gib", [1.0, math.inf])
def test_values_are_computed_once_and_returned_in_any_order(gib: float) -> None:
    values = CountedFunction(TensorCache(gib))
    first = values(1, 2, 3)
    assert torch.equal(values(3, 1, 2), first[[2, 0, 1]])
    assert values.count == 3
    assert values(4, 1)[1, 0] == first[0, 0]
    assert values.count == 4
    torch.testing.assert_close(first[:, 0], torch.tensor([1, 2, 3]) / 3, rtol=1e-3, atol=0)


def test_new_values_are_rounded_like_cached_ones() -> None:
    whole, resumed = CountedFunction(TensorCache(1.0)), CountedFunction(TensorCache(1.0))
    whole(1)
    assert torch.equal(whole(1), resumed(1))


def test_without_memory_values_are_exact_and_computed_each_time() -> None:
    values = CountedFunction(TensorCache(0.0))
    for _ in range(2):
        assert torch.equal(values(1, 2)[:, 0], torch.tensor([1.0, 2.0]) / 3)
    assert values.count == 4


def test_a_full_cache_keeps_its_values_and_invalid_limits_are_rejected() -> None:
    values = CountedFunction(TensorCache(1000 / 2**30), size=400)  # 800 bytes each
    for _ in range(2):
        values(1)
        values(2)
    assert values.count == 3
    for gib in (-0.5, math.nan):
        with pytest.raises(ValueError, match="cache_gib must be 0 or more"):
            TensorCache(gib)


def test_a_cached_tensor_does_not_keep_its_batch_in_memory() -> None:
    cache = TensorCache(1.0)
    CountedFunction(cache)(1, 2, 3)
    assert cache._cached[1].untyped_storage().nbytes() == 8
