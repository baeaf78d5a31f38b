"""Fixtures of the published STIR: seeded weights, inputs and reference outputs."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from spike_zoo.methods.stir import STIR
from tests.helpers.golden import Golden


class STIRGolden(Golden):
    """Arrays of the reference implementation, with spikes packed along rows."""

    def spikes(self, key: str, width: int | None = None) -> Tensor:
        packed = self.arrays[f"{key}/spikes_packed"]
        return torch.from_numpy(
            np.unpackbits(packed, axis=-1, bitorder="little")[..., :width].astype(np.float32)
        )


def _recipe(seed: int, index: int, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if name.endswith("num_batches_tracked"):
        return np.array(7, dtype=np.int64)
    generator = np.random.RandomState(seed * 1000 + index)  # a frozen stream
    r = generator.random_sample(math.prod(shape)).reshape(shape)
    return _scaled(name, shape, r, 2.0 * r - 1.0).astype(np.float16)


def _scaled(
    name: str, shape: tuple[int, ...], r: NDArray[np.float64], u: NDArray[np.float64]
) -> NDArray[np.float64]:
    norm, bn = ".norm" in name, ".bn" in name
    rules: list[tuple[bool, Callable[[], NDArray[np.float64]]]] = [
        (name.endswith("running_mean"), lambda: 0.17 * u),
        (name.endswith("running_var"), lambda: 0.3 + 0.9 * r),
        (".temperature" in name, lambda: 1.0 + 7.0 * r),
        (len(shape) == 4 and ".deconv_" in name, lambda: u * math.sqrt(3.9 / (4 * shape[0]))),
        (len(shape) == 4, lambda: u * math.sqrt(4.8 / math.prod(shape[1:]))),
        (name.endswith(".bias"), lambda: (0.17 if norm or bn else 0.08) * u),
        (norm, lambda: 1.0 + 0.35 * u),
        (bn, lambda: 0.7 + 0.6 * r),
        (True, lambda: 0.05 + 0.35 * r),
    ]
    return next(value() for applies, value in rules if applies)


@pytest.fixture(scope="session")
def stir_golden(golden: Path) -> STIRGolden:
    return STIRGolden(golden / "stir_golden.npz")


@pytest.fixture(scope="session")
def official_entries(golden: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads((golden / "stir_state_dict.json").read_text())
    return entries


@pytest.fixture(scope="session")
def official_fp16(
    stir_golden: STIRGolden, official_entries: list[dict[str, Any]]
) -> dict[str, NDArray[Any]]:
    weights = {}
    for index, entry in enumerate(official_entries):
        name, shape = entry["name"], tuple(entry["shape"])
        stored = stir_golden.arrays.get(f"weight_override/{name}")
        seed = stir_golden.meta["seed"]
        weights[name] = stored if stored is not None else _recipe(seed, index, name, shape)
    return weights


@pytest.fixture(scope="session")
def official_weights(official_fp16: dict[str, NDArray[Any]]) -> dict[str, Tensor]:
    return {
        name: torch.from_numpy(value if value.dtype == np.int64 else value.astype(np.float32))
        for name, value in official_fp16.items()
    }


@pytest.fixture(scope="session")
def official_network(official_weights: dict[str, Tensor]) -> STIR:
    """The reference network in evaluation mode; tests that train copy it first."""
    return STIR.from_official(official_weights)
