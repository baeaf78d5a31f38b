"""Renderer of scenes from smoothly moving texture layers, with anti-aliasing."""

import math
import re
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional

from spike_zoo.nn.threads import torch_threads
from spike_zoo.simulation.scenes.flow import LayerGeometry, backward_flow
from spike_zoo.simulation.scenes.photographs import cutout
from spike_zoo.simulation.scenes.textures import GREY, coverage, leaf_outline, make_texture
from spike_zoo.simulation.scenes.trajectory import Motion, Pose, hand_shake, random_motion

_TEXELS: Final = 2  # texels per image pixel, so that bilinear sampling blurs little
_CANDIDATES: Final = 6  # random views of a background, of which the one with most contrast is used
_STATIC: Final = 0.5  # probability that an object of a scene with depths does not move by itself
_MAX_TEXTURE: Final = 1024  # largest side in texels; a texture is mirrored beyond its edges


@dataclass(frozen=True)
class SceneSpec:
    """Parameters that define a scene and its camera completely."""

    name: str = "scene"  #: name of the recording, also in messages
    seed: int = 0  #: seed of textures, shapes, motions and the camera's random draws
    height: int = 160  #: rows of a plane
    width: int = 160  #: columns of a plane
    planes: int = 201  #: planes of the recording
    background: str = "leaves"  #: texture of the background, a kind of :func:`make_texture`
    #: textures of the moving objects, from far to near; ``cutout:URI`` is an image whose opacity
    #: is the shape of the object
    objects: tuple[str, ...] = ()
    speed: float = 0.3  #: peak speed of the background, in spike-camera pixels per plane
    object_speed: float = 0.5  #: peak speed of an object, in spike-camera pixels per plane
    #: Depths of the objects, of which the background has 1: the translation of the camera moves an
    #: object 1 / depth times as fast as the background. Half of these objects do not move by
    #: themselves. Empty: objects do not move with the camera.
    depths: tuple[float, ...] = ()
    #: largest speed of each oscillation of a shaking camera, in spike-camera pixels per plane
    shake: float = 0.0
    #: whether brightness and contrast are changed randomly, as augmentation for training
    tone: bool = False
    #: Image pixels per spike-camera pixel, along each axis (S-SDM: 4). The scene is magnified by
    #: this ratio, so that the spikes have the same detail.
    image_ratio: int = 1
    rate_scale: float = 0.6  #: spikes per plane at white
    noise: str = "none"  #: noise preset of the camera
    #: standard deviation of the lens blur of the light, in spike-camera pixels; the images stay
    #: sharp
    softness: float = 0.0

    def record(self) -> dict[str, Any]:
        """Return all parameters, with photographs of users named without their folder."""
        kinds = [re.sub(r"file://[^+]*/", "", kind) for kind in (self.background, *self.objects)]
        return asdict(self) | {"background": kinds[0], "objects": tuple(kinds[1:])}

    def __post_init__(self) -> None:
        for field in ("height", "width", "planes", "image_ratio"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} must be at least 1, got {getattr(self, field)}")
        for field in ("speed", "object_speed", "shake", "softness"):
            if not 0 <= getattr(self, field) < math.inf:
                raise ValueError(f"{field} must be 0 or more, got {getattr(self, field)}")
        if self.depths and len(self.depths) != len(self.objects):
            raise ValueError(f"depths: expected one of each object, got {self.depths}")
        if not all(0 < near <= far for far, near in pairwise((1.0, *self.depths))):
            raise ValueError(f"depths must fall from 1, far to near, above 0, got {self.depths}")


class _Layer(NamedTuple):
    """A moving texture ``(1, C, h, w)``, R,G,B or grey; objects have a mask as last channel."""

    colour: Tensor
    grey: Tensor
    motion: Motion
    reach: float  # largest distance of the mask from the centre, in pixels; 0 for the background
    centre: tuple[float, float]  # of the layer relative to the texture's middle, pixels (x, y)


