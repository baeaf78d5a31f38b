"""Sections of a report: facts of a recording, and playback of its raw planes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from spike_zoo.media import SpikePlanes

if TYPE_CHECKING:
    from spike_zoo.media import Page
    from spike_zoo.pages.choices import Choices
    from spike_zoo.pages.scene import ReportScene

_LOGGER: Final = logging.getLogger(__name__)


def add_facts(page: Page, scene: ReportScene, choices: Choices) -> None:
    """Add the facts of a recording, and a warning if the rate scale is estimated."""
    recording = scene.recording
    planes, height, width = recording.shape
    scale = scene.rate_scale(choices)
    fps = recording.fps
    page.add_facts(
        [
            ("planes", planes),
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
            f"{scale.value:.3g} is an estimate at which the brightest 0.5 % of the pixels are "
            "white. --rate-scale sets it, in the app the field 'spikes per plane at white'."
        )


def add_spikes(page: Page, scene: ReportScene, choices: Choices) -> None:
    """Add the raw planes around the centre."""
    recording = scene.recording
    planes, height, width = recording.shape
    center = scene.center(choices)
    count = min(choices.planes_that_fit(height, width), planes)
    start = min(max(0, center - count // 2), planes - count)
    scale = scene.rate_scale(choices).value
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
