"""Recordings and methods of commands, and images that several processes share."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from spike_zoo.cli.console import quiet
from spike_zoo.formats import read_recording
from spike_zoo.spikes.rate_scale import RateScale, rate_scale_of, stated_rate_scale
from spike_zoo.utils.executor import run_tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor, nn

    from spike_zoo.cli.options import DatSize
    from spike_zoo.spikes import SpikeRecording

_BLOCK: Final = 32  # images per task

Item = TypeVar("Item")


class RecordingSource(NamedTuple):
    """Location of a recording, which worker processes open.

    Attributes:
        recording: The file.
        name: Name of the recording in an archive; None for other files.
        dat: Options of ``.dat`` files.
        start: First plane.
        stop: Plane after the last; None: the end of the recording.
    """

    recording: str
    name: str | None
    dat: DatSize
    start: int = 0
    stop: int | None = None

    def open(self, **options: Any) -> SpikeRecording:
        """Return the recording."""
        recording = read_recording(self.recording, self.name, **self.dat, **options)
        return recording.between(self.start, self.stop)


def load_method(method: str, device: str, *, trust: bool) -> nn.Module:
    """Load a method. Torch is imported here, after all checks that do not need it."""
    from spike_zoo.checkpoints.loading import load, pick_device

    return load(method, device=pick_device(device), trust=trust)


def chosen_rate_scale(
    recording: SpikeRecording, module: object, option: float | str = "auto"
) -> RateScale:
    """Return the rate scale: of the option, the recording, the method, else an estimate."""
    own = getattr(module, "own_rate_scale", None)
    return rate_scale_of(recording, stated_rate_scale(option), own=own)


def share(
    make: Callable[[Sequence[int]], Sequence[Item]],
    places: Sequence[int],
    size: int | None = None,
    *,
    jobs: int,
    cluster: str | None,
) -> Iterator[Item]:
    """Apply a function to blocks of planes or group numbers in parallel; yield results in order.

    Args:
        make: Function of a block, returns one item per place in order; it is pickled.
        places: All planes or group numbers.
        size: Places per block; by default 32.
        jobs: Processes on this machine.
        cluster: Dask cluster to use instead of processes.
    """
    size = size or _BLOCK
    blocks = [places[first : first + size] for first in range(0, len(places), size)]
    tasks = [partial(_numbered, number, make, block) for number, block in enumerate(blocks)]
    finished: dict[int, Sequence[Item]] = {}
    following = 0
    with contextlib.closing(run_tasks(tasks, jobs=max(jobs, 1), cluster=cluster)) as results:
        for number, items in results:
            finished[number] = items
            while following in finished:
                yield from finished.pop(following)
                following += 1


def _numbered(
    number: int, make: Callable[[Sequence[int]], Sequence[Item]], block: Sequence[int]
) -> tuple[int, Sequence[Item]]:
    return number, make(block)


def images_of(
    prepare: Callable[[], Any], source: RecordingSource, rate_scale: float, centers: Sequence[int]
) -> list[Tensor]:
    """Reconstruct images at some planes; called in a worker process.

    Args:
        prepare: Function that loads the method.
        source: The recording.
        rate_scale: Spikes per plane at white.
        centers: Planes of the images.
    """
    with quiet():
        module = prepare()
        return list(module.reconstruct_stream(source.open(), centers, rate_scale=rate_scale))
