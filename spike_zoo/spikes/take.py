"""Take: a recording with its sharp and blurry images, motion and label."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spike_zoo.spikes.recording import SpikeRecording

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # R, G, B


@dataclass(frozen=True)
class Take:
    """A recording, the sharp and blurry images that belong to it, and its label.

    Example:
        >>> from spike_zoo import SpikeRecording
        >>> spikes = np.zeros((61, 4, 8), bool)
        >>> image = np.zeros((1, 4, 8), np.uint8)
        >>> take = Take(SpikeRecording.from_planes(spikes), image, np.array([30]))
        >>> take.recording.shape, take.image_index
        ((61, 4, 8), array([30]))
    """

    recording: SpikeRecording  #: the spikes, ``(T, H, W)``
    #: sharp images ``(N, H', W')`` grey or ``(N, H', W', 3)`` R,G,B; uint8 (0..255), uint16
    #: (0..65535) or float32 (0..1); H' and W' one integer multiple of H and W
    images: NDArray[Any] | None = None
    #: int64 ``(N,)``, the plane each image is centred on, not decreasing
    image_index: NDArray[np.int64] | None = None
    blur: NDArray[Any] | None = None  #: blurry images ``(M, H', W'[, 3])``, typed as ``images``
    #: int64 ``(M, 2)``, first and past-the-last plane of each exposure
    blur_span: NDArray[np.int64] | None = None
    label: int | None = None  #: class index of the whole take
    #: float16 ``(N, 2, H, W)``, ground-truth flow (right, down) in pixels of the spikes from image
    #: n to image n - 1: the point at x in image n is at x + v(x) in image n - 1. NaN if the point
    #: is occluded or outside there, and for the first image.
    motion: NDArray[np.float16] | None = None
    #: float16 ``(N, 2, 2, H, W)``, the same flow from each image to an earlier plane and to a later
    #: plane
    around: NDArray[np.float16] | None = None
    #: int64 ``(N, 2)``, the earlier and the later plane
    around_index: NDArray[np.int64] | None = None


def channels_first(image: NDArray[Any]) -> NDArray[Any]:
    """Return an image as ``(C, H, W)``, uint8 or float32 in [0, 1]; uint16 is divided by 65535."""
    if image.dtype == np.uint16:
        image = image.astype(np.float32) / 65535
    return np.ascontiguousarray(image[None] if image.ndim == 2 else image.transpose(2, 0, 1))


def grey(image: NDArray[Any]) -> NDArray[Any]:
    """Return a grey image ``(H, W)``: grey uint8 or float32 unchanged, others as float32 in [0, 1].

    Colours are converted to luma; uint16 is divided by 65535.
    """
    if image.dtype == np.uint16:
        image = image.astype(np.float32) / 65535
    if image.ndim == 2:
        return image
    scale = np.float32(255 if image.dtype == np.uint8 else 1)
    return image.astype(np.float32) @ LUMA / scale
