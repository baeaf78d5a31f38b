"""Flow loss of STIR and alignment by the ground-truth flow of simulated data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from spike_zoo.methods.classical.flow import FLOW_SOURCE
from spike_zoo.nn.flow import motion_loss, padded_motion, pooled_motion
from spike_zoo.nn.padding import crop_padding

if TYPE_CHECKING:
    from torch import Tensor

    from spike_zoo.methods.stir.network import STIRPyramid

MotionSchedule: TypeAlias = Literal["constant", "fading"]


def check_motion_options(options: Mapping[str, Any]) -> None:
    """Raise ValueError if an option about motion is out of range or contradicts another option."""
    loss, schedule = options["loss_motion"], options["motion_schedule"]
    if not loss >= 0:
        raise ValueError(f"loss_motion must be 0 or more, got {loss}")
    if schedule not in get_args(MotionSchedule):
        raise ValueError(f"motion_schedule must be constant or fading, got {schedule!r}")
    is_aligned, is_oracle = options["align_input"], options["oracle_flow"]
    if options["interaction"] == "synthesis_only" and (loss or (is_oracle and not is_aligned)):
        option = "loss_motion" if loss else "oracle_flow"
        raise ValueError(f"{option}: interaction synthesis_only has no motion")
    if loss and (is_oracle or is_aligned):
        option = "oracle_flow" if is_oracle else "align_input"
        raise ValueError(f"loss_motion: not with {option}, which replaces the predicted motion")
    if is_aligned and not options["scale_input"]:
        raise ValueError("align_input: requires scale_input: true")


def flow_of(options: Mapping[str, Any]) -> tuple[bool, str]:
    """Return whether the fields of STIR are optical flow, and the name of a shared estimator.

    A network trained only with image losses learns fields that differ strongly from the flow. The
    name is empty if the network predicts the fields, or the flow is the ground truth.
    """
    if options["oracle_flow"]:
        return False, ""
    if options["align_input"]:
        return True, FLOW_SOURCE
    return bool(options["loss_motion"]), ""


def field_loss(pyramid: STIRPyramid, truth: Tensor) -> Tensor:
    """Return the flow loss over all levels, averaged over both directions.

    The flow of a level is the refined flow; at level 1, which has no refinement, the up-sampled
    flow of level 2.

    Args:
        pyramid: Output of the network, with flow.
        truth: ``(B, 2, 2, H, W)``, flow from the middle to the first and the last block.
    """
    count = len(pyramid.levels)
    padded = padded_motion(truth, 2 ** (count - 1)).flatten(0, 1)
    flows = {}
    for number, level in pyramid.levels.items():
        flow = level.upflow if number == 1 else level.flow
        if flow is not None:
            # (B, 4, h, w) is x, y to the first, then x, y to the last block
            flows[2 ** (number - 1)] = flow.float().unflatten(1, (2, 2)).flatten(0, 1)
    return motion_loss(flows, padded)


def oracle_flow_pyramid(truth: Tensor, pyramid_levels: int) -> dict[int, Tensor]:
    """Return ground-truth flow as flows that align the features of every level; unknown flow is 0.

    Args:
        truth: As in :func:`field_loss`.
        pyramid_levels: Number of levels of the network.

    Returns:
        Level -> flow ``(B, 4, h, w)`` in pixels of the level, for all levels but the coarsest.
    """
    padded = padded_motion(truth, 2 ** (pyramid_levels - 1)).flatten(0, 1)
    flows = {}
    for level in range(1, pyramid_levels):
        pooled = pooled_motion(padded, 2 ** (level - 1)).nan_to_num(nan=0.0)
        flows[level] = pooled.unflatten(0, (-1, 2)).flatten(1, 2)  # x, y to the first, to the last
    return flows


def fields_of(pyramid: STIRPyramid, size: tuple[int, int]) -> list[Tensor]:
    """Return the motion fields of level 1, the main field first, ``(B, 2, 2, H, W)`` each.

    Args:
        pyramid: Output of the network; the list is empty if the network predicts no flow.
        size: H and W of the image.
    """
    finest = pyramid.levels[1]
    flows = [flow for flow in (finest.upflow, finest.extra_flow) if flow is not None]
    fields = [field for flow in flows for field in flow.float().split(4, dim=1)]
    return [crop_padding(field, *size).unflatten(1, (2, 2)) for field in fields]
