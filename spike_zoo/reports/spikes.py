"""What a recording is, and its raw planes, which the page plays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spike_zoo.media import SpikePlanes

if TYPE_CHECKING:
    from spike_zoo.media import Page
    from spike_zoo.reports.choices import Choices
    from spike_zoo.reports.scene import Scene


def add_facts(page: Page, scene: Scene, choices: Choices) -> None:
    """Add what is known of a recording, and say what was only guessed."""
    recording = scene.recording
    planes, height, width = recording.shape
    scale, is_known = scene.rate_scale(choices)
    fps = recording.fps
    page.add_facts(
        [
            ("planes", planes),
            ("pixels", f"{width} x {height}"),
            ("planes per second", f"{fps:g}" if fps else "unknown"),
            ("duration", f"{1000 * planes / fps:.4g} ms" if fps else "unknown"),
            ("rate scale", f"{scale:.3g}{'' if is_known else ' (guessed)'}"),
            ("true images", len(scene.truths) or "none"),
        ]
    )
    if not is_known:
        page.add_warning(
            f"The recording does not say how many spikes a plane holds at white: {scale:.3g} is "
            "taken, at which the brightest half percent of the pixels is white. --rate-scale R "
            "says it."
        )


def add_spikes(page: Page, scene: Scene, choices: Choices) -> None:
    """Add the raw planes around the centre."""
    recording = scene.recording
    planes, height, width = recording.shape
    center = scene.center(choices)
    shown = min(choices.planes_that_fit(height, width), planes)
    start = min(max(0, center - shown // 2), planes - shown)
    scale, _ = scene.rate_scale(choices)
    page.add_section(
        "Spikes",
        "One plane is one bit per pixel. The more planes are averaged, the less noise there is, "
        "and the more motion blurs.",
    )
    page.add_viewer(
        SpikePlanes.of(
            recording[start : start + shown],
            first=start,
            rate_scale=scale,
            label=f"spikes of {scene.name}",
            caption=f"Planes {start} to {start + shown - 1} of {planes}, computed on this page.",
        )
    )
