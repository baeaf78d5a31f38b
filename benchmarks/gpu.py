"""Networks on a GPU: images and training steps, beside a reference and the limit of the card."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

import spike_zoo
from benchmarks.roofline import shortest_time
from benchmarks.row import Row, alternate
from benchmarks.ssdm import our_step
from benchmarks.stir_calls import forward_pass
from experiments.train_on_gpu import Run, Windows, seconds_per_round
from spike_zoo.nn.fast import convolutions
from spike_zoo.spikes import SpikeRecording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spike_zoo.tasks.protocols import Reconstructs

REPEATS = 10
PUBLISHED = 19.0  # ms for 720x1280, +- 1, read off the figure of STIR's project page; which GPU?
FRAME_GOAL, SMALL_GOAL, PLAIN_GOAL = 0.4, 3.0, 1.5  # of the reference; ms; ms
CORES_GOAL = 1 / 3  # time of the GPU over that of all cores
WINDOWS_GOAL, EXPOSURES_GOAL = 1500, 200  # a second


@dataclass(frozen=True)
class Sizes:
    """Sizes of the measurements.

    Attributes:
        frame: Height and width of a large clip.
        small: Height and width of a small clip, multiples of 16.
        video: Images of a video.
        batch: Crops of a training step.
        side: Side of the crops.
    """

    frame: tuple[int, int] = (720, 1280)
    small: tuple[int, int] = (256, 400)
    video: int = 33
    batch: int = 16
    side: int = 96


def rows() -> list[Row]:
    """Return the measurements on a GPU.

    Raises:
        SystemExit: Without a GPU.
    """
    if not torch.cuda.is_available():
        raise SystemExit("gpu: PyTorch finds no GPU here, and a CPU is not what is measured")
    return measured("cuda", Sizes())


def measured(device: str, sizes: Sizes) -> list[Row]:
    """Return the measurements on a device."""
    return [
        *_forward(device, sizes),
        *_videos(device, sizes),
        *_training(device, sizes),
        *_student(device, sizes),
    ]


def _forward(device: str, sizes: Sizes) -> Iterator[Row]:
    """Yield forward passes of STIR as CUDA graphs, beside the reference without a graph."""
    (height, width), frame = sizes.frame, "x".join(map(str, sizes.frame))
    passes = {
        "float32": (torch.float32, False),
        "bf16": (torch.bfloat16, False),
        "float16": (torch.float16, False),
        "float32, channels padded": (torch.float32, True),
        "float16, channels padded": (torch.float16, True),
    }
    reference = _finished(forward_pass("reference", torch.float32, height, width, device), device)
    for name, (dtype, is_padded) in passes.items():
        with _padded_channels() if is_padded else contextlib.nullcontext():
            call = forward_pass("ours", dtype, height, width, device)
            graph = _finished(as_graph(call, device), device)
            seconds, base = (1e3 * each for each in alternate([graph, reference], REPEATS))
        title = f"STIR forward 1x61x{frame}, {name}, graph"
        limit = _limit(call, dtype)
        yield Row(title, seconds, "ms", base, "reference, eager", FRAME_GOAL, limit=limit)
    call = forward_pass("ours", torch.float32, *sizes.small, device)
    (seconds,) = alternate([_finished(as_graph(call, device), device)], REPEATS)
    title = f"STIR forward 1x61x{sizes.small[0]}x{sizes.small[1]}, float32, graph"
    limit = _limit(call, torch.float32)
    yield Row(title, 1e3 * seconds, "ms", goal=SMALL_GOAL, limit=limit)


@contextlib.contextmanager
def _padded_channels() -> Iterator[None]:
    """Pad the input of convolutions of joined tensors to a multiple of 8 channels."""
    usual = convolutions.spare_channels
    convolutions.spare_channels = lambda conv, x: -conv.in_channels % 8
    try:
        yield
    finally:
        convolutions.spare_channels = usual


def _videos(device: str, sizes: Sizes) -> Iterator[Row]:
    """Yield the times per image of ``reconstruct`` for a video."""
    generator = np.random.default_rng(0)
    count = 151 + sizes.video
    recording = SpikeRecording.from_planes(
        generator.random((count, *sizes.small)) < 0.3, rate_scale=0.6
    )
    centers = range(75, 75 + sizes.video)
    for name, goal in (("stir-aligned", None), ("plain", PLAIN_GOAL)):
        seconds = []
        for place in (device, "cpu"):
            method = cast("Reconstructs", spike_zoo.load(name, device=place))
            method.reconstruct(recording, centers[:4])
            begin = time.perf_counter()
            method.reconstruct(recording, centers)
            seconds.append((time.perf_counter() - begin) / sizes.video)
        ours, cores = (1e3 * each for each in seconds)
        title = f"{name}, an image of a video of {sizes.small[0]}x{sizes.small[1]}"
        yield Row(title, ours, "ms", cores, f"{torch.get_num_threads()} cores", CORES_GOAL)
        if goal is not None:
            yield Row(title, ours, "ms", goal=goal)


def _training(device: str, sizes: Sizes) -> Iterator[Row]:
    """Yield the windows a second of training steps of ``stir-aligned``, of one run and of four."""
    side = 2 * sizes.side
    windows = Windows(
        torch.rand(8, 61, side, side).half().to(device),
        torch.rand(8, 1, side, side).half().to(device),
        torch.randint(256, (8, 1, side, side), dtype=torch.uint8).to(device),
    )
    for count in (1, 4):
        runs = {
            Run("stir-aligned", windows, 200, sizes.batch, sizes.side, seed): 1
            for seed in range(count)
        }
        for run in runs:
            run.prepare()
        seconds_per_round(runs, 1)
        rate = count * sizes.batch / seconds_per_round(runs, REPEATS)
        title = (
            f"stir-aligned, training windows of {sizes.side}x{sizes.side}, runs at once: {count}"
        )
        yield Row(title, rate, "per s", goal=WINDOWS_GOAL, at_least=True)


def _student(device: str, sizes: Sizes) -> Iterator[Row]:
    """Yield the exposures a second of training steps of S-SDM's student."""
    step = our_step(torch.float32, sizes.batch, sizes.side, device)
    limit = _limit(step, torch.float32)
    for name in ("", ", graph"):
        try:
            call = as_graph(step, device) if name else step
        except RuntimeError as error:
            print(f"the step of S-SDM's student cannot be a CUDA graph: {error}")
            return
        (seconds,) = alternate([_finished(call, device)], REPEATS)
        yield Row(
            f"S-SDM student, exposures of a training step of {sizes.batch}{name}",
            sizes.batch / seconds,
            "per s",
            goal=EXPOSURES_GOAL,
            at_least=True,
            limit=None if limit is None else sizes.batch / limit * 1e3,
        )


def as_graph(call: Callable[[], object], device: str) -> Callable[[], object]:
    """Return a call as a CUDA graph; the call itself on other devices."""
    if device != "cuda":
        return call
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        call()
    return graph.replay


def _limit(call: Callable[[], object], dtype: torch.dtype) -> float | None:
    """Return the milliseconds of a call at the peak rates of the card; None if unknown."""
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    seconds = shortest_time(call, dtype, card)
    return None if seconds is None else 1e3 * seconds


def _finished(call: Callable[[], object], device: str) -> Callable[[], None]:
    """Return a call that waits until the device has finished."""

    def run() -> None:
        call()
        if device == "cuda":
            torch.cuda.synchronize()

    return run
