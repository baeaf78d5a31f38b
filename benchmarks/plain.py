"""``plain`` and the live view on one thread: images per second, latency, and PSNR above TFI."""

from __future__ import annotations

import os
import statistics
import threading
import time

import numpy as np
import psutil
import torch

import spike_zoo
from benchmarks.row import Row, alternate
from spike_zoo.formats.dat import DatLayout
from spike_zoo.methods.plain import interval_rates
from spike_zoo.metrics import psnr
from spike_zoo.nn.threads import torch_threads
from spike_zoo.pages.live import Player
from spike_zoo.pages.live_sources import Pipe
from spike_zoo.simulation import default_scenes, simulate_take
from spike_zoo.spikes import SpikeRecording
from spike_zoo.tasks.protocols import Reconstructs

SIZE, LARGE = (250, 400), (1000, 1000)
RATE_GOAL, FEATURES_GOAL, STIR_GOAL, PSNR_GOAL = 5.0, 0.2, 0.25, 2.0
PLANES_PER_SECOND, SECONDS = 1000, 8.0
DELIVERED = (1000, 10_000, 30_000, 60_000)


def rows() -> list[Row]:
    """Return speed, latency and PSNR, on one thread."""
    with torch_threads(1):
        return [*_memory(), *_speed(), _latency(), *_psnr()]


def _method(name: str) -> Reconstructs:
    module = spike_zoo.load(name)
    assert isinstance(module, Reconstructs)
    return module


def _recording(size: tuple[int, int], planes: int = 161) -> SpikeRecording:
    spikes = np.random.default_rng(0).random((planes, *size)) < 0.3
    return SpikeRecording.from_planes(spikes, rate_scale=0.6)


def _speed() -> list[Row]:
    plain, stir = _method("plain"), _method("stir")
    small, large = _recording(SIZE), _recording(LARGE)
    clip = torch.from_numpy(small.read(40, 121)).view(torch.uint8)[None]
    image, features, small_stir, whole = alternate(
        [
            lambda: plain.reconstruct(small, [80]),
            lambda: interval_rates(clip),
            lambda: stir.reconstruct(small, [80]),
            lambda: plain.reconstruct(large, [80]),
        ]
    )
    name = "plain, one image of 250x400"
    return [
        Row("plain, 250x400", 1 / image, "images/s", goal=RATE_GOAL, at_least=True),
        Row(f"{name}: intervals", features, "s", image, "the whole", FEATURES_GOAL),
        Row(name, image, "s", small_stir, "stir", STIR_GOAL),
        Row("plain, one image of 1000x1000", whole, "s"),
    ]


def _latency() -> Row:
    """Measure the live view of a pipe that delivers 1000 planes a second."""
    reading, writing = os.pipe()
    source = Pipe(os.fdopen(reading, "rb"), "pipe", DatLayout(*SIZE, "byte"))
    player = Player(source, _method("plain"), 0.6, fps=25, follows=True)
    planes = np.random.default_rng(0).integers(0, 256, (100, SIZE[0] * SIZE[1] // 8), np.uint8)

    def deliver() -> None:
        begin = time.monotonic()
        with os.fdopen(writing, "wb", buffering=0) as stream:
            for number in range(int(SECONDS * PLANES_PER_SECOND / 20)):
                stream.write(planes[20 * (number % 5) : 20 * (number % 5 + 1)].tobytes())
                due = begin + (number + 1) * 20 / PLANES_PER_SECOND
                time.sleep(max(0.0, due - time.monotonic()))

    workers = [threading.Thread(target=one) for one in (deliver, player.run)]
    for worker in workers:
        worker.start()
    results, number, until = [], 0, time.monotonic() + SECONDS
    while time.monotonic() < until:
        latest, _ = player.wait(number, 1.0)
        if latest is not None and latest.number > number:
            number = latest.number
            results.append(latest.latency or 0.0)
    player.stop()
    for worker in workers:
        worker.join()
    return Row(
        f"live, plain at {len(results) / SECONDS:.1f} images/s: plane to image",
        statistics.median(results),
        "s",
    )


def _memory() -> list[Row]:
    """Measure the memory of the live view for a growing number of planes from a pipe."""
    reading, writing = os.pipe()
    source = Pipe(os.fdopen(reading, "rb"), "pipe", DatLayout(*SIZE, "byte"))
    player = Player(source, _method("tfi"), 0.6, fps=25, follows=True)
    worker = threading.Thread(target=player.run)
    worker.start()
    planes = np.random.default_rng(0).integers(0, 256, (100, SIZE[0] * SIZE[1] // 8), np.uint8)
    results, written, number = [], 0, 0
    with os.fdopen(writing, "wb", buffering=0) as stream:
        for delivered in DELIVERED:
            while written < delivered:
                stream.write(planes.tobytes())
                written += len(planes)
                latest, _ = player.wait(number, 0.04)
                number = latest.number if latest is not None else number
            while source.span()[1] < delivered:
                time.sleep(0.01)
            rss = psutil.Process().memory_info().rss / 1e6
            results.append(Row(f"live, tfi, memory after {delivered} planes of a pipe", rss, "MB"))
    player.stop()
    worker.join()
    return results


def _psnr() -> list[Row]:
    plain, tfi = _method("plain"), spike_zoo.load("tfi").adjusted(average=9)  # type: ignore[operator]
    results = []
    for spec in default_scenes("test", 3, testing="three"):
        take = simulate_take(spec)
        assert take.images is not None
        assert take.image_index is not None
        truth = torch.from_numpy(take.images)[:, None].float() / 255
        centers = take.image_index.tolist()
        ours, base = (
            float(psnr(method.reconstruct(take.recording, centers), truth).mean())
            for method in (plain, tfi)
        )
        name = f"plain above TFI over 9 planes, {spec.name}"
        results.append(Row(name, ours - base, "dB", goal=PSNR_GOAL, at_least=True))
    return results
