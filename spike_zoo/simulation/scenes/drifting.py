"""Simulation of an image in uniform linear motion, for data sets of recognition."""

import math
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spike_zoo.errors import UsageError
from spike_zoo.simulation.camera.spike_camera import SpikeCamera
from spike_zoo.simulation.kinds.takes import FPS, simulated_meta
from spike_zoo.spikes.take import Take

DRIFT_SIMULATOR: Final = "spike_zoo.simulation drifting v1"
DRIFT_PLANES: Final = 41

_TEXELS: Final = 2  # texels per pixel, so that bilinear sampling blurs little
_SLACK: Final = 2  # pixels of free space in addition to the fastest motion
_CANVAS: Final = 32  # smallest difference in size between a mirrored image and a plane, pixels
_MIN_SIDE: Final = 8  # smallest image in pixels


@dataclass(frozen=True)
class DriftSpec:
    """Parameters of the motion and camera of a moving image, sufficient to reproduce a take.

    Raises:
        UsageError: If the planes are too small for the motion, or a speed is not valid.
    """

    name: str  #: name of the recording, also in messages
    seed: int = 0  #: seed of the motion and of the camera's random draws
    height: int = 64  #: rows of a plane
    width: int = 64  #: columns of a plane
    planes: int = DRIFT_PLANES  #: planes of the recording
    slowest: float = 0.2  #: slowest motion, in pixels per plane
    fastest: float = 0.55  #: fastest motion
    #: Whether the image fills the plane and is mirrored beyond its edges (for photographs).
    #: Otherwise the complete image moves over a dark plane (for digits).
    mirrored: bool = False
    rate_scale: float = 0.6  #: spikes per plane at white
    noise: str = "none"  #: noise preset of the camera

    def __post_init__(self) -> None:
        if not 0 <= self.slowest <= self.fastest < math.inf:
            raise UsageError(
                f"speeds must be 0 <= slowest <= fastest, got {self.slowest} and {self.fastest}"
            )
        least = _MIN_SIDE if self.mirrored else _MIN_SIDE + _SLACK + self.travel
        if min(self.height, self.width) < least:
            raise UsageError(
                f"planes of {self.height}x{self.width} are too small for an image that moves up "
                f"to {self.fastest:g} pixels per plane for {self.planes} planes: --height and "
                f"--width must be at least {least}"
            )

    @property
    def travel(self) -> int:
        """Displacement of the fastest motion in pixels, rounded up."""
        return math.ceil(round(self.fastest * (self.planes - 1), 6))

    def image_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width in pixels to which an image is resized.

        The aspect ratio is kept. A mirrored image is the largest that fits into a plane; other
        images leave room for the fastest motion and two pixels.

        Args:
            height: Rows of the original image.
            width: Columns of the original image.
        """
        free = 0 if self.mirrored else self.travel + _SLACK
        scale = min((self.height - free) / height, (self.width - free) / width)
        return max(1, round(scale * height)), max(1, round(scale * width))


class Drift(NamedTuple):
    """A straight path of an image's upper left corner, in pixels of a plane."""

    y: float  #: row at plane 0
    x: float  #: column at plane 0
    dy: float  #: rows per plane, positive downwards
    dx: float  #: columns per plane, positive to the right


def random_drift(
    rng: np.random.Generator, room: tuple[float, float], planes: int, speeds: tuple[float, float]
) -> Drift:
    """Draw speed, direction and start of a path that keeps an image inside the plane.

    ``room`` is the rows and columns of a plane minus those of the image. If negative, the image
    is larger than the plane, and the path keeps the plane inside the image. ``speeds`` are the
    slowest and the fastest one, in pixels per plane. Raises ValueError if the path is longer than
    the room.
    """
    speed, angle = rng.uniform(*speeds), rng.uniform(0.0, 2 * math.pi)
    steps = round(speed * math.sin(angle), 6), round(speed * math.cos(angle), 6)
    starts = []
    for free, step in zip(room, steps, strict=True):
        path = step * (planes - 1)
        low, high = min(0.0, free) - min(0.0, path), max(0.0, free) - max(0.0, path)
        if low > high:
            raise ValueError(f"{abs(path):.4g} pixels of motion in {abs(free):g} pixels of room")
        starts.append(float(rng.uniform(low, high)))
    return Drift(starts[0], starts[1], *steps)


