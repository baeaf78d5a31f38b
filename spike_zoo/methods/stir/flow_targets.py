"""The motion fields of STIR beside the true motion, which simulated data have."""

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
    """Raise ValueError for options about motion out of range or in contradiction."""
    loss, schedule = options["loss_motion"], options["motion_schedule"]
    if not loss >= 0:
        raise ValueError(f"loss_motion must be 0 or more, got {loss}")
    if schedule not in get_args(MotionSchedule):
        raise ValueError(f"motion_schedule must be constant or fading, got {schedule!r}")
    along, is_oracle = options["align_input"], options["oracle_flow"]
    if options["interaction"] == "synthesis_only" and (loss or (is_oracle and not along)):
        named = "loss_motion" if loss else "oracle_flow"
        raise ValueError(f"{named}: interaction synthesis_only has no motion")
    if loss and (is_oracle or along):
        named = "oracle_flow" if is_oracle else "align_input"
        raise ValueError(f"loss_motion: with {named} no motion is learned")
    if along and not options["scale_input"]:
        raise ValueError("align_input: brightness is shown, so scale_input is needed")


def flow_of(options: Mapping[str, Any]) -> tuple[bool, str]:
    """Return whether the fields of STIR are optical flow, and the shared estimator they are from.

    A network that is trained for the image alone learns fields that are far from the flow.
    """
    if options["oracle_flow"]:
        return False, ""
    if options["align_input"]:
        return True, FLOW_SOURCE
    return bool(options["loss_motion"]), ""


def field_loss(pyramid: STIRPyramid, truth: Tensor) -> Tensor:
    """Return the error of the motion at every level, the mean of both sides.

    A level's motion is its refined one; full size refines none, and has that of the level below.

    Args:
        pyramid: What the network found, with motion.
        truth: ``(B, 2, 2, H, W)``, motion from the middle to the first and the last key time.
    """
    count = len(pyramid.levels)
    padded = padded_motion(truth, 2 ** (count - 1)).flatten(0, 1)
    found = {}
    for number, level in pyramid.levels.items():
        flow = level.upflow if number == 1 else level.flow
        if flow is not None:
            # (B, 4, h, w) is x, y to the first, then x, y to the last time
            found[2 ** (number - 1)] = flow.float().unflatten(1, (2, 2)).flatten(0, 1)
    return motion_loss(found, padded)


def known_flows(truth: Tensor, pyramid_levels: int) -> dict[int, Tensor]:
    """Return the true motion as the flows that align every level, 0 where it is unknown.

    Args:
        truth: As in :func:`field_loss`.
        pyramid_levels: How many levels the network has.
    """
    padded = padded_motion(truth, 2 ** (pyramid_levels - 1)).flatten(0, 1)
    flows = {}
    for level in range(1, pyramid_levels):
        pooled = pooled_motion(padded, 2 ** (level - 1)).nan_to_num(nan=0.0)
        flows[level] = pooled.unflatten(0, (-1, 2)).flatten(1, 2)  # x, y to the first, to the last
    return flows


def fields_of(pyramid: STIRPyramid, size: tuple[int, int]) -> list[Tensor]:
    """Return the motion fields that align full size, the main one first, ``(B, 2, 2, H, W)`` each.

    Args:
        pyramid: What the network found; nothing is returned of one without motion.
        size: H and W of the image.
    """
    finest = pyramid.levels[1]
    flows = [flow for flow in (finest.upflow, finest.extra_flow) if flow is not None]
    fields = [one for flow in flows for one in flow.float().split(4, dim=1)]
    return [crop_padding(field, *size).unflatten(1, (2, 2)) for field in fields]
