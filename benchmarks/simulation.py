"""Speed of the simulator: spike cameras compared with numpy loops, and scene rendering."""

from __future__ import annotations

import time
import tracemalloc
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.row import Row, alternate
from spike_zoo.simulation import CameraNoise, Scene, SceneSpec, SpikeCamera

if TYPE_CHECKING:
    from numpy.typing import NDArray

PLANES, HEIGHT, WIDTH = 1000, 250, 400
EXACT_GOAL, NOISE_GOAL, MEMORY_GOAL, RENDER_GOAL = 0.3, 5.0, 1.05, 2.0
GAIN, THRESHOLD = np.float32(0.6), np.float32(1.0)
EVERY_TERM = CameraNoise(
    electrons=200.0,
    dark=0.005,
    gain_deviation=0.02,
    threshold_deviation=0.02,
    dark_deviation=0.5,
    reset_deviation=0.02,
    spurious_mean=140.0,
    spurious_deviation=50.0,
    missed=0.01,
)


def numpy_loop(light: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Integrate and fire in place, plane by plane."""
    charge = np.random.default_rng(0).random(light.shape[1:], dtype=np.float32)
    gathered, fired = np.empty_like(charge), np.empty(light.shape, np.bool_)
    for plane, spikes in zip(light, fired, strict=True):
        np.multiply(plane, GAIN, out=gathered)
        charge += gathered
        np.greater_equal(charge, THRESHOLD, out=spikes)
        np.subtract(charge, THRESHOLD, out=charge, where=spikes)
    return fired


def numpy_loop_without_branches(light: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Integrate and fire without branches: subtract the product of spikes and threshold."""
    charge = np.random.default_rng(0).random(light.shape[1:], dtype=np.float32)
    gathered, fired = np.empty_like(charge), np.empty(light.shape, np.bool_)
    for plane, spikes in zip(light, fired, strict=True):
        np.multiply(plane, GAIN, out=gathered)
        charge += gathered
        np.greater_equal(charge, THRESHOLD, out=spikes)
        np.multiply(spikes, THRESHOLD, out=gathered)
        charge -= gathered
    return fired


def read_and_write(light: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Read the light and write one byte per pixel: the limit of memory bandwidth."""
    fired = np.empty(light.shape, np.bool_)
    for plane, spikes in zip(light, fired, strict=True):
        np.greater_equal(plane, THRESHOLD, out=spikes)
    return fired


def _cameras() -> list[Row]:
    """Measure a camera without noise, compared with numpy, and one with every noise term."""
    light = np.random.default_rng(1).random((PLANES, HEIGHT, WIDTH), dtype=np.float32)
    exact, plain, fastest, memory = alternate(
        [
            lambda: SpikeCamera(generator=0).expose(light),
            lambda: numpy_loop(light),
            lambda: numpy_loop_without_branches(light),
            lambda: read_and_write(light),
        ]
    )
    (noisy,) = alternate([lambda: SpikeCamera(generator=0, noise=EVERY_TERM).expose(light)], 3)
    size = f"{HEIGHT}x{WIDTH}x{PLANES}"
    return [
        Row(f"integrate and fire {size}", exact, "s", plain, "in-place numpy", EXACT_GOAL),
        Row("the same, hardest limit", exact, "s", fastest, "numpy without branches"),
        Row("the same, memory", exact, "s", memory, "read all, write one byte"),
        Row("the same with every noise term", noisy, "s", goal=NOISE_GOAL),
    ]


def _streamed_peak(planes: int) -> int:
    """Return the peak memory in bytes while a stream is simulated in parts of 20 planes."""
    camera, generator = SpikeCamera(generator=0, noise=EVERY_TERM), np.random.default_rng(2)
    camera.expose(
        np.zeros((1, HEIGHT, WIDTH), np.float32)
    )  # compiles kernels before the measurement
    tracemalloc.start()
    for _ in range(0, planes, 20):
        camera.expose(generator.random((20, HEIGHT, WIDTH), dtype=np.float32))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def _rendering() -> list[Row]:
    """Measure one 160x160 plane with and without moving objects, on one core."""
    results = []
    for objects in ((), ("leaves", "photo:brick")):
        scene = Scene(SceneSpec(seed=1, background="photo:coffee", objects=objects, speed=1.0))
        scene.luminance(0, 20)
        durations = []
        for first in range(20, 180, 20):
            begin = time.thread_time()
            scene.luminance(first, first + 20)
            durations.append((time.thread_time() - begin) / 20 * 1e3)
        name = f"render a plane 160x160, {len(objects)} objects"
        results.append(Row(name, float(np.median(durations)), "ms", goal=RENDER_GOAL))
    return results


def rows() -> list[Row]:
    """Measure cameras, the memory of a stream, and scenes."""
    long, short = _streamed_peak(400), _streamed_peak(100)
    name = "peak memory of 400 planes streamed"
    memory = Row(name, long / 1e6, "MB", short / 1e6, "of 100 planes", MEMORY_GOAL)
    return [*_cameras(), memory, *_rendering()]
