"""A still picture that moves straight and evenly under a spike camera, as recognition sets have."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from PIL import Image

from spike_zoo.errors import UsageError
from spike_zoo.simulation.camera.spike_camera import SpikeCamera
from spike_zoo.simulation.kinds.takes import FPS, simulated_meta
from spike_zoo.spikes import Take

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRIFT_SIMULATOR: Final = "spike_zoo.simulation drifting v1"
DRIFT_PLANES: Final = 41

_TEXELS: Final = 2  # per pixel of a plane, so that bilinear sampling hardly blurs
_SLACK: Final = 2  # pixels of a dark plane beyond what the fastest motion takes
_CANVAS: Final = 32  # pixels that a mirrored picture is larger than a plane, at least
_SMALLEST: Final = 8  # pixels of a picture's longer side


@dataclass(frozen=True)
class DriftSpec:
    """How a picture moves and who looks at it: plain values, so that it can be made again.

    Attributes:
        name: What recordings and messages call it.
        seed: Seed of the motion and of the camera's chance.
        height: Rows of a plane.
        width: Columns of a plane.
        planes: Planes of the recording.
        slowest: Slowest motion, in pixels per plane.
        fastest: Fastest motion.
        mirrored: Whether the picture fills a plane and goes on mirrored beyond its edges, as a
            photograph does; otherwise it lies whole on a dark plane, as a digit does.
        rate_scale: Spikes per plane at white.
        noise: Noise preset of the camera.

    Raises:
        UsageError: If the planes leave no room for the motion, or a speed is impossible.
    """

    name: str
    seed: int = 0
    height: int = 64
    width: int = 64
    planes: int = DRIFT_PLANES
    slowest: float = 0.2
    fastest: float = 0.55
    mirrored: bool = False
    rate_scale: float = 0.6
    noise: str = "none"

    def __post_init__(self) -> None:
        if not 0 <= self.slowest <= self.fastest < math.inf:
            raise UsageError(
                f"speeds must be 0 <= slowest <= fastest, got {self.slowest} and {self.fastest}"
            )
        least = _SMALLEST if self.mirrored else _SMALLEST + _SLACK + self.travel
        if min(self.height, self.width) < least:
            raise UsageError(
                f"planes of {self.height}x{self.width} are too small for a picture that moves up "
                f"to {self.fastest:g} pixels per plane for {self.planes} planes: --height and "
                f"--width must be at least {least}"
            )

    @property
    def travel(self) -> int:
        """Pixels that the fastest motion takes, rounded up."""
        return math.ceil(round(self.fastest * (self.planes - 1), 6))

    def picture_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width, in pixels, that a picture of a size is given on a plane.

        Mirrored pictures are as large as a plane can hold whole; others leave what the fastest
        motion takes and two pixels free on the shorter side of the plane.
        """
        free = 0 if self.mirrored else self.travel + _SLACK
        scale = min((self.height - free) / height, (self.width - free) / width)
        return max(1, round(scale * height)), max(1, round(scale * width))


class Drift(NamedTuple):
    """A straight path of a picture's upper left corner, in pixels of a plane.

    Attributes:
        y: Row at plane 0.
        x: Column at plane 0.
        dy: Rows per plane, positive downwards.
        dx: Columns per plane, positive to the right.
    """

    y: float
    x: float
    dy: float
    dx: float


