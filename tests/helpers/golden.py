"""Arrays of reference implementations, from the files of ``tests/golden``."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


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


def assert_near(ours: Tensor, theirs: Tensor, tolerance: float) -> None:
    """Assert that values differ by at most an absolute tolerance."""
    torch.testing.assert_close(ours.detach(), theirs, rtol=0.0, atol=tolerance)


@contextlib.contextmanager
def outputs_of(**layers: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Collect copies of the last outputs of layers."""
    outputs: dict[str, Tensor] = {}

    def collect(name: str) -> Any:
        def hook(layer: nn.Module, arguments: object, output: Tensor) -> None:
            outputs[name] = output.detach().clone()

        return hook

    handles = [layer.register_forward_hook(collect(name)) for name, layer in layers.items()]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
