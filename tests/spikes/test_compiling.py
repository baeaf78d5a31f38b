"""Compilation of kernels with and without a cache folder."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numba
import pytest

from spike_zoo.spikes import compiling


def test_functions_are_compiled_without_a_cache_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def njit(**options: Any) -> Any:
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return numba.njit(**options)

    monkeypatch.setattr(compiling, "numba", SimpleNamespace(njit=njit))

    @compiling.compiled
    def ratio(above: float, below: float) -> float:
        return above / below

    assert ratio(1.0, 4.0) == 0.25
    assert ratio(1.0, 0.0) == float("inf")  # as numpy divides, without an exception