class Scene:
    """A moving scene with known luminance at every plane.

    The luminance of plane t is instantaneous: there is no motion blur. A plane depends only on the
    specification and t, not on other rendered planes.

    Args:
        spec: Parameters of the scene.
        supersample: Samples per image pixel along each axis; a pixel is the mean of its samples.
    """

    def __init__(self, spec: SceneSpec, *, supersample: int = 2) -> None:
        self.spec = spec
        self.supersample = supersample
        self.size = spec.height * spec.image_ratio, spec.width * spec.image_ratio
        """Height and width of the images."""
        self._grain = _TEXELS * spec.image_ratio  # texels per spike-camera pixel
        seeds = np.random.SeedSequence([spec.seed, 1]).spawn(1 + len(spec.objects))
        background, *objects = (np.random.default_rng(seed) for seed in seeds)
        with torch_threads(1):
            self._layers = [self._background(background)]
            for kind, rng in zip(spec.objects, objects, strict=True):
                self._layers.append(self._object(kind, rng))
        if spec.depths or spec.shake:
            self._layers = self._seen_by_moving_camera()
        self._axes = [
            (torch.arange(side * supersample, dtype=torch.float32) + 0.5) / supersample - side / 2
            for side in self.size
        ]

    @property
    def motions(self) -> list[Motion]:
        """Motion of the background and of each object, in image pixels."""
        return [layer.motion for layer in self._layers]

    def luminance(
        self, start: int = 0, stop: int | None = None, *, is_soft: bool = False
    ) -> NDArray[np.float32]:
        """Return the luminance of planes ``[start, stop)``, ``(T, H, W)`` in [0, 1].

        With ``image_ratio`` above 1, a pixel is the mean of the image pixels that it covers.
        ``is_soft`` applies the blur of the lens.

        Raises:
            ValueError: If the range is outside the scene.
        """
        planes = self._planes(start, stop)
        light = np.empty((len(planes), self.spec.height, self.spec.width), dtype=np.float32)
        for number, plane in enumerate(planes):
            image = self.render(plane, is_soft=is_soft)
            if self.spec.image_ratio > 1:
                image = functional.avg_pool2d(image, self.spec.image_ratio)
            light[number] = image[0].numpy()
        return light

    def colour(
        self, start: int = 0, stop: int | None = None, *, is_soft: bool = False
    ) -> NDArray[np.float32]:
        """Return the images of planes ``[start, stop)``, R,G,B ``(T, 3, H', W')`` in [0, 1].

        ``is_soft`` applies the blur of the lens.

        Raises:
            ValueError: If the range is outside the scene.
        """
        planes = self._planes(start, stop)
        images = np.empty((len(planes), 3, *self.size), dtype=np.float32)
        for number, plane in enumerate(planes):
            images[number] = self.render(plane, colour=True, is_soft=is_soft).numpy()
        return images

    def motion(self, plane: int, earlier: int) -> NDArray[np.float32]:
        """Return the exact motion from one plane to another, computed from the poses of layers.

        Args:
            plane: Plane of the pixels.
            earlier: Plane to which the motion leads; it may also be a later plane.

        Returns:
            float32 ``(2, H, W)``, right and down, in spike-camera pixels: the scene point at x in
            ``plane`` is at x + v(x) in ``earlier``. NaN if the point is not visible in ``earlier``:
            covered by a nearer object, or outside the frame.

        Raises:
            ValueError: If a plane is not in the scene.
        """
        for index in (plane, earlier):
            if not 0 <= index < self.spec.planes:
                raise ValueError(
                    f"plane {index} is not in the scene, which has planes 0..{self.spec.planes - 1}"
                )
        geometries = [
            LayerGeometry(layer.motion, layer.grey[0, -1].numpy() if layer.reach else None, _TEXELS)
            for layer in self._layers
        ]
        size = self.spec.height, self.spec.width
        return backward_flow(geometries, size, self.spec.image_ratio, plane, earlier)

    def render(self, plane: int, *, colour: bool = False, is_soft: bool = False) -> Tensor:
        """Return the image of a plane, ``(1, H', W')`` grey or ``(3, H', W')`` R,G,B.

        ``is_soft`` applies the blur of the lens.
        """
        with torch_threads(1):
            image = self._composited(plane, colour)
            if is_soft and self.spec.softness:  # a kernel of samples represents 0.3 pixels, too
                sigma = self.spec.softness * self.spec.image_ratio * self.supersample
                sigmas = (0, sigma, sigma)
                image = torch.from_numpy(gaussian_filter(image.numpy(), sigmas, mode="nearest"))
            if self.supersample > 1:
                image = functional.avg_pool2d(image, self.supersample)
            return image.clamp(0.0, 1.0)

    def _composited(self, plane: int, colour: bool) -> Tensor:
        """Return the samples of the background, with the objects from far to near."""
        pose = self._layers[0].motion.pose(plane)
        image = self._sampled(self._layers[0], pose, colour, slice(None), slice(None))
        for layer in self._layers[1:]:
            pose = layer.motion.pose(plane)
            rows, columns = (self._window(layer, pose, axis) for axis in (1, 0))
            if rows.start < rows.stop and columns.start < columns.stop:
                above = self._sampled(layer, pose, colour, rows, columns)
                window = image[:, rows, columns]  # a view; colours are premultiplied by the mask
                window.mul_(1.0 - above[-1:]).add_(above[:-1])
        return image

    def _planes(self, start: int, stop: int | None) -> range:
        stop = self.spec.planes if stop is None else stop
        if not 0 <= start <= stop <= self.spec.planes:
            raise ValueError(
                f"planes {start}..{stop} are not in the scene, which has {self.spec.planes} planes"
            )
        return range(start, stop)

    def _window(self, layer: _Layer, pose: Pose, axis: int) -> slice:
        """Return the range of samples along an axis (0: x) that an object may cover at a pose."""
        middle = self.size[1 - axis] / 2
        reach = layer.reach * math.exp(pose.zoom) + 1.0
        low, high = pose[axis] - reach, pose[axis] + reach
        first, last = ((bound + middle) * self.supersample for bound in (low, high))
        samples = self.size[1 - axis] * self.supersample
        return slice(max(0, math.floor(first)), max(0, min(samples, math.ceil(last))))

    def _sampled(
        self, layer: _Layer, pose: Pose, colour: bool, rows: slice, columns: slice
    ) -> Tensor:
        """Sample a layer in a window of the image, ``(channels, rows, columns)``."""
        y, x = self._axes[0][rows], self._axes[1][columns]
        grid = torch.empty(1, len(y), len(x), 2)
        for axis, side in enumerate((layer.grey.shape[3], layer.grey.shape[2])):
            row = np.array(pose.inverse[3 * axis : 3 * axis + 3])
            row[2] += layer.centre[axis]
            a, b, c = torch.from_numpy((row * (2.0 * _TEXELS / side)).astype(np.float32))
            torch.add((a * x + c)[None, :], (b * y)[:, None], out=grid[0, ..., axis])
        padding = "zeros" if layer.reach else "reflection"
        return functional.grid_sample(
            layer.colour if colour else layer.grey,
            grid,
            mode="bilinear",
            padding_mode=padding,
            align_corners=False,
        )[0]

    def _background(self, rng: np.random.Generator) -> _Layer:
        spec = self.spec
        half = self.size[1] / 2, self.size[0] / 2
        motion = random_motion(rng, spec.planes, spec.speed * spec.image_ratio, half)
        size = tuple(min(_MAX_TEXTURE, _TEXELS * (side + 120)) for side in self.size)
        texture = make_texture(spec.background, (size[0], size[1]), self._grain, rng)
        centre = _high_contrast_centre(texture, self.size, rng)
        return self._layer(texture, motion, rng, centre=centre)

    def _object(self, kind: str, rng: np.random.Generator) -> _Layer:
        """Build a moving object that is in the view at the middle plane of the recording."""
        spec = self.spec
        radius = min(self.size) * rng.uniform(0.1, 0.3)
        speed = spec.object_speed * spec.image_ratio
        if spec.depths and rng.random() < _STATIC:
            speed = 0.0
        origin = tuple(rng.uniform(-0.35, 0.35) * side for side in self.size[::-1])
        motion = random_motion(
            rng, spec.planes, speed, (radius, radius), origin=(origin[0], origin[1]), follow=True
        )
        side = 2 * math.ceil(1.5 * radius * _TEXELS) + 4
        name, _, image = kind.partition(":")
        if name == "cutout":
            pixels = cutout(image, side)[:, :, :: rng.choice([-1, 1])]
            return self._layer(pixels[:3], motion, rng, pixels[3:], 1.5 * radius)
        texture = make_texture(kind, (side, side), self._grain, rng)
        texture = _cropped(texture, side, rng)
        whole = slice(0, side)
        mask = coverage(leaf_outline(rng), radius * _TEXELS, (side / 2, side / 2), whole, whole)
        return self._layer(texture, motion, rng, mask[None], 1.5 * radius)

    def _seen_by_moving_camera(self) -> list[_Layer]:
        """Return the layers with the parallax and the shake of the camera."""
        spec, (background, *objects) = self.spec, self._layers
        camera = background.motion
        if spec.depths:  # a translation, to the side and forward
            camera = replace(camera, spin=0.0, spin_sway=0.0)
        rng = np.random.default_rng(np.random.SeedSequence([spec.seed, 6]))
        shake = hand_shake(rng, spec.planes, spec.shake * spec.image_ratio)
        motions = [replace(camera, outer=shake)]
        for layer, depth in zip(objects, spec.depths or (math.inf,) * len(objects), strict=True):
            motions.append(replace(layer.motion, outer=(camera.slowed(1 / depth), *shake)))
        pairs = zip(self._layers, motions, strict=True)
        return [layer._replace(motion=motion) for layer, motion in pairs]

    def _layer(
        self,
        texture: NDArray[np.float32],
        motion: Motion,
        rng: np.random.Generator,
        mask: NDArray[np.float32] | None = None,
        reach: float = 0.0,
        centre: tuple[float, float] = (0.0, 0.0),
    ) -> _Layer:
        """Build a layer from a texture: apply random tone and the mask."""
        if self.spec.tone:
            texture = _toned(texture, rng)
        if mask is not None:
            texture = texture * mask
        weights = np.array(GREY, dtype=np.float32)[:, None, None]
        grey = (texture * weights).sum(axis=0, keepdims=True)
        ends = [] if mask is None else [mask]
        colour, light = (
            torch.from_numpy(np.concatenate([channels, *ends]))[None]
            for channels in (texture, grey)
        )
        return _Layer(colour, light, motion, reach, centre)


