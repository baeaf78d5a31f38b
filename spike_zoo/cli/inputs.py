"""Recordings and methods of commands, and work that several processes share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from spike_zoo.cli.console import note, quiet
from spike_zoo.errors import RecordingError
from spike_zoo.formats.recording import RecordingSource
from spike_zoo.formats.sidecar import RecordingSettings
from spike_zoo.spikes.rate_scale import rate_scale_of, user_rate_scale
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.tasks.protocols import Reconstructs, load_adjusted
from spike_zoo.utils.executor import run_tasks

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK: Final = 32  # images per task

Item = TypeVar("Item")


def recording_source(
    recording: str,
    name: str | None,
    dat: Mapping[str, Any],
    rate_scale: float | str = "auto",
    span: tuple[int, int | None] = (0, None),
) -> RecordingSource:
    """Return the recording that the options of a command state."""
    user_settings = RecordingSettings(rate_scale=user_rate_scale(rate_scale), **dat)
    return RecordingSource(recording, name, user_settings, *span)


def load_method(method: str, device: str, *, trust: bool) -> Any:  # noqa: ANN401  (any module)
    """Load the method of ``--method``, with the settings in its name, see ``load_adjusted``."""
    return load_adjusted(method, "--method", device=device, trust=trust)


def chosen_rate_scale(recording: SpikeRecording, module: object) -> float:
    """Return the rate scale of recording or method, else an estimate, which is printed."""
    scale = rate_scale_of(recording, own=getattr(module, "own_rate_scale", None))
    if scale.is_estimated:
        note(scale.note)
    return scale.value


@contextlib.contextmanager
def named_errors(recording: str) -> Iterator[None]:
    """Add the name of a recording to errors about its content that name no file."""
    try:
        yield
    except RecordingError as error:
        if error.path is not None:
            raise
        raise type(error).at(recording, error.message) from error


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
        indices: Sequence[int],
        size: int = _BLOCK,
    ) -> Iterator[Item]:
        """Apply a function to blocks of planes or group numbers; yield its items in order."""
        blocks = [indices[first : first + size] for first in range(0, len(indices), size)]
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
