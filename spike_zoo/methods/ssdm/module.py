"""Use of S-SDM's student: sharp sequences of a blurry image and its recording, R,G,B outside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spike_zoo.errors import GeometryError, PlaneRangeError
from spike_zoo.methods.base import RebuildableModule
from spike_zoo.methods.ssdm.colour import ChannelOrder, check_channel_order, reordered
from spike_zoo.methods.ssdm.ldn import LDN, RATIO, WINDOW_LENGTH
from spike_zoo.methods.ssdm.memory import images_at_once
from spike_zoo.nn.official import WeightsSource
from spike_zoo.spikes import centred_window, unpack_tensor
from spike_zoo.spikes.windows import check_centers

if TYPE_CHECKING:
    from spike_zoo.spikes import SpikeRecording

WORK_PER_PIXEL = 150  # bytes of features for one image pixel, measured


class SSDMStudentModule(RebuildableModule):
    """Deblur with :class:`LDN`; images are R,G,B in [0, 1] outside whatever the weights want.

    Args:
        window_length: Planes of spikes around each time.
        channel_order: What the weights were trained on: ``"bgr"`` for the published ones.

    Raises:
        ValueError: If an argument is outside its range.

    Attributes:
        ratio: Pixels of an image along one of the spikes'.

    Source: Chen et al., *SpikeReveal: Unlocking Temporal Sequences from Real Blurry Inputs with
    Spike Streams*, NeurIPS 2024.
    """

    ratio = RATIO

    def __init__(
        self, window_length: int = WINDOW_LENGTH, channel_order: ChannelOrder = "rgb"
    ) -> None:
        super().__init__()
        check_channel_order(channel_order)
        self.save_hyperparameters()
        self.channel_order = channel_order
        self.network = LDN(window_length)

    @classmethod
    def from_official(cls, source: WeightsSource, channel_order: ChannelOrder = "bgr") -> Self:
        """Return the module with published weights, in evaluation mode.

        Args:
            source: See :meth:`LDN.from_official`.
            channel_order: What the weights were trained on.

        Raises:
            WeightsError: If names or shapes differ; the message names the first of each kind.
            MissingFileError: If there is no such file.
        """
        network = LDN.from_official(source)
        module = cls(network.window_length, channel_order)
        module.network = network
        return module.eval()

    def forward(self, blur: Tensor, window: Tensor) -> Tensor:
        """Deblur at the middle of a window.

        Args:
            blur: ``(B, 3, 4h, 4w)``, R,G,B in [0, 1].
            window: ``(B, window_length, h, w)``, float, 0 or 1.

        Returns:
            ``(B, 3, 4h, 4w)``, R,G,B in [0, 1].
        """
        image = self.network(reordered(blur, self.channel_order), window)
        return reordered(image, self.channel_order).clamp(0.0, 1.0)

    def deblur(
        self,
        blurry: Tensor | NDArray[Any],
        recording: SpikeRecording,
        centers: Sequence[int],
        *,
        memory_gib: float | None = None,
    ) -> Tensor:
        """Return the sharp images at some planes of a recording.

        Args:
            blurry: ``(3, 4h, 4w)``, R,G,B, float in [0, 1] or uint8.
            recording: The spikes, ``(T, h, w)``.
            centers: Planes inside the exposure.
            memory_gib: About how much memory features may take; one image always goes. What suits
                the device where not given.

        Returns:
            float32 ``(len(centers), 3, 4h, 4w)``, R,G,B in [0, 1], on the CPU.

        Raises:
            GeometryError: If the image is not 4 times as wide and high as the spikes.
            PlaneRangeError: If a window around a plane leaves the recording.
        """
        images = self.deblur_stream(blurry, recording, centers, memory_gib=memory_gib)
        result = torch.empty(len(centers), *tuple(blurry.shape)[-3:])
        for index, image in enumerate(images):
            result[index] = image
        return result

    def deblur_stream(
        self,
        blurry: Tensor | NDArray[Any],
        recording: SpikeRecording,
        centers: Sequence[int],
        *,
        memory_gib: float | None = None,
    ) -> Iterator[Tensor]:
        """Yield the images of :meth:`deblur` one by one, ``(3, 4h, 4w)``, in constant memory."""
        image = as_image(blurry)
        check_pair(image, recording)
        check_windows(centers, self.network.window_length, len(recording))
        work = WORK_PER_PIXEL * image.shape[-2] * image.shape[-1]
        count = images_at_once(work, memory_gib, self.device)
        return self._stream(image, recording, centers, count)

    def _stream(
        self, image: Tensor, recording: SpikeRecording, centers: Sequence[int], count: int
    ) -> Iterator[Tensor]:
        was_training = self.training
        self.eval()
        try:
            with torch.inference_mode():
                blur = reordered(image[None].to(self.device), self.channel_order)
                encoded = self.network.encode_blur(blur)
            for first in range(0, len(centers), count):
                windows = self._windows(recording, centers[first : first + count])
                with torch.inference_mode():
                    decoded = self.network.decode(encoded, windows)[:, 0].float()
                    images = reordered(decoded, self.channel_order).clamp(0.0, 1.0).cpu()
                yield from images
        finally:
            self.train(was_training)

    def _windows(self, recording: SpikeRecording, centers: Sequence[int]) -> Tensor:
        """Return windows around some planes, ``(N, 1, window_length, h, w)``, on the device."""
        spans = [centred_window(center, self.network.window_length) for center in centers]
        packed = torch.from_numpy(np.stack([recording.read_packed(*span) for span in spans]))
        planes = unpack_tensor(packed.to(self.device), recording.shape[2])
        return planes[:, None].to(self.dtype)


def as_image(blurry: Tensor | NDArray[Any]) -> Tensor:
    """Return a blurry image as float32 ``(3, H, W)`` in [0, 1].

    Raises:
        GeometryError: If it is of another shape.
    """
    image = torch.as_tensor(blurry)
    if image.ndim == 4 and len(image) == 1:
        image = image[0]
    if image.ndim != 3 or image.shape[0] != 3:
        raise GeometryError(f"a blurry image is R,G,B of shape (3, H, W), got {tuple(image.shape)}")
    return image.float() / 255 if image.dtype == torch.uint8 else image.float()


def check_pair(image: Tensor, recording: SpikeRecording) -> None:
    """Refuse an image whose size is not that of the recording times the ratio.

    Raises:
        GeometryError: With the size that would fit.
    """
    _, height, width = recording.shape
    if tuple(image.shape[-2:]) != (RATIO * height, RATIO * width):
        raise GeometryError(
            f"the blurry image is {image.shape[-2]}x{image.shape[-1]}, the spikes are "
            f"{height}x{width}: the image must be {RATIO} times as high and wide, "
            f"{RATIO * height}x{RATIO * width}. Resize or crop it, or give the recording that "
            "belongs to it."
        )


def check_windows(centers: Sequence[int], length: int, planes: int) -> None:
    """Refuse windows that leave a recording.

    Nothing is mirrored at its ends: the spikes would tell of a motion that turns back.

    Raises:
        PlaneRangeError: If the recording is shorter than a window, or naming the first centre.
    """
    if planes < length:
        raise PlaneRangeError(
            f"the recording has {planes} planes, one window takes {length}; record more planes "
            "before and after the exposure"
        )
    check_centers(centers, planes)
    half = length // 2
    for center in centers:
        if not half <= center < planes - half:
            raise PlaneRangeError(
                f"the window of {length} planes around plane {center} leaves the recording with "
                f"planes 0..{planes - 1}; choose planes from {half} to {planes - 1 - half}"
            )
