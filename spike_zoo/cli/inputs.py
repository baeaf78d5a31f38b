"""Recordings and methods of commands, and work that several processes share."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from spike_zoo.checkpoints.published import split_settings
from spike_zoo.cli.console import note, quiet
from spike_zoo.errors import RecordingError, UsageError
from spike_zoo.formats.recording import read_recording
from spike_zoo.spikes.rate_scale import rate_scale_of, stated_rate_scale
from spike_zoo.tasks.protocols import adjusted
from spike_zoo.utils.executor import run_tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from torch import Tensor

    from spike_zoo.cli.options import DatSize
    from spike_zoo.spikes.recording import SpikeRecording
    from spike_zoo.tasks.protocols import Reconstructs

_BLOCK: Final = 32  # images per task

Item = TypeVar("Item")


class RecordingSource(NamedTuple):
    """Planes ``[start, stop)`` of a recording, which worker processes open."""

    recording: str
    name: str | None
    dat: DatSize
    start: int = 0
    stop: int | None = None
    planes: int | None = None  # expected number

    @property
    def label(self) -> str:
        """File and name of the recording, for messages."""
        return " ".join(filter(None, self[:2]))

    def open(self, **options: Any) -> SpikeRecording:
        """Return the recording."""
        recording = read_recording(self.recording, self.name, **self.dat, **options)
        recording = recording.between(self.start, self.stop)
        if self.planes not in (None, len(recording)):
            raise RecordingError.at(
                self.recording,
                f"has {len(recording)} planes, and had {self.planes} when the command started: it "
                "is still being written, or was replaced. Repeat the command when it is complete",
            )
        return recording

    def unchanged(self, recording: SpikeRecording) -> RecordingSource:
        """Return this source, which then raises RecordingError if the number of planes changes."""
        return self._replace(planes=len(recording))


def load_method(method: str, device: str, *, trust: bool) -> Any:  # noqa: ANN401  (any module)
    """Load a method and apply the settings in its name, as in ``tfi:average=9``.

    Torch is imported here, after all checks that do not need it.
    """
    from spike_zoo.checkpoints.loading import load, pick_device

    name, settings = split_settings(method)
    return adjusted(
        load(name, device=pick_device(device), trust=trust), settings, f"--method {method}"
    )


def chosen_rate_scale(recording: SpikeRecording, module: object, option: float | str) -> float:
    """Return the rate scale of option, recording or method, else an estimate, which is printed."""
    own = getattr(module, "own_rate_scale", None)
    scale = rate_scale_of(recording, stated_rate_scale(option), own=own)
    if scale.is_estimated:
        note(scale.note)
    return scale.value


def check_span(planes: int, start: int | None, stop: int | None) -> None:
    """Raise UsageError if the planes of ``--start`` and ``--stop`` are not in a recording."""
    first, past = start or 0, planes if stop is None else stop
    if not 0 <= first < past <= planes:
        raise UsageError(
            f"planes {first} to {past} (--start, --stop): the recording has planes "
            f"0..{planes - 1}, and --stop is the plane after the last"
        )


def report_lacking(centers: Sequence[int], planes: int, margin: int) -> None:
    """Print on stderr which images lack planes that a method needs on either side."""
    early = [plane for plane in centers if plane < margin]
    late = [plane for plane in centers if plane >= max(planes - margin, margin)]
    lacking = [
        f"planes {part[0]} to {part[-1]}" if len(part) > 1 else f"plane {part[0]}"
        for part in (early, late)
        if part
    ]
    if lacking:
        note(
            f"note: more noise in the image of {' and of '.join(lacking)}: the method uses "
            f"{margin} planes before and after an image, which the recording of {planes} planes "
            "does not have there (--start and --stop select the planes)"
        )


@dataclass(frozen=True)
class SharedWork:
    """A recording whose images or bitstream are made by several processes, or by a cluster."""

    source: RecordingSource
    jobs: int
    cluster: str | None

    @property
    def is_shared(self) -> bool:
        """Whether other processes do the work."""
        return self.jobs > 1 or self.cluster is not None

    def share(
        self,
        make: Callable[[Sequence[int]], Sequence[Item]],
        places: Sequence[int],
        size: int = _BLOCK,
    ) -> Iterator[Item]:
        """Apply a function to blocks of planes or group numbers; yield its items in order."""
        blocks = [places[first : first + size] for first in range(0, len(places), size)]
        tasks = [partial(_numbered, number, make, block) for number, block in enumerate(blocks)]
        finished: dict[int, Sequence[Item]] = {}
        following = 0
        processes = run_tasks(tasks, jobs=max(self.jobs, 1), cluster=self.cluster)
        with contextlib.closing(processes) as results:
            for number, items in results:
                finished[number] = items
                while following in finished:
                    yield from finished.pop(following)
                    following += 1

    def images(
        self,
        prepare: Callable[[], Any],
        recording: SpikeRecording,
        centers: Sequence[int],
        rate_scale: float,
        module: Reconstructs,
    ) -> Iterable[Tensor]:
        """Yield the images of a method, which ``prepare`` loads in other processes."""
        if self.is_shared:
            source = self.source.unchanged(recording)
            return self.share(partial(_images, prepare, source, rate_scale), centers)
        return module.reconstruct_stream(recording, centers, rate_scale=rate_scale)


def _numbered(
    number: int, make: Callable[[Sequence[int]], Sequence[Item]], block: Sequence[int]
) -> tuple[int, Sequence[Item]]:
    return number, make(block)


def _images(
    prepare: Callable[[], Any], source: RecordingSource, rate_scale: float, centers: Sequence[int]
) -> list[Tensor]:
    with quiet():
        module = prepare()
        return list(module.reconstruct_stream(source.open(), centers, rate_scale=rate_scale))
