"""Exposures: what a colour camera and a spike camera see of the same light, blurry and sharp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spike_zoo.spikes import Take

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from spike_zoo.simulation.camera.spike_camera import SpikeCamera

    Images = NDArray[np.float32]

EXPOSURE_PLANES = 97
"""Planes per blurry image of S-SDM's GOPRO set."""
EXPOSURE_MARGIN = 20
"""Planes before and after an exposure, so that windows of 41 planes around its ends are whole."""
SHARP_STRIDE = 16
"""Planes from one sharp image of an exposure to the next: the seven that S-SDM is judged by."""
RATIO = 4
"""Pixels of the colour images along one of the spikes'."""

_GAP = 7  # planes between two exposures of S-SDM's GOPRO set


class ExposurePlanes:
    """Which planes of a recording are exposed into blurry images, and which are kept sharp.

    Args:
        planes: Planes of the recording.
        exposure: Planes per blurry image.
        margin: Planes before the first exposure and after the last.
        stride: Planes from one sharp image of an exposure to the next, from its first plane on;
            0 for none.
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
        """Expose both cameras to the same light.

        Args:
            chunks: Images of all planes in order, R,G,B ``(T, 3, H', W')`` in [0, 1].
            camera: The spike camera.
            light: Turns such images into the luminance of the spike camera's pixels.
            fps: Planes per second.
            meta: What is kept with the recording.

        Returns:
            Spikes; blurry images, each the mean of its planes, and sharp ones, both rounded to 8
            bits, R,G,B.
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
        """Pass the images on, adding up those of each exposure and keeping the sharp ones."""
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
    """Round light in [0, 1], grey ``(H, W)`` or R,G,B ``(3, H, W)``, to 8 bits, colours last."""
    levels = np.rint(image * 255).astype(np.uint8)
    return levels if levels.ndim == 2 else np.ascontiguousarray(levels.transpose(1, 2, 0))


def covered_light(images: Images, ratio: int, weights: Sequence[float]) -> Images:
    """Return the mean luminance of the ``ratio x ratio`` pixels that one of the spikes' covers.

    Args:
        images: R,G,B ``(T, 3, H', W')``.
        ratio: Pixels of the images along one of the spikes'.
        weights: Of R, G and B in the luminance.

    Returns:
        ``(T, H, W)``.
    """
    planes, _, height, width = images.shape
    grey = np.einsum("c,tcyx->tyx", np.array(weights, np.float32), images)
    tiles = grey.reshape(planes, height // ratio, ratio, width // ratio, ratio)
    return tiles.mean(axis=(2, 4), dtype=np.float32)