def drifting_light(
    texels: NDArray[np.float32], drift: Drift, size: tuple[int, int], planes: int
) -> NDArray[np.float32]:
    """Return the luminance of a moving image on a dark background.

    A pixel is the mean of 2 x 2 texels, interpolated linearly to the subpixel position.

    Args:
        texels: The image ``(2 h, 2 w)`` in [0, 1], two texels per pixel along each axis.
        drift: Path of the image.
        size: Height and width of a plane.
        planes: Number of planes.

    Returns:
        float32 ``(planes, H, W)`` in [0, 1].
    """
    # elementwise operations only: the sums of matrix products differ between processors
    time = np.arange(planes, dtype=np.float64)
    rows, above, below = _places(drift.y + drift.dy * time, texels.shape[0], size[0])
    columns, left, right = _places(drift.x + drift.dx * time, texels.shape[1], size[1])
    padded = np.pad(texels, ((above, below), (left, right)))
    pixels = (padded[:-1, :-1] + padded[1:, :-1] + padded[:-1, 1:] + padded[1:, 1:]) / np.float32(4)
    light = np.empty((planes, *size), np.float32)
    for plane, (top, down), (start, along) in zip(light, rows, columns, strict=True):
        mixed = _mixed(pixels, top, down, size[0])
        plane[:] = _mixed(mixed.T, start, along, size[1]).T
    return light


def _places(
    path: NDArray[Any], texels: int, pixels: int
) -> tuple[list[tuple[int, np.float32]], int, int]:
    """Return first texel and interpolation weight for each plane, and padding before and after."""
    offsets = -_TEXELS * path
    whole = np.floor(offsets).astype(int)
    before = max(0, -int(whole.min()))
    after = max(0, int(whole.max()) + 1 + _TEXELS * pixels - texels)
    parts = (offsets - whole).astype(np.float32)
    return list(zip((whole + before).tolist(), parts, strict=True)), before, after


def _mixed(
    pixels: NDArray[np.float32], first: int, part: np.float32, count: int
) -> NDArray[np.float32]:
    """Interpolate every second line, starting at ``part`` of the way from ``first`` to the next."""
    near = pixels[first : first + _TEXELS * count : _TEXELS]
    far = pixels[first + 1 : first + 1 + _TEXELS * count : _TEXELS]
    return (np.float32(1) - part) * near + part * far


def simulate_drift(
    image: NDArray[np.uint8],
    spec: DriftSpec,
    *,
    label: int | None = None,
    label_name: str = "",
) -> Take:
    """Simulate a spike camera on a moving image.

    Args:
        image: Grey, uint8 ``(h, w)`` of any size; resized by bicubic interpolation.
        spec: Size, motion and camera.
        label: Class index of the take.
        label_name: Name of the class.

    Returns:
        The recording with its label; ``meta`` of the recording contains the parameters.
    """
    motion, chance = (
        np.random.default_rng(np.random.SeedSequence([spec.seed, stream])) for stream in (1, 2)
    )
    texels = _canvas(image, spec)
    size = spec.height, spec.width
    room = size[0] - texels.shape[0] / _TEXELS, size[1] - texels.shape[1] / _TEXELS
    drift = random_drift(motion, room, spec.planes, (spec.slowest, spec.fastest))
    light = drifting_light(texels, drift, size, spec.planes)
    camera = SpikeCamera(gain=spec.rate_scale, noise=spec.noise, generator=chance)
    further = {"noise": spec.noise, "mirrored": spec.mirrored, "drift": drift._asdict()}
    further |= {"label_name": label_name} if label_name else {}
    meta = simulated_meta(DRIFT_SIMULATOR, spec.seed, spec.name, **further)
    return Take(camera.record([light], fps=FPS, meta=meta), label=label)


def _canvas(image: NDArray[np.uint8], spec: DriftSpec) -> NDArray[np.float32]:
    """Return the texels of a resized image, padded by mirroring if the specification sets it."""
    height, width = spec.image_size(*image.shape)
    pillow = Image.fromarray(image)
    resized = pillow.resize((_TEXELS * width, _TEXELS * height), Image.Resampling.BICUBIC)
    texels = np.asarray(resized, np.float32) / np.float32(255)
    if not spec.mirrored:
        return texels
    room = max(_CANVAS, spec.travel)
    sides = (spec.height + room, height), (spec.width + room, width)
    missing = [_TEXELS * (whole - side) for whole, side in sides]
    return np.pad(texels, [(more // 2, more - more // 2) for more in missing], mode="reflect")