def _high_contrast_centre(
    texture: NDArray[np.float32], size: tuple[int, int], rng: np.random.Generator
) -> tuple[float, float]:
    """Return the position with the highest contrast of the view among random candidates.

    Positions are x and y in pixels from the middle of the texture, with the view inside it.
    """
    free = [max(0, side - _TEXELS * n) for side, n in zip(texture.shape[1:], size, strict=True)]
    best, most = (0.0, 0.0), -1.0
    for _ in range(_CANDIDATES):
        top, left = (int(rng.integers(room + 1)) for room in free)
        view = texture[1, top : top + _TEXELS * size[0] : 4, left : left + _TEXELS * size[1] : 4]
        # rounded, because sums over a grating differ between processors
        if (contrast := round(float(view.std(dtype=np.float64)), 4)) > most:
            best, most = ((left - free[1] / 2) / _TEXELS, (top - free[0] / 2) / _TEXELS), contrast
    return best


def _cropped(
    texture: NDArray[np.float32], side: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return a random square crop of a texture; a texture that is too small is mirrored."""
    short = [max(0, side - length) for length in texture.shape[1:]]
    if any(short):
        texture = np.pad(texture, ((0, 0), (0, short[0]), (0, short[1])), mode="symmetric")
    top, left = (int(rng.integers(length - side + 1)) for length in texture.shape[1:])
    return texture[:, top : top + side, left : left + side]


def _toned(texture: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Apply a random gamma curve with random black and white levels."""
    low, high = rng.uniform(0.0, 0.08), rng.uniform(0.7, 1.0)
    gamma = math.exp(rng.uniform(-0.45, 0.45))
    first, last = 0.0, 1.0
    if rng.random() < 0.6:  # stretch the range of photographs with low contrast
        first, last = np.percentile(texture[:, ::4, ::4], [0.5, 99.5])
    levels = np.linspace(0.0, 1.0, 4097)
    stretched = np.clip((levels - first) / max(last - first, 0.05), 0.0, 1.0)
    return np.interp(texture, levels, low + (high - low) * stretched**gamma).astype(np.float32)
