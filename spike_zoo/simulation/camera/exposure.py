"""Blurry exposures of a colour camera and spikes of the same scene."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spike_zoo.simulation.camera.spike_camera import SpikeCamera
from spike_zoo.spikes.take import Take

Images = NDArray[np.float32]

EXPOSURE_PLANES = 97
"""Planes per blurry image of S-SDM's GOPRO set."""
EXPOSURE_MARGIN = 20
"""Planes before and after an exposure, for complete windows of 41 planes at both of its ends."""
SHARP_STRIDE = 16
"""Planes between the seven sharp images of an exposure on which S-SDM is evaluated."""
RATIO = 4
"""Image pixels per spike-camera pixel, along each axis."""

_GAP = 7  # planes between two exposures of S-SDM's GOPRO set


class ExposurePlanes:
    """Planes of a recording that are averaged into blurry images or stored as sharp images.

    Args:
        planes: Planes of the recording.
        exposure: Planes per blurry image.
        margin: Planes before the first exposure and after the last one.
        stride: Planes between sharp images of an exposure, starting at its first plane; 0 stores no
            sharp images.

    Raises:
        ValueError: If no exposure fits into the recording, or ``stride`` is negative.
    """

    def __init__(
        self,
        planes: int,
        exposure: int = EXPOSURE_PLANES,
        margin: int = EXPOSURE_MARGIN,
        stride: int = SHARP_STRIDE,
    ) -> None:
        last = planes - margin - exposure + 1
        first = np.arange(margin, last, exposure + _GAP, dtype=np.int64)
        self.spans = np.stack([first, first + exposure], axis=1)
        if not len(self.spans):
            raise ValueError(
                f"{planes} planes hold no exposure of {exposure} with {margin} before and after it"
            )
        if stride < 0:
            raise ValueError(f"the stride of sharp images is 0 (none) or more, got {stride}")
        times = [range(first, last, stride) for first, last in self.spans.tolist() if stride]
        self.times = np.array(times, dtype=np.int64).ravel()

    def record(
        self,
        chunks: Iterable[Images],
        camera: SpikeCamera,
        light: Callable[[Images], Images],
        *,
        fps: float,
        meta: Mapping[str, Any],
    ) -> Take:
        """Simulate both cameras on the same images.

        Args:
            chunks: Images of all planes in order, R,G,B ``(T, 3, H', W')`` in [0, 1].
            camera: The spike camera.
            light: Function from images to the luminance of spike-camera pixels.
            fps: Planes per second.
            meta: Metadata of the recording.

        Returns:
            Spikes, blurry images (means over the planes of each exposure) and sharp images; images
            are R,G,B, rounded to 8 bits.
        """
        blurry: list[NDArray[np.float64]] = []
        sharp: list[NDArray[np.uint8]] = []
        seen = self._watched(chunks, blurry, sharp)
        recording = camera.record(map(light, seen), fps=fps, meta=meta)
        lengths = np.diff(self.spans, axis=1)[:, 0]
        blur = [as_levels(total / n) for total, n in zip(blurry, lengths, strict=True)]
        images, index = (np.stack(sharp), self.times) if sharp else (None, None)
        return Take(recording, images, index, np.stack(blur), self.spans)

    def _watched(
        self,
        chunks: Iterable[Images],
        blurry: list[NDArray[np.float64]],
        sharp: list[NDArray[np.uint8]],
    ) -> Iterator[Images]:
        """Yield the chunks unchanged; add images to ``blurry`` and append sharp images."""
        times, spans, plane = set(self.times.tolist()), self.spans.tolist(), 0
        for chunk in chunks:
            if not blurry:
                blurry += [np.zeros(chunk.shape[1:]) for _ in spans]
            for image in chunk:
                for total, (first, last) in zip(blurry, spans, strict=True):
                    if first <= plane < last:
                        total += image
                if plane in times:
                    sharp.append(as_levels(image))
                plane += 1
            yield chunk


def as_levels(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Round an image in [0, 1], grey ``(H, W)`` or R,G,B ``(3, H, W)``, to 8 bits, colour last."""
    levels = np.rint(image * 255).astype(np.uint8)
    return levels if levels.ndim == 2 else np.ascontiguousarray(levels.transpose(1, 2, 0))


def covered_light(images: Images, ratio: int, weights: Sequence[float]) -> Images:
    """Return the mean luminance of the ``ratio x ratio`` image pixels of each spike-camera pixel.

    Args:
        images: R,G,B ``(T, 3, H', W')``.
        ratio: Image pixels per spike-camera pixel, along each axis.
        weights: Weights of R, G and B in the luminance.

    Returns:
        ``(T, H, W)``.
    """
    planes, _, height, width = images.shape
    grey = np.einsum("c,tcyx->tyx", np.array(weights, np.float32), images)
    tiles = grey.reshape(planes, height // ratio, ratio, width // ratio, ratio)
    return tiles.mean(axis=(2, 4), dtype=np.float32)
