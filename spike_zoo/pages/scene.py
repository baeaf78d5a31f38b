"""Recording of a report with its ground truth and exposures: facts, planes, playback."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spike_zoo.archive.layouts.folders import read_archived
from spike_zoo.archive.reader import SpikeArchive
from spike_zoo.errors import GeometryError
from spike_zoo.formats.sidecar import RecordingSettings
from spike_zoo.media.images import as_floats, load_image
from spike_zoo.media.viewer import SpikePlanes
from spike_zoo.pages.choices import Choices
from spike_zoo.spikes.rate_scale import RateScale, rate_scale_of
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.spikes.take import LUMA
from spike_zoo.spikes.windows import check_span, spread_planes

if TYPE_CHECKING:
    from spike_zoo.media.page import Page

_LOGGER: Final = logging.getLogger(__name__)


class ReportExposure(NamedTuple):
    """A blurry image ``(3, H, W)`` in [0, 1], and its first plane and the plane after its last."""

    blur: NDArray[np.float32]
    span: tuple[int, int]


@dataclass(frozen=True)
class ReportScene:
    """A recording with its sharp images ``(C, H, W)`` in [0, 1] by plane, and its exposures.

    ``part`` are the planes to show; by default all planes.
    """

    name: str
    recording: SpikeRecording
    truths: Mapping[int, NDArray[np.float32]] = field(default_factory=dict)
    exposures: Sequence[ReportExposure] = ()
    part: range | None = None

    @property
    def planes(self) -> range:
        """The planes to show."""
        return range(len(self.recording)) if self.part is None else self.part

    @property
    def has_truth(self) -> bool:
        """Whether all sharp images have the shape of reconstructions."""
        sizes = {image.shape for image in self.truths.values()}
        return sizes == {(self.channels, *self.recording.shape[1:])}

    @property
    def channels(self) -> int:
        """Channels of reconstructions: 3 with Bayer filters, else 1."""
        return 1 if self.recording.cfa is None else 3

    def center(self, choices: Choices) -> int:
        """Return the plane of ``choices``, by default with ground truth and near the middle."""
        center = middle(self.planes) if choices.center is None else choices.center
        if choices.center is None and self.has_truth:
            return min(self.truths, key=lambda plane: abs(plane - center))
        return center

    def selected_planes(self, choices: Choices, count: int, margin: int = 30) -> list[int]:
        """Return ``count`` planes to reconstruct, preferably planes with ground truth.

        Others keep ``margin`` planes to the ends of the recording.
        """
        with_truth = sorted(self.truths) if self.has_truth else []
        chosen = {with_truth[index] for index in _spread(0, len(with_truth), count)}
        total = len(self.recording)
        margin = min(margin, (total - 1) // 2)
        inner = range(max(self.planes.start, margin), min(self.planes.stop, total - margin))
        inner = inner or self.planes
        chosen |= set(_spread(inner.start, inner.stop, count - len(chosen)))
        center = self.center(choices)
        if center not in chosen and (choices.center is not None or count == 1):
            chosen.remove(min(chosen, key=lambda plane: abs(plane - center)))
            chosen.add(center)
        return sorted(chosen)

    @cached_property
    def rate_scale(self) -> RateScale:
        """Spikes per plane at white, stated or estimated."""
        return rate_scale_of(self.recording)


def scene_of_file(name: str, recording: SpikeRecording, choices: Choices) -> ReportScene:
    """Return the scene of a recording file, with the ground truth of ``--truth``.

    Raises:
        UsageError: If the planes of ``--start`` and ``--stop`` are empty or out of range.
    """
    check_span(name, len(recording), choices.start, choices.stop)
    part = range(choices.start, len(recording) if choices.stop is None else choices.stop)
    if choices.truth is None:
        return ReportScene(name, recording, part=part)
    image = load_image(choices.truth)
    if len(image) == 3 and recording.cfa is None:
        image = np.tensordot(LUMA, image, 1)[None]
    if image.shape[1:] != recording.shape[1:]:
        raise GeometryError.at(
            choices.truth,
            f"an image of {image.shape[2]} x {image.shape[1]} (W x H), "
            f"the planes are {recording.shape[2]} x {recording.shape[1]}; --truth needs this size",
        )
    center = middle(part) if choices.center is None else choices.center
    return ReportScene(name, recording, {center: image}, part=part)


def middle(planes: range) -> int:
    """Return the middle plane of a range."""
    return (planes.start + planes.stop) // 2


def scene_of_archive(archive: SpikeArchive, name: str, settings: RecordingSettings) -> ReportScene:
    """Return the scene of a recording in an archive, with the stated settings."""
    take = read_archived(archive, name, settings)
    truths, exposures = {}, []
    if take.images is not None and take.image_index is not None:
        pairs = zip(take.image_index.tolist(), take.images, strict=True)
        truths = {plane: as_floats(image) for plane, image in pairs}
    if take.blur is not None and take.blur_span is not None:
        for blur, (start, stop) in zip(take.blur, take.blur_span.tolist(), strict=True):
            image = as_floats(blur)
            coloured = image if len(image) == 3 else image.repeat(3, axis=0)
            exposures.append(ReportExposure(coloured, (start, stop)))
    return ReportScene(name, take.recording, truths, exposures)


def recordings_to_show(archive: SpikeArchive, choices: Choices, split: str = "test") -> list[str]:
    """Return the names of the recordings to show, by default recordings of a split."""
    if choices.name:
        return list(choices.name)
    names = archive.names(split) if split in archive.splits() else archive.names()
    return [names[index] for index in _spread(0, len(names), choices.scenes)]


def most_detailed_point(image: NDArray[Any]) -> tuple[float, float]:
    """Return the position with the most detail in ``(C, H, W)``, as fractions of width and height.

    The detail of a block is the standard deviation of its grey values.
    """
    grey = np.asarray(image, np.float32).mean(axis=0)
    blocks = 9
    rows, columns = (np.array_split(np.arange(side), blocks) for side in grey.shape)
    if min(grey.shape) < 2 * blocks:
        return 0.5, 0.5
    spread = np.array([[grey[np.ix_(r, c)].std() for c in columns] for r in rows])
    inner = spread[1:-1, 1:-1]
    row, column = np.unravel_index(int(inner.argmax()), inner.shape)
    return (float(column) + 1.5) / blocks, (float(row) + 1.5) / blocks


def add_facts(page: Page, scene: ReportScene) -> None:
    """Add the facts of a recording, and a warning if the rate scale is estimated."""
    recording = scene.recording
    total, height, width = recording.shape
    first, planes = scene.planes.start, len(scene.planes)
    scale = scene.rate_scale
    fps = recording.fps
    counted = f"{first} to {scene.planes[-1]} of {total}" if planes < total else total
    page.add_facts(
        [
            ("planes", counted),
            ("pixels", f"{width} x {height}"),
            ("planes per second", f"{fps:g}" if fps else "unknown"),
            ("duration", f"{1000 * planes / fps:.4g} ms" if fps else "unknown"),
            ("rate scale", f"{scale.value:.3g}{' (estimated)' if scale.is_estimated else ''}"),
            ("true images", len(scene.truths) or "none"),
        ]
    )
    if scale.is_estimated:
        _LOGGER.info(scale.note)
        page.add_warning(
            "The recording does not state its rate scale, the spikes per plane at white: "
            f"{scale.value:.3g} is an estimate at which almost no pixel is clipped. "
            "--rate-scale sets it."
        )


def add_spikes(page: Page, scene: ReportScene, choices: Choices) -> None:
    """Add the raw planes around the centre."""
    recording = scene.recording
    planes, height, width = recording.shape
    center = scene.center(choices)
    count = min(choices.planes_that_fit(height, width), planes)
    start = min(max(0, center - count // 2), planes - count)
    scale = scene.rate_scale.value
    page.add_section(
        "Spikes",
        "One plane is one bit per pixel. Averaging more planes reduces noise and increases motion "
        "blur.",
    )
    page.add_viewer(
        SpikePlanes.of(
            recording[start : start + count],
            first=start,
            rate_scale=scale,
            label=f"spikes of {scene.name}",
            caption=f"Planes {start} to {start + count - 1} of {planes}, averaged in the browser.",
        )
    )


def _spread(start: int, stop: int, count: int) -> list[int]:
    """Return at most ``count`` evenly spaced planes of a range."""
    fitting = min(count, stop - start)
    return spread_planes(start, stop, fitting) if fitting > 0 else []
