"""Compilation of kernels with and without a cache folder."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numba
import pytest

from spike_zoo.spikes import compiling


def test_functions_are_compiled_without_a_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_the_first_compilation_is_announced_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sys.stderr", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(compiling._NOTICE, "is_logged", False)
    with caplog.at_level("INFO", logger="spike_zoo"):
        for addend in (1, 2):
            kernel = numba.njit(lambda x, addend=addend: x + addend)
            assert kernel(1) == 1 + addend
    assert caplog.text.count("compiling kernels") == 1
