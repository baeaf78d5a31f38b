"""The optical flow of methods that estimate it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from spike_zoo.errors import SpikeZooError
from spike_zoo.media import Layer, Viewer
from spike_zoo.media.flow import flow_picture
from spike_zoo.media.output import with_progress
from spike_zoo.reports.scene import interesting
from spike_zoo.spikes import spread_planes
from spike_zoo.tasks.protocols import EstimatesFlow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from spike_zoo.media import Page
    from spike_zoo.reports.choices import Choices
    from spike_zoo.reports.methods import LabelledMethod
    from spike_zoo.reports.scene import ReportScene

MOST_PIXELS: Final = 1 << 20  # of a frame, which is computed at once
_MOMENTS: Final = 3
_STRONG: Final = 0.99  # share of the pixels that move less than full colour
_LEAST: Final = 0.1  # pixels of full colour
_LEGEND: Final = 120  # pixels


def add_motion(
    page: Page,
    scene: ReportScene,
    methods: Sequence[LabelledMethod],
    pictures: Mapping[str, Mapping[int, Tensor]],
    choices: Choices,
) -> None:
    """Add the optical flow of each method that estimates it, once for a shared estimator.

    Args:
        page: The page.
        scene: The recording.
        methods: All methods of the page.
        pictures: Name of a method -> plane -> its picture ``(1, H, W)``; a method without any is
            left out.
        choices: What is shown.
    """
    _, height, width = scene.recording.shape
    added = set()
    for method in methods:
        module, images = method.module, pictures.get(method.name)
        if not images or not isinstance(module, EstimatesFlow) or not module.estimates_flow:
            continue
        if (source := module.flow_source or method.name) in added:
            continue
        added.add(source)
        page.add_section(
            f"Optical flow: {method.name}",
            f"Where each pixel was {module.motion_planes} planes before and is "
            f"{module.motion_planes} planes after: the hue is the direction, the saturation is "
            "the distance.",
        )
        if height * width > MOST_PIXELS:
            page.add_warning(
                f"Not shown: frames above {MOST_PIXELS} pixels are reconstructed in tiles"
            )
            continue
        try:
            _add_fields(page, scene, method, images, choices)
        except (SpikeZooError, ValueError) as error:
            page.add_warning(f"Not shown: {error}")


def _add_fields(
    page: Page,
    scene: ReportScene,
    method: LabelledMethod,
    pictures: Mapping[int, Tensor],
    choices: Choices,
) -> None:
    scale = scene.rate_scale(choices).value
    module = method.module
    assert isinstance(module, EstimatesFlow)
    known = sorted(pictures)
    planes = [known[at] for at in spread_planes(0, len(known), min(_MOMENTS, len(known)))]
    steps = with_progress(planes, len(planes), f"{method.name}: flow")
    fields = torch.cat([module.motion(scene.recording, [one], rate_scale=scale) for one in steps])
    images = torch.stack([pictures[plane] for plane in planes])
    add_motion_viewer(
        page,
        f"optical flow in {scene.name}",
        [f"plane {plane}" for plane in planes],
        images,
        {
            f"{module.motion_planes} planes before": fields[:, 0],
            f"{module.motion_planes} planes after": fields[:, 1],
        },
    )


def add_motion_viewer(
    page: Page, label: str, moments: Sequence[str], images: Tensor, fields: dict[str, Tensor]
) -> None:
    """Add motions beside the pictures they move, with the legend of their colours.

    Args:
        page: The page.
        label: What is shown.
        moments: What each moment is called, N of them.
        images: ``(N, C, H, W)`` in [0, 1].
        fields: Name -> ``(N, 2, H, W)`` in pixels, (dx, dy).
    """
    lengths = torch.cat([field.norm(dim=1).flatten() for field in fields.values()])
    largest = max(_LEAST, float(lengths.kthvalue(max(1, round(_STRONG * lengths.numel()))).values))
    layers = [Layer.of("picture", list(images))]
    layers += [
        Layer.of(name, [flow_picture(one, largest) for one in field])
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
            focus=interesting(images[len(images) // 2].numpy()),
            has_differences=False,
            first=len(moments) // 2,
        )
    )
    page.add_legend(_wheel(), f"full colour: {largest:.2g} pixels, white: still")


def _wheel() -> Tensor:
    """Return all directions as a disc on the page's colour."""
    at = torch.linspace(-1, 1, _LEGEND)
    dy, dx = torch.meshgrid(at, at, indexing="ij")
    field = torch.stack([dx, dy])
    return flow_picture(torch.where(field.norm(dim=0) <= 1, field, torch.zeros(())), 1.0)
