"""Arrays of reference implementations, from the files of ``tests/golden``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor


class Golden:
    """Arrays of a reference implementation and their metadata.

    Attributes:
        arrays: Name -> array.
        meta: Metadata, such as the shapes of packed arrays.
    """

    def __init__(self, path: Path) -> None:
        with np.load(path) as archive:
            self.arrays: dict[str, NDArray[Any]] = dict(archive)
        self.meta: dict[str, Any] = json.loads(str(self.arrays.pop("meta")))

    def tensor(self, key: str) -> Tensor:
        """Return an array as tensor; uint8 is scaled to [0, 1]."""
        value = torch.from_numpy(self.arrays[key])
        return value.float() / 255 if value.dtype == torch.uint8 else value

    def bits(self, key: str) -> NDArray[np.bool_]:
        """Return packed spikes as planes."""
        shape = self.meta["shape"][key]
        bits = np.unpackbits(self.arrays[key], bitorder="little", count=int(np.prod(shape)))
        return bits.reshape(shape).astype(np.bool_)

    def spikes(self, key: str) -> Tensor:
        """Return packed spikes as float planes."""
        return torch.from_numpy(self.bits(key)).float()

    def number(self, key: str) -> float:
        """Return an array of one element as a number."""
        return float(self.arrays[key])
