"""The weights ``sci``: windows coded and decoded per second, and the share of the entropy coder."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import spike_zoo
from benchmarks.classical import moving_recording
from benchmarks.row import Row
from benchmarks.sci_memory import coding_bytes
from spike_zoo.coding import BitstreamReader
from spike_zoo.coding.rans import GroupEncoder
from spike_zoo.methods.sci.codec.scale_net import ScaleNet
from spike_zoo.nn.threads import torch_threads

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from spike_zoo.methods.sci.codec.codec import SCICodec
    from spike_zoo.spikes import SpikeRecording

PLANES, HEIGHT, WIDTH = 13 + 7 * 8, 250, 400  # nine windows: two groups of pictures
LENGTHS = 200, 800  # planes
ENCODED_GOAL, IMAGES_GOAL, ENTROPY_GOAL, MEMORY_GOAL = 4.0, 2.0, 0.1, 1.2


def rows() -> list[Row]:
    """Return the speed for a moving scene of 250 x 400, and the share of the entropy coder."""
    codec: SCICodec = spike_zoo.load("sci").codec  # type: ignore[assignment]  # of a module
    with torch_threads(1):
        return _rows(codec, moving_recording(HEIGHT, WIDTH).between(0, PLANES))


def _rows(codec: SCICodec, recording: SpikeRecording) -> list[Row]:
    codec.compress(recording.between(0, 20))  # compiles
    clock = _Clock((ScaleNet, "scale_indexes"), (GroupEncoder, "finish"), (GroupEncoder, "push"))
    with clock:
        seconds, data = _timed(lambda: codec.compress(recording))
    windows = BitstreamReader(data).header.frames
    spent = clock.seconds
    decoding, decoded = _timed(lambda: codec.decompress(data))
    seeing, _ = _timed(lambda: codec.reconstruct(decoded))
    size = f"{HEIGHT}x{WIDTH}, 1 thread"
    name = f"rANS and integer networks of encoding {size}"
    return [
        Row(
            f"windows encoded in the closed loop, {size}",
            windows / seconds,
            "per s",
            goal=ENCODED_GOAL,
            at_least=True,
        ),
        Row(f"windows decoded to features, {size}", windows / decoding, "per s"),
        Row(
            f"images of features, {size}",
            windows / seeing,
            "per s",
            goal=IMAGES_GOAL,
            at_least=True,
        ),
        Row(name, spent, "s", seconds, "all of encoding", ENTROPY_GOAL),
        _memory(),
    ]


def _memory() -> Row:
    """Measure the growth of memory with the number of planes, including the packed spikes."""
    few, many = (coding_bytes(count) / 1e6 for count in LENGTHS)
    name = f"memory that coding {LENGTHS[1]} planes of 128x128 takes"
    return Row(name, many, "MB", few, f"{LENGTHS[0]} planes", MEMORY_GOAL)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


class _Clock:
    """Add up the time inside some methods."""

    def __init__(self, *methods: tuple[type, str]) -> None:
        self.seconds = 0.0
        self._methods = methods
        self._kept: list[Any] = []

    def __enter__(self) -> _Clock:
        for owner, name in self._methods:
            original = getattr(owner, name)
            self._kept.append(original)
            setattr(owner, name, self._wrapped(original))
        return self

    def __exit__(self, *_: object) -> None:
        for (owner, name), original in zip(self._methods, self._kept, strict=True):
            setattr(owner, name, original)

    def _wrapped(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401  (whatever is timed)
            start = time.perf_counter()
            try:
                return original(*arguments, **named)
            finally:
                self.seconds += time.perf_counter() - start

        return call
