"""Optical flow estimated by reconstruction methods: end-point errors and images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor

from spike_zoo.errors import ConfigError, UsageError
from spike_zoo.media.flow import flow_image, longest
from spike_zoo.metrics.flow import end_point_error, still_error
from spike_zoo.tasks.batch import ReconstructionBatch

FLOW_OFFSET: Final = 20
"""Planes between an image and the earlier or later plane that its flow points to."""


def ground_truth_flow(batch: ReconstructionBatch, wanted_by: str) -> Tensor:
    """Return the true flow ``(B, 2, 2, H, W)`` of a batch, NaN where unknown.

    ``wanted_by`` is the option that needs the flow, for the error if the batch has none.
    """
    if "flow" not in batch:
        raise ConfigError(
            f"{wanted_by}: the data have no ground-truth flow; use ReconstructionDataModule with "
            f"flow_offset: {FLOW_OFFSET}, and an archive of 'python -m spike_zoo simulate "
            f"--flow_offset {FLOW_OFFSET}'"
        )
    return batch["flow"]


def oracle_flow_error(option: str) -> UsageError:
    """Return the error of a method that gets spikes without the ground-truth flow it needs."""
    return UsageError(
        f"{option}: this method needs the ground-truth flow, which recordings do not have; "
        "fit, validate and test it on data that serve it"
    )


def field_errors(fields: Sequence[Tensor], truth: Tensor) -> dict[str, Tensor]:
    """Return the end-point errors of flow fields and of zero flow, means over both directions.

    Args:
        fields: At least one, each ``(B, 2, 2, H, W)``: from the image to an earlier and to a later
            plane, (dx, dy) in pixels, right and down.
        truth: ``(B, 2, 2, H, W)``, NaN where unknown.

    Returns:
        ``epe`` of the first field, ``epe_field_2`` and so on of further fields, ``epe_still`` of
        zero flow; each ``(B,)`` in pixels, NaN for an image without known flow.
    """
    errors = {"epe_still": _both_ways(still_error, fields[0], truth)}
    for number, field in enumerate(fields, start=1):
        name = "epe" if number == 1 else f"epe_field_{number}"
        errors[name] = _both_ways(end_point_error, field, truth)
    return errors


def flow_images(flow: Tensor, truth: Tensor | None = None) -> dict[str, Tensor]:
    """Return images of a flow ``(2, H, W)`` and, with its colour scale, of the true flow."""
    largest = longest(flow if truth is None else truth)
    images = {f"flow, up to {largest:.1f} px": flow_image(flow, largest)}
    return images if truth is None else {**images, "true flow": flow_image(truth, largest)}


def _both_ways(measure: Callable[[Tensor, Tensor], Tensor], field: Tensor, truth: Tensor) -> Tensor:
    errors = [measure(field[:, direction], truth[:, direction]) for direction in range(2)]
    return torch.stack(errors).nanmean(dim=0)
