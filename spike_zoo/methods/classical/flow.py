"""DIS optical flow between rate images of a recording, and warping of planes along the flow."""

import contextlib
import threading
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spike_zoo.errors import ConfigError, UsageError
from spike_zoo.nn.warp import warp
from spike_zoo.tasks.batch import ReconstructionBatch
from spike_zoo.tasks.clips import FLOW_OFFSET

FLOW_SOURCE: Final = "DIS"
"""Name of the flow estimator of :func:`estimate_velocities`."""
_IMAGE_REACH: Final = 5  # planes before and after a plane that its rate image averages
_NEAR: Final = FLOW_OFFSET // 2
_EXPLAINED: Final = 0.75  # of the difference without motion; above, flow is estimated in two steps
_BRIGHTEST: Final = 1.6  # rate relative to white that becomes 255 in the 8-bit images of DIS
_MIN_SIDE: Final = 32  # smallest side in pixels for the coarsest level of DIS
#: Settings of DIS. Patches are matched at half resolution. At full resolution, flow takes three
#: times as long, its error over 20 planes is twice as large in slow scenes (0.20 instead of 0.10
#: pixels), and aligned means gain 0.15 dB in slow scenes and nothing in others.
_SETTINGS: Final = {
    "FinestScale": 1,
    "PatchStride": 3,
    "GradientDescentIterations": 16,
    "VariationalRefinementIterations": 5,
}


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


def estimate_velocities(
    rates: Tensor, middle: int, before: int, after: int, white: float = 1.0
) -> Tensor:
    """Estimate optical flow from a plane to earlier and later planes by DIS.

    Args:
        rates: ``(T, H, W)``, consecutive planes of inverse intervals.
        middle: Index of the plane.
        before: Distance of the earlier plane, limited to 20; 0 gives zeros.
        after: Distance of the later plane, limited to 20; 0 gives zeros.
        white: Rate of a white pixel.

    Returns:
        ``(2, 2, H, W)``: (dx, dy) in pixels per plane, for planes before and planes after.

    Source: Kroeger et al., *Fast Optical Flow using Dense Inverse Search*, ECCV 2016, as in OpenCV.
    """
    return torch.stack([_velocity(rates, middle, reach, white) for reach in (-before, after)])


def displacements_at(planes: Sequence[int], middle: int, velocity: Tensor) -> Tensor:
    """Return the displacement from the middle plane to other planes, ``(N, 2, H, W)`` in pixels.

    ``velocity`` is the result of :func:`estimate_velocities`; planes are indexes.
    """
    before, after = velocity
    away = torch.tensor([float(plane - middle) for plane in planes], device=velocity.device)
    away = away.to(velocity.dtype).view(-1, 1, 1, 1)
    return away * torch.where(away < 0, before, after)


def warp_planes(planes: Tensor, flow: Tensor) -> Tensor:
    """Warp planes ``(..., H, W)`` backward by flows ``(..., 2, H, W)`` in pixels, bilinearly."""
    height, width = planes.shape[-2:]
    images = planes.reshape(-1, 1, height, width)
    return warp(images, flow.reshape(-1, 2, height, width)).view_as(planes)


def warp_velocity(velocity: Tensor, planes: int) -> Tensor:
    """Return velocities for the pixels of another plane, by backward warping.

    ``velocity`` is the result of :func:`estimate_velocities`; ``planes`` is the offset of the other
    plane, negative if it is earlier.
    """
    if planes == 0:
        return velocity
    back = -planes * (velocity[0] if planes < 0 else velocity[1])
    return warp_planes(velocity, back.expand(2, 2, *back.shape))


def _velocity(rates: Tensor, middle: int, reach: int, white: float) -> Tensor:
    """Estimate the flow from the middle plane in one direction, ``(2, H, W)`` in pixels per plane.

    Flow over a long distance may match another object of similar appearance. If the flow does not
    explain the change over 10 planes, the flow over 10 planes is estimated first and refined.
    """
    if reach == 0:
        return rates.new_zeros(2, *rates.shape[1:])
    reach = max(-FLOW_OFFSET, min(reach, FLOW_OFFSET))
    here, there = (_rate_image(rates, plane) / white for plane in (middle, middle + reach))
    velocity = image_flow(here, there) / reach
    if abs(reach) <= _NEAR:
        return velocity
    near = _NEAR if reach > 0 else -_NEAR
    close = _rate_image(rates, middle + near) / white

    def mismatch(estimate: Tensor) -> Tensor:
        return (here - warp_planes(close, near * estimate)).abs().mean()

    if mismatch(velocity) < _EXPLAINED * (here - close).abs().mean():
        return velocity
    first = reach * image_flow(here, close) / near
    second = (first + image_flow(here, warp_planes(there, first))) / reach
    return second if mismatch(second) < mismatch(velocity) / 2 else velocity


def _rate_image(rates: Tensor, plane: int) -> Tensor:
    return rates[max(plane - _IMAGE_REACH, 0) : plane + _IMAGE_REACH + 1].mean(dim=0)


def image_flow(here: Tensor, there: Tensor) -> Tensor:
    """Estimate the flow between two images of a scene, ``(H, W)`` with white 1, by DIS.

    Returns ``(2, H, W)``: (dx, dy) in pixels from each pixel to its position in ``there``; zeros
    for a single row or column.
    """
    if min(here.shape) < 2:
        return here.new_zeros(2, *here.shape)
    import cv2  # loads in a third of a second

    estimator: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    for name, value in _SETTINGS.items():
        getattr(estimator, f"set{name}")(value)
    with _ONE_THREAD:
        flow = estimator.calc(_as_bytes(here), _as_bytes(there), None)
    height, width = here.shape
    return torch.from_numpy(flow[:height, :width].transpose(2, 0, 1).copy()).to(here)


def _as_bytes(image: Tensor) -> NDArray[np.uint8]:
    """Return an image as 8-bit array, padded to the smallest size of DIS."""
    scaled = (image.clamp(0, _BRIGHTEST) * (255 / _BRIGHTEST)).round()
    values = scaled.to(torch.uint8).cpu().numpy()
    missing = [(0, max(_MIN_SIDE - side, 0)) for side in values.shape]
    return np.pad(values, missing, mode="edge")


class _OneThread(contextlib.AbstractContextManager[None]):
    """Limit OpenCV to one thread, because the result depends on the number of threads.

    The limit is global. The last of several callers in parallel removes it.
    """

    def __init__(self) -> None:
        self._lock, self._callers, self._threads = threading.Lock(), 0, 1

    def __enter__(self) -> None:
        import cv2

        with self._lock:
            if not self._callers:
                self._threads = cv2.getNumThreads()
                cv2.setNumThreads(1)
            self._callers += 1

    def __exit__(self, *_: object) -> None:
        import cv2

        with self._lock:
            self._callers -= 1
            if not self._callers:
                cv2.setNumThreads(self._threads)


_ONE_THREAD: Final = _OneThread()
