"""Frames between two frames: along the optical flow, or blended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch.nn import functional

from spike_zoo.nn.warp import sampling_grid, warp
from spike_zoo.simulation.scenes.textures import GREY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    Images = NDArray[np.float32]
    Interpolator = Callable[[Images, Images, Sequence[float]], Images]


def blended_frames(first: Images, second: Images, fractions: Sequence[float]) -> Images:
    """Return weighted means of two frames; moving edges are doubled.

    Args:
        first: R,G,B ``(3, H, W)`` in [0, 1].
        second: The next frame.
        fractions: Of the way from one to the other, each in [0, 1): 0 is the first frame.

    Returns:
        ``(len(fractions), 3, H, W)`` in [0, 1].
    """
    place = np.array(fractions, np.float32)[:, None, None, None]
    return (1 - place) * first + place * second


def flowed_frames(first: Images, second: Images, fractions: Sequence[float]) -> Images:
    """Return frames as :func:`blended_frames`, in which everything has moved along the flow.

    Both frames are warped to the time between, along flows that both directions of the optical
    flow agree on, and blended; each counts the less there, the less its own two flows agree, as
    happens where something is hidden in the other.

    Source: the flow is TV-L1 (Zach, Pock and Bischof, 2007), the flows at a time between are those
    of Jiang et al., *Super SloMo*, CVPR 2018, Eq. (4).
    """
    if not any(fractions):
        return np.stack([first] * len(fractions))
    images = torch.from_numpy(np.stack([first, second]))
    there, back = _flow(first, second), _flow(second, first)
    trust_first, trust_second = _trust(there, back), _trust(back, there)
    frames = []
    for part in fractions:
        rest = 1.0 - part
        # flows that start at the time between, where no frame is to measure one: motion is even
        to_first = -rest * part * there + part**2 * back
        to_second = rest**2 * there - rest * part * back
        of_first = rest * warp(trust_first, to_first)
        of_second = part * warp(trust_second, to_second)
        seen = of_first * _moved(images[:1], to_first) + of_second * _moved(images[1:], to_second)
        frames.append((seen / (of_first + of_second))[0].clamp(0.0, 1.0).numpy())
    return np.stack(frames)


#: What the command line calls them.
INTERPOLATIONS: Final[Mapping[str, Interpolator]] = {
    "flow": flowed_frames,
    "blend": blended_frames,
}


def _flow(first: Images, second: Images) -> Tensor:
    """Return where each pixel of the first frame is in the second, ``(1, 2, H, W)``, x and y."""
    from skimage.registration import optical_flow_tvl1

    grey = [np.tensordot(np.array(GREY, np.float32), image, 1) for image in (first, second)]
    # fewer iterations than usual: a third of the time, frames as good to 0.1 dB
    down, right = optical_flow_tvl1(*grey, num_warp=3, num_iter=5, dtype=np.float32)
    return torch.from_numpy(np.stack([right, down])[None].astype(np.float32))


def _moved(image: Tensor, flow: Tensor) -> Tensor:
    """Return an image sampled where the flow points; cubic, for linear sampling blurs."""
    return functional.grid_sample(
        image, sampling_grid(flow), mode="bicubic", padding_mode="border", align_corners=True
    )


def _trust(there: Tensor, back: Tensor) -> Tensor:
    """Return how well going there and back leads home, ``(1, 1, H, W)`` in (0, 1]."""
    missed = (there + warp(back, there)).square().sum(1, keepdim=True)
    return 1.0 / (1.0 + missed)