def random_drift(
    rng: np.random.Generator, room: tuple[float, float], planes: int, speeds: tuple[float, float]
) -> Drift:
    """Draw a speed, a direction and a start that keep a picture inside for all planes.

    Args:
        rng: Where chance comes from.
        room: Rows and columns of a plane less those of the picture. Where the picture is the
            larger one, negative, its edges stay outside instead.
        planes: Planes of the recording.
        speeds: Slowest and fastest, in pixels per plane.
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
    """Return the light of a picture that moves, dark around it.

    A pixel is the mean of the 2 x 2 texels under it, interpolated linearly between their places.

    Args:
        texels: The picture ``(2 h, 2 w)`` in [0, 1], two texels per pixel along each axis.
        drift: Its path.
        size: Height and width of a plane.
        planes: How many planes.

    Returns:
        float32 ``(planes, H, W)`` in [0, 1].
    """
    # elementwise operations only: sums of matrix products differ between processors
    time = np.arange(planes, dtype=np.float64)
    rows, above, below = _places(drift.y + drift.dy * time, texels.shape[0], size[0])
    columns, left, right = _places(drift.x + drift.dx * time, texels.shape[1], size[1])
    around = np.pad(texels, ((above, below), (left, right)))
    pixels = (around[:-1, :-1] + around[1:, :-1] + around[:-1, 1:] + around[1:, 1:]) / np.float32(4)
    light = np.empty((planes, *size), np.float32)
    for plane, (top, down), (start, along) in zip(light, rows, columns, strict=True):
        mixed = _mixed(pixels, top, down, size[0])
        plane[:] = _mixed(mixed.T, start, along, size[1]).T
    return light


def _places(
    path: NDArray[Any], texels: int, pixels: int
) -> tuple[list[tuple[int, np.float32]], int, int]:
    """Return the first texel and the part of the next for each plane, and the texels to add."""
    offsets = -_TEXELS * path
    whole = np.floor(offsets).astype(int)
    before = max(0, -int(whole.min()))
    after = max(0, int(whole.max()) + 1 + _TEXELS * pixels - texels)
    parts = (offsets - whole).astype(np.float32)
    return list(zip((whole + before).tolist(), parts, strict=True)), before, after


def _mixed(
    pixels: NDArray[np.float32], first: int, part: np.float32, count: int
) -> NDArray[np.float32]:
    """Return every second line from a place between two lines on."""
    near = pixels[first : first + _TEXELS * count : _TEXELS]
    far = pixels[first + 1 : first + 1 + _TEXELS * count : _TEXELS]
    return (np.float32(1) - part) * near + part * far


def simulate_drift(
    picture: NDArray[np.uint8], spec: DriftSpec, *, label: int | None = None, label_name: str = ""
) -> Take:
    """Let a spike camera see a picture that moves.

    Args:
        picture: Grey, uint8 ``(h, w)`` of any size; it is resized smoothly (bicubic).
        spec: Size, motion and camera.
        label: Class index of the take.
        label_name: Name of the class.

    Returns:
        The recording with its label; what made it is in the recording's ``meta``.
    """
    motion, chance = (
        np.random.default_rng(np.random.SeedSequence([spec.seed, stream])) for stream in (1, 2)
    )
    texels = _canvas(picture, spec)
    size = spec.height, spec.width
    room = size[0] - texels.shape[0] / _TEXELS, size[1] - texels.shape[1] / _TEXELS
    drift = random_drift(motion, room, spec.planes, (spec.slowest, spec.fastest))
    light = drifting_light(texels, drift, size, spec.planes)
    camera = SpikeCamera(gain=spec.rate_scale, noise=spec.noise, generator=chance)
    further = {"noise": spec.noise, "mirrored": spec.mirrored, "drift": drift._asdict()}
    further |= {"label_name": label_name} if label_name else {}
    meta = simulated_meta(DRIFT_SIMULATOR, spec.seed, spec.name, **further)
    return Take(camera.record([light], fps=FPS, meta=meta), label=label)


def _canvas(picture: NDArray[np.uint8], spec: DriftSpec) -> NDArray[np.float32]:
    """Return the texels of a picture at its size on a plane, mirrored on where it is to be."""
    height, width = spec.picture_size(*picture.shape)
    pillow = Image.fromarray(picture)
    resized = pillow.resize((_TEXELS * width, _TEXELS * height), Image.Resampling.BICUBIC)
    texels = np.asarray(resized, np.float32) / np.float32(255)
    if not spec.mirrored:
        return texels
    room = max(_CANVAS, spec.travel)
    sides = (spec.height + room, height), (spec.width + room, width)
    missing = [_TEXELS * (whole - side) for whole, side in sides]
    return np.pad(texels, [(more // 2, more - more // 2) for more in missing], mode="reflect")
