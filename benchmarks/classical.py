"""TFP and TFI at every plane, compared with numpy code of the same number of passes."""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING

import numpy as np
import psutil
import torch

from benchmarks.row import Row, alternate
from spike_zoo import SpikeRecording
from spike_zoo.methods.classical import (
    AlignedTFI,
    ColourAlignedTFI,
    tfi_stream,
    tfi_video,
    tfp_stream,
    tfp_video,
)
from spike_zoo.simulation import default_scenes, simulate_take

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray
    from torch import Tensor

    from spike_zoo.spikes.cfa import Cfa

PLANES, HEIGHT, WIDTH = 301, 250, 400
COPIES = 10
"""Number of copies of the clip in the long recording."""


def _spikes() -> NDArray[np.bool_]:
    """Return a clip whose pixels fire at rates from 0 to 0.6, a tenth of them almost never."""
    generator = np.random.default_rng(0)
    rate = 0.6 * generator.random((HEIGHT, WIDTH)) ** 2
    rate[: HEIGHT // 10] = 0.002
    return generator.random((PLANES, HEIGHT, WIDTH)) < rate


def prefix_sum(spikes: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Return cumulative sums of spikes, which TFP at every plane needs."""
    return np.cumsum(spikes, axis=0, dtype=np.int16)


def two_pass_scan(spikes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return TFI at every plane by a backward pass for next spikes and a forward pass."""
    out = np.empty(spikes.shape, np.float32)
    following = np.full(spikes.shape[1:], np.inf, np.float32)
    for plane in range(len(spikes) - 1, -1, -1):
        out[plane] = following
        np.copyto(following, np.float32(plane), where=spikes[plane].view(np.bool_))
    last = np.full(spikes.shape[1:], -np.inf, np.float32)
    for plane in range(len(spikes)):
        np.copyto(last, np.float32(plane), where=spikes[plane].view(np.bool_))
        np.reciprocal(out[plane] - last, out=out[plane])
    return out


def peak_memory(call: Callable[[], object]) -> float:
    """Return the peak memory of a call in MB above the memory used before."""
    process, done, peak = psutil.Process(), threading.Event(), 0
    before = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.0005):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    kept = call()
    done.set()
    watcher.join()
    del kept
    return (peak - before) / 1e6


def _run(stream: Callable[[SpikeRecording], Iterable[Tensor]], recording: SpikeRecording) -> None:
    for _ in stream(recording):
        pass


def rows() -> list[Row]:
    """Measure clips in memory and recordings in blocks."""
    planes = _spikes()
    spikes, tensor = planes.view(np.uint8), torch.from_numpy(planes)
    result = planes.size * 4 / 1e6
    size = f"{PLANES}x{HEIGHT}x{WIDTH}"
    results = []
    for name, ours, limit, limit_name, goal in (
        ("TFP 41", lambda: tfp_video(tensor, window=41), prefix_sum, "prefix sum", 1.0),
        ("TFP 301", lambda: tfp_video(tensor, window=301), prefix_sum, "prefix sum", 1.0),
        ("TFI", lambda: tfi_video(tensor), two_pass_scan, "numpy scan", 0.5),
        ("TFI 21", lambda: tfi_video(tensor, average=21), two_pass_scan, "numpy scan", 0.5),
    ):
        seconds, least = alternate([ours, functools.partial(limit, spikes)])
        results.append(Row(f"{name} of every plane, {size}", seconds, "s", least, limit_name, goal))
        most = peak_memory(ours)
        results.append(Row(f"{name}, peak memory", most, "MB", result, "the result", 3.0))
    return results + _streams(planes) + _aligned()


def _aligned() -> list[Row]:
    """Measure ``tfi-aligned`` on one thread: an image, a video, and a large sensor."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        method, recording = AlignedTFI(), moving_recording(250, 400)
        one, video = [PLANES // 2], range(PLANES // 2 - 30, PLANES // 2 + 30)
        (image,) = alternate([lambda: list(method.rates(recording, one))])
        colour = moving_recording(250, 400, cfa="RGGB")
        (in_colour,) = alternate([lambda: ColourAlignedTFI().reconstruct(colour, one)])
        (every,) = alternate([lambda: list(method.rates(recording, video))], repeats=2)
        torch.set_num_threads(2)
        (shared,) = alternate([lambda: list(method.rates(recording, video))], repeats=2)
        torch.set_num_threads(1)
        large = moving_recording(1000, 1000)
        (whole,) = alternate([lambda: list(method.rates(large, one))], repeats=2)
        most = peak_memory(lambda: list(method.rates(large, one)))
    finally:
        torch.set_num_threads(threads)
    return [
        Row("tfi-aligned, one image of 250x400", image, "s", goal=0.15),
        Row("tfi-aligned-colour, one image of 250x400", in_colour, "s"),
        Row("tfi-aligned, video of 250x400, each", every / len(video), "s", goal=0.08),
        Row("tfi-aligned, video, one thread / two", every / shared, "", goal=1.7, at_least=True),
        Row("tfi-aligned, one image of 1000x1000", whole, "s", goal=1.5),
        Row("tfi-aligned, 1000x1000, peak memory", most, "MB", goal=1000),
    ]


def moving_recording(height: int, width: int, cfa: Cfa | None = None) -> SpikeRecording:
    """Return a recording of a scene at medium speed, behind Bayer filters with ``cfa``."""
    _, spec = default_scenes("test", 2, height=height, width=width, planes=PLANES)
    return simulate_take(spec, margin=PLANES // 2 - 5, cfa=cfa).recording


def _streams(planes: NDArray[np.bool_]) -> list[Row]:
    """Measure one image of a long recording, compared with one of a short recording."""
    short = SpikeRecording.from_planes(planes)
    long = SpikeRecording(np.tile(short.packed, (COPIES, 1, 1)), WIDTH)
    results = []
    for name, stream in (("TFP 41", tfp_stream), ("TFI", tfi_stream)):
        whole, part = (functools.partial(_run, stream, clip) for clip in (long, short))
        seconds, least = alternate([whole, part], repeats=3)
        results.append(
            Row(
                f"{name} streamed, {len(long)} planes",
                1e3 * seconds / len(long),
                "ms per plane",
                1e3 * least / len(short),
                f"{len(short)} planes",
                1.5,
            )
        )
        most = peak_memory(whole)
        results.append(Row(f"{name} streamed, peak memory", most, "MB"))
    return results
