"""Motion that a method finds on its way to a picture, beside the true motion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import torch

from spike_zoo.errors import ConfigError, UsageError
from spike_zoo.media.flow import flow_picture, longest
from spike_zoo.metrics.flow import end_point_error, still_error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from spike_zoo.batch import ReconstructionBatch

REACH: Final = 20
"""Planes from an image to where its motion leads to, before it and after it."""


class FlowPrediction(NamedTuple):
    """What a method makes of a batch of clips.

    Attributes:
        images: ``(B, 1, H, W)`` in [0, 1].
        fields: Motion fields that were used for it, the main one first, each ``(B, 2, 2, H, W)``:
            from the image to an earlier plane and to a later one, in pixels right and down.
    """

    images: Tensor
    fields: Sequence[Tensor] = ()


def motion_in(batch: ReconstructionBatch, wanted_by: str) -> Tensor:
    """Return the true motion, ``(B, 2, 2, H, W)``, NaN where unknown; ConfigError without any."""
    if "flow" not in batch:
        raise ConfigError(
            f"{wanted_by}: the data serve no true motion; use ReconstructionDataModule with "
            f"flow_offset: {REACH}, and an archive of 'python -m spike_zoo simulate "
            f"--flow_offset {REACH}'"
        )
    return batch["flow"]


def check_alone(*, oracle_flow: bool) -> None:
    """Raise UsageError for spikes alone where a method needs the ground-truth flow."""
    if oracle_flow:
        raise UsageError(
            "oracle_flow: this method needs the ground-truth flow and takes batches with their "
            "motion: fit, validate and test it on data that serve it"
        )


def field_errors(fields: Sequence[Tensor], truth: Tensor) -> dict[str, Tensor]:
    """Return the end-point errors of motion fields and of no motion, means over both directions.

    Args:
        fields: As in :class:`FlowPrediction`, at least one.
        truth: ``(B, 2, 2, H, W)``, NaN where unknown.

    Returns:
        ``epe``, ``epe_still``, and of further fields ``epe_field_2`` and so on, each ``(B,)`` in
        pixels; NaN for an image of which nothing is known.
    """
    errors = {"epe_still": _both_ways(still_error, fields[0], truth)}
    for number, field in enumerate(fields, start=1):
        name = "epe" if number == 1 else f"epe_field_{number}"
        errors[name] = _both_ways(end_point_error, field, truth)
    return errors


def field_pictures(field: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Return the motion ``(2, 2, H, W)`` of one image to the earlier plane, beside the true one."""
    largest = longest(truth[0])
    return {
        f"motion, up to {largest:.1f} px": flow_picture(field[0], largest),
        "true motion": flow_picture(truth[0], largest),
    }


def _both_ways(measure: Callable[[Tensor, Tensor], Tensor], field: Tensor, truth: Tensor) -> Tensor:
    known = [measure(field[:, way], truth[:, way]) for way in range(2)]
    return torch.stack(known).nanmean(dim=0)
