"""Flow loss of STIR and alignment by the ground-truth flow of simulated data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spike_zoo.nn import flow as flow_losses
from spike_zoo.nn.padding import crop_padding

if TYPE_CHECKING:
    from torch import Tensor

    from spike_zoo.methods.stir.network import STIRPyramid


def field_loss(pyramid: STIRPyramid, truth: Tensor) -> Tensor:
    """Return the flow loss over all levels, averaged over both directions.

    The flow of a level is the refined flow; at level 1, which has no refinement, the up-sampled
    flow of level 2.

    Args:
        pyramid: Output of the network, with flow.
        truth: ``(B, 2, 2, H, W)``, flow from the middle to the first and the last block.
    """
    count = len(pyramid.levels)
    padded = flow_losses.padded_motion(truth, 2 ** (count - 1)).flatten(0, 1)
    flows = {}
    for number, level in pyramid.levels.items():
        flow = level.upflow if number == 1 else level.flow
        if flow is not None:
            # (B, 4, h, w) is x, y to the first, then x, y to the last block
            flows[2 ** (number - 1)] = flow.float().unflatten(1, (2, 2)).flatten(0, 1)
    return flow_losses.motion_loss(flows, padded)


def oracle_flow_pyramid(truth: Tensor, pyramid_levels: int) -> dict[int, Tensor]:
    """Return ground-truth flow as flows that align the features of every level; unknown flow is 0.

    Args:
        truth: As in :func:`field_loss`.
        pyramid_levels: Number of levels of the network.

    Returns:
        Level -> flow ``(B, 4, h, w)`` in pixels of the level, for all levels but the coarsest.
    """
    padded = flow_losses.padded_motion(truth, 2 ** (pyramid_levels - 1)).flatten(0, 1)
    flows = {}
    for level in range(1, pyramid_levels):
        pooled = flow_losses.pooled_motion(padded, 2 ** (level - 1)).nan_to_num(nan=0.0)
        flows[level] = pooled.unflatten(0, (-1, 2)).flatten(1, 2)  # x, y to the first, to the last
    return flows


def fields_of(pyramid: STIRPyramid, size: tuple[int, int]) -> list[Tensor]:
    """Return the flow fields of level 1, the main field first, ``(B, 2, 2, H, W)`` each.

    Args:
        pyramid: Output of the network; the list is empty if the network predicts no flow.
        size: H and W of the image.
    """
    finest = pyramid.levels[1]
    flows = [flow for flow in (finest.upflow, finest.extra_flow) if flow is not None]
    fields = [field for flow in flows for field in flow.float().split(4, dim=1)]
    return [crop_padding(field, *size).unflatten(1, (2, 2)) for field in fields]
