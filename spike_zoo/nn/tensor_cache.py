"""Cache of outputs of frozen networks for samples that repeat every epoch."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor

GIB = 2**30


class TensorCache:
    """Cache tensors by key, as float16 in main memory, until it is full.

    Tensors are never evicted: with eviction of the oldest one, every sample would be evicted just
    before its next epoch. New values are rounded like cached ones, so that a resumed run computes
    with the same values.

    Args:
        gib: Limit of the memory in GiB, or infinity; tensors beyond it are computed each time. 0
            disables cache and rounding.
        store: Persistent store of all tensors: ``read(key)`` returns a tensor or None,
            ``write(key, tensor)`` stores one.

    Raises:
        ValueError: If the limit is negative or not a number.
    """

    def __init__(self, gib: float, store: Any = None) -> None:  # noqa: ANN401  (the caller's own)
        if not gib >= 0:
            raise ValueError(f"cache_gib must be 0 or more, got {gib}")
        self.is_enabled = gib > 0
        self._free_bytes = gib * GIB
        self._store = store
        self._cached: dict[Hashable, Tensor] = {}

    def __call__(
        self, keys: Sequence[Hashable], compute: Callable[[list[int]], Tensor], device: torch.device
    ) -> Tensor:
        """Return the values of a batch of keys, ``(B, ...)``, float32 on a device.

        ``compute`` returns the values ``(n, ...)`` of the samples with given indices in the batch.
        """
        if not self.is_enabled:
            return compute(list(range(len(keys)))).float()
        values = {key: value for key in keys if (value := self._read(key)) is not None}
        new = [index for index, key in enumerate(keys) if key not in values]
        if new:
            for index, value in zip(new, compute(new).half().cpu(), strict=True):
                values[keys[index]] = value
                self._keep(keys[index], value)
                if self._store is not None:
                    self._store.write(keys[index], value)
        return torch.stack([values[key] for key in keys]).to(device, torch.float32)

    def _read(self, key: Hashable) -> Tensor | None:
        if key in self._cached or self._store is None:
            return self._cached.get(key)
        value = self._store.read(key)
        if value is not None:
            self._keep(key, value)
        return value

    def _keep(self, key: Hashable, value: Tensor) -> None:
        size = value.numel() * value.element_size()
        if key not in self._cached and size <= self._free_bytes:
            self._free_bytes -= size
            self._cached[key] = value.clone()  # a view would keep the whole batch in memory
