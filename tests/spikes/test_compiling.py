"""Compilation of kernels with and without a cache folder."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numba
import pytest

from spike_zoo.spikes import compiling
from tests.helpers.processes import run_python

#: Compute images of recordings, and print the modules of the functions that numba compiles.
COMPILE = """
import torch
from numba.core import event
from spike_zoo.checkpoints.loading import load
from spike_zoo.methods.classical import tfi_video
class Modules(event.Listener):
    def on_start(self, event):
        print(event.data["dispatcher"].py_func.__module__)
    def on_end(self, event):
        pass
event.register("numba:compile", Modules())
clip = (torch.arange(90 * 64 * 64) % 7 == 0).byte().view(90, 64, 64)
load('tfi-aligned').rate(clip[None], 45)
tfi_video(clip, average=3)
"""


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


@pytest.mark.slow
def test_kernels_of_the_first_images_compile_no_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))  # empty, as in a new installation
    monkeypatch.setenv("NUMBA_OPT", "0")  # the modules are the same, in less time
    process = run_python(COMPILE)
    assert process.returncode == 0, process.stderr
    modules = set(process.stdout.split())
    ours = {f"spike_zoo.methods.classical.{name}" for name in ("kernels", "alignment_kernels")}
    assert ours <= modules
    assert not [name for name in modules if "unicode" in name]  # seconds of messages of errors


def test_unpacking_a_few_planes_does_not_load_numba() -> None:
    process = run_python(
        "import sys, numpy as np; from spike_zoo.spikes.packing import unpack_bits;"
        "unpack_bits(np.zeros((40, 250, 50), np.uint8), 400); print('numba' in sys.modules)"
    )
    assert process.stdout.strip() == "False", process.stderr
