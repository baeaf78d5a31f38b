"""Colour coding of optical flow: hue for direction, saturation for length."""

import torch
from torch import Tensor

UNKNOWN = 0.5  # grey


def longest(flow: Tensor) -> float:
    """Return the largest length of a flow ``(2, H, W)``, ignoring NaN, but at least 1 pixel."""
    return max(1.0, float(flow.nan_to_num().float().norm(dim=0).max()))


def flow_image(flow: Tensor, largest: float | None = None) -> Tensor:
    """Return optical flow in colours: hue is direction, saturation is length, white is no flow.

    Args:
        flow: ``(2, H, W)`` in pixels, (dx, dy); NaN is drawn grey.
        largest: Length of full saturation, in pixels; by default :func:`longest`.

    Returns:
        ``(3, H, W)`` in [0, 1], R,G,B.

    Example:
        >>> right = torch.tensor([1.0, 0.0]).view(2, 1, 1)
        >>> flow_image(right, 1.0).flatten().tolist()
        [1.0, 0.0, 0.0]
    """
    is_finite = torch.isfinite(flow).all(dim=0)
    dx, dy = flow.nan_to_num().float()
    length = (torch.hypot(dx, dy) / (longest(flow) if largest is None else largest)).clamp(max=1.0)
    angle = torch.atan2(dy, dx) / (2 * torch.pi)  # in turns, the hue
    thirds = torch.tensor([0.0, -1 / 3, 1 / 3], device=flow.device).view(3, 1, 1)
    ramp = ((angle + thirds + 0.5).remainder(1.0) - 0.5).abs() * 6  # 0 at the hue of the channel
    pure = (2.0 - ramp).clamp(0.0, 1.0)
    return torch.where(is_finite, 1.0 - length * (1.0 - pure), UNKNOWN)


def flow_images(flow: Tensor, truth: Tensor | None = None) -> dict[str, Tensor]:
    """Return images of a flow ``(2, H, W)`` and, with its colour scale, of the true flow."""
    largest = longest(flow if truth is None else truth)
    images = {f"flow, up to {largest:.1f} px": flow_image(flow, largest)}
    return images if truth is None else {**images, "true flow": flow_image(truth, largest)}
