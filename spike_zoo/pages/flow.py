"""Section of a report: optical flow of methods that estimate flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from spike_zoo.errors import SpikeZooError
from spike_zoo.media.flow import flow_image
from spike_zoo.media.output import with_progress
from spike_zoo.media.viewer import Layer, Viewer
from spike_zoo.pages.choices import Choices
from spike_zoo.pages.methods import LabelledMethod
from spike_zoo.pages.scene import ReportScene, most_detailed_point
from spike_zoo.spikes.windows import spread_planes
from spike_zoo.tasks.clips import FLOW_OFFSET, FlowFields

if TYPE_CHECKING:
    from spike_zoo.media.page import Page

MAX_PIXELS: Final = 1 << 20  # of a frame: its flow is computed without tiles
_MOMENTS: Final = 3
_QUANTILE: Final = 0.99  # of the lengths, drawn with full saturation
_MIN_VALUE: Final = 0.1  # smallest length with full saturation, in pixels
_LEGEND: Final = 120  # pixels


def add_flow(
    page: Page,
    scene: ReportScene,
    methods: Sequence[LabelledMethod],
    images: Mapping[str, Mapping[int, Tensor]],
    choices: Choices,
) -> None:
    """Add the optical flow of each method that has images, once per flow estimator.

    ``images``: name of a method -> plane -> image ``(1, H, W)``.
    """
    _, height, width = scene.recording.shape
    added = set()
    for method in methods:
        module, by_plane = method.module, images.get(method.name)
        if not by_plane or not isinstance(module, FlowFields) or not module.estimates_flow:
            continue
        if (source := module.flow_source or method.name) in added:
            continue
        added.add(source)
        page.add_section(
            f"Optical flow: {method.name}",
            f"Displacement of each pixel to the planes {FLOW_OFFSET} before and "
            f"{FLOW_OFFSET} after: the hue is the direction, the saturation is the "
            "distance.",
        )
        if height * width > MAX_PIXELS:
            page.add_warning(
                f"Not shown: frames above {MAX_PIXELS} pixels are reconstructed in tiles"
            )
            continue
        try:
            _add_fields(page, scene, method, by_plane, choices)
        except (SpikeZooError, ValueError) as error:
            page.add_warning(f"Not shown: {error}")


def _add_fields(
    page: Page,
    scene: ReportScene,
    method: LabelledMethod,
    by_plane: Mapping[int, Tensor],
    choices: Choices,
) -> None:
    scale = scene.rate_scale.value
    module = method.module
    assert isinstance(module, FlowFields)
    available = sorted(by_plane)
    indices = spread_planes(0, len(available), min(_MOMENTS, len(available)))
    planes = [available[index] for index in indices]
    steps = with_progress(planes, len(planes), f"{method.name}: flow")
    fields = torch.cat(
        [module.motion(scene.recording, [plane], rate_scale=scale) for plane in steps]
    )
    images = torch.stack([by_plane[plane] for plane in planes])
    add_flow_viewer(
        page,
        f"optical flow in {scene.name}",
        [f"plane {plane}" for plane in planes],
        images,
        {f"{FLOW_OFFSET} planes before": fields[:, 0], f"{FLOW_OFFSET} planes after": fields[:, 1]},
    )


def add_flow_viewer(
    page: Page, label: str, moments: Sequence[str], images: Tensor, fields: dict[str, Tensor]
) -> None:
    """Add a viewer of images and optical flow, with a legend of the colours.

    ``images`` are ``(N, C, H, W)`` in [0, 1] at N moments; ``fields`` are flows ``(N, 2, H, W)`` in
    pixels, (dx, dy), by their names.
    """
    lengths = torch.cat([field.norm(dim=1).flatten() for field in fields.values()])
    largest = max(
        _MIN_VALUE, float(lengths.kthvalue(max(1, round(_QUANTILE * lengths.numel()))).values)
    )
    layers = [Layer.of("image", list(images))]
    layers += [
        Layer.of(name, [flow_image(flow, largest) for flow in field])
        for name, field in fields.items()
    ]
    height, width = images.shape[-2:]
    page.add_viewer(
        Viewer(
            label=label,
            layers=tuple(layers),
            moments=tuple(moments),
            size=(width, height),
            sides=(0, 1),
            focus=most_detailed_point(images[len(images) // 2].numpy()),
            has_differences=False,
            first=len(moments) // 2,
        )
    )
    page.add_legend(_wheel(), f"full colour: {largest:.2g} pixels, white: still")


def _wheel() -> Tensor:
    """Return a disc with the colours of all directions, ``(3, H, W)``."""
    axis = torch.linspace(-1, 1, _LEGEND)
    dy, dx = torch.meshgrid(axis, axis, indexing="ij")
    field = torch.stack([dx, dy])
    return flow_image(torch.where(field.norm(dim=0) <= 1, field, torch.zeros(())), 1.0)
