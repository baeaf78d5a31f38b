"""Blurry exposures with their spikes, and checks of pairs of image and recording."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from spike_zoo.errors import GeometryError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from spike_zoo.spikes.recording import SpikeRecording
    from spike_zoo.tasks.batch import DeblurBatch


class Exposure(NamedTuple):
    """One blurry image with its spikes and ground truth."""

    blur: Tensor  # (1, 3, H, W) in [0, 1], R,G,B
    spikes: Tensor  # (1, T, h, w), 0 or 1
    images: Tensor  # sharp, (N, 3, H, W) in [0, 1]
    name: str  # of the recording
    planes: list[int]  # of the sharp images, indices into ``spikes``
    span: tuple[int, int]  # first and past-the-last plane of the exposure
    rate_scale: float  # spikes per plane at white

    @property
    def middle(self) -> int:
        """Middle plane of the exposure."""
        start, stop = self.span
        return start + (stop - start) // 2

    @property
    def middle_image(self) -> int:
        """Index of the sharp image nearest to the middle of the exposure."""
        return min(range(len(self.planes)), key=lambda n: abs(self.planes[n] - self.middle))


class ExposureResult(NamedTuple):
    """Output, input and target of the method for one exposure, ``(N, C, H, W)`` in [0, 1]."""

    restored: Tensor
    degraded: Tensor
    truth: Tensor


def exposures(batch: DeblurBatch) -> Iterator[Exposure]:
    """Yield the exposures of a batch one by one."""
    for index in range(len(batch["blur"])):
        start, stop = batch["exposure"][index].tolist()
        yield Exposure(
            blur=batch["blur"][index : index + 1],
            spikes=batch["spikes"][index : index + 1],
            images=batch["images"][index],
            name=batch["name"][index],
            planes=batch["planes"][index].tolist(),
            span=(start, stop),
            rate_scale=float(batch["rate_scale"][index]),
        )


def as_image(blurry: Tensor | NDArray[Any]) -> Tensor:
    """Return a blurry image as float32 ``(3, H, W)`` in [0, 1]."""
    import torch  # imported here, because commands check pairs before they load torch

    image = torch.as_tensor(blurry)
    if image.ndim == 4 and len(image) == 1:
        image = image[0]
    if image.ndim != 3 or image.shape[0] != 3 or not image.numel():
        raise GeometryError(f"a blurry image is R,G,B of shape (3, H, W), got {tuple(image.shape)}")
    if image.dtype == torch.uint8:
        return image.float() / 255
    least, largest = (float(value) for value in image.float().aminmax())
    in_range = least >= -0.01 and largest <= 1.01  # up to rounding; false for NaN
    if not image.is_floating_point() or not in_range:
        raise ValueError(
            "a blurry image is uint8, or float in [0, 1]; got "
            f"{image.dtype} from {least:g} to {largest:g}. Convert it to this range"
        )
    return image.float()


def check_pair(image: Tensor | NDArray[Any], recording: SpikeRecording, ratio: int) -> None:
    """Raise GeometryError if the image's size is not ``ratio`` times that of the recording."""
    _, height, width = recording.shape
    wanted = ratio * height, ratio * width
    if tuple(image.shape[-2:]) != wanted:
        raise GeometryError(
            f"the blurry image is {image.shape[-1]} x {image.shape[-2]} (W x H), the spikes are "
            f"{width} x {height}: the image must be {ratio} times as wide and high, "
            f"{wanted[1]} x {wanted[0]}. Resize or crop it, or pass the recording of its exposure."
        )
