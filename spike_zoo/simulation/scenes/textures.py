"""Band-limited textures of scenes: photographs, dead leaves, fractal noise, patterns and text."""

import functools
import math
from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch.nn import functional

from spike_zoo.simulation.scenes.photographs import photograph

Texture = NDArray[np.float32]
Angles = NDArray[np.float64]

GREY: Final = (0.30, 0.59, 0.11)
"""Weights of R, G and B in the luminance, as in S-SDM's simulator."""

_MAX_SIZE: Final = 3584  # largest side of a photograph in texels; crops nothing at 2 per pixel
_LEAVES: Final = 2500
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,;:-&"


def make_texture(
    kind: str, size: tuple[int, int], texels: float, rng: np.random.Generator
) -> Texture:
    """Return a texture, R,G,B ``(3, h, w)`` in [0, 1].

    Args:
        kind: ``photo:NAME``, ``leaves`` (occluding leaves of scale-free sizes), ``leaves:A+B``
            (leaves cut from photographs too), ``noise``, ``stripes``, ``checker`` or ``text``.
        size: Height and width in texels; a photograph may be larger or smaller.
        texels: Texels per spike-camera pixel.
        rng: Random generator.

    Raises:
        ValueError: If the kind does not exist.
    """
    name, _, photographs = kind.partition(":")
    if name == "photo":
        return photo_texture(photographs, texels, rng)
    if name == "leaves":
        return dead_leaves(size, texels, rng, tuple(filter(None, photographs.split("+"))))
    makers: dict[str, Callable[..., Texture]] = {
        "noise": fractal_noise,
        "stripes": stripes,
        "checker": functools.partial(stripes, crossed=True),
        "text": text,
    }
    if name not in makers or photographs:
        kinds = ["photo:NAME", "leaves", "leaves:NAME+NAME", *makers]
        raise ValueError(f"no texture is called {kind!r}; there are {kinds}")
    return makers[name](size, texels, rng)


def photo_texture(name: str, texels: float, rng: np.random.Generator) -> Texture:
    """Return a photograph at a random magnification, with random horizontal mirroring.

    One spike-camera pixel covers 0.8 to 1.8 pixels of the photograph. A photograph with more than
    3584 texels along an axis is cropped at random to this size.
    """
    image = photograph(name)
    density = texels / rng.uniform(0.8, 1.8)
    if rng.random() < 0.5:
        image = image[:, :, ::-1]
    # crop before resizing, which is faster
    for axis in (1, 2):
        spare = image.shape[axis] - math.floor(_MAX_SIZE / density)
        if spare > 0:
            first = int(rng.integers(spare + 1))
            image = image.take(range(first, first + image.shape[axis] - spare), axis)
    return _resized(image, tuple(max(16, round(side * density)) for side in image.shape[1:]))


def fractal_noise(
    size: tuple[int, int], texels: float, rng: np.random.Generator, finest: float = 2.5
) -> Texture:
    """Return fractal value noise; the amplitude decreases from coarse to fine octaves.

    ``size`` is height and width in texels, ``texels`` the texels per pixel, ``finest`` the cell
    size of the finest octave in pixels.
    """
    roughness = rng.uniform(0.45, 0.85)
    cells = max(size) / (finest * texels)
    octaves = max(1, math.floor(math.log2(cells)))
    total = np.zeros((3, *size), dtype=np.float32)
    for octave in range(octaves + 1):
        count = cells / 2 ** (octaves - octave)
        shape = tuple(max(2, math.ceil(count * side / max(size))) + 1 for side in size)
        grid = rng.standard_normal((3, *shape), dtype=np.float32)
        grid = 0.85 * grid[:1] + 0.35 * grid  # mostly grey, some colour
        total += np.float32(roughness**octave) * _resized(grid, size, clip=False)
    return _stretched(total, rng)


def stripes(
    size: tuple[int, int], texels: float, rng: np.random.Generator, *, crossed: bool = False
) -> Texture:
    """Return a grating, or a checkerboard, of two uneven colours with soft-edged bars."""
    y, x = _coordinates(size)
    angle = rng.uniform(0.0, math.pi)
    bars = _bars(math.cos(angle) * x + math.sin(angle) * y, texels * rng.uniform(5.0, 28.0), rng)
    if crossed:
        other = _bars(
            -math.sin(angle) * x + math.cos(angle) * y, texels * rng.uniform(5.0, 28.0), rng
        )
        bars = bars + other - 2.0 * bars * other
    light, dark = (fractal_noise(size, texels, rng, finest) for finest in (12.0, 6.0))
    light, dark = 0.55 + 0.45 * light, 0.4 * dark
    return np.ascontiguousarray(dark + bars[None] * (light - dark), dtype=np.float32)


def text(size: tuple[int, int], texels: float, rng: np.random.Generator) -> Texture:
    """Return lines of random letters on clouded paper, dark on bright or bright on dark."""
    ink = Image.new("L", (size[1], size[0]))
    draw = ImageDraw.Draw(ink)
    top = 0.0
    while top < size[0]:
        height = texels * rng.choice([8.0, 12.0, 18.0, 30.0])
        line = "".join(rng.choice(list(_LETTERS + 12 * " "), math.ceil(3 * size[1] / height)))
        draw.text((0, top), line, fill=255, font=ImageFont.load_default(height))
        top += 1.3 * height
    paper = 0.6 + 0.4 * fractal_noise(size, texels, rng, 10.0)
    covered = np.asarray(ink, dtype=np.float32)[None] / 255
    page = paper * (1.0 - np.float32(rng.uniform(0.7, 1.0)) * covered)
    return np.ascontiguousarray(1.0 - page if rng.random() < 0.3 else page, dtype=np.float32)


def dead_leaves(
    size: tuple[int, int],
    texels: float,
    rng: np.random.Generator,
    photographs: tuple[str, ...] = (),
) -> Texture:
    """Return a dead-leaves texture of occluding shapes with scale-free sizes.

    The radius has density r^-3; the smallest radius is 2 to 6 pixels, the largest a third of the
    texture. This reproduces spectrum, edges and occlusions of natural images. A leaf has a uniform
    colour, fractal noise or a piece of a photograph, and a gradient of illumination.

    Source: Lee, Mumford and Huang, *Occlusion models for natural images*, IJCV 2001.
    """
    clouds = fractal_noise(size, texels, rng)
    fills = [clouds, *(photo_texture(name, texels, rng) for name in photographs)]
    image = np.zeros((3, *size), dtype=np.float32)
    uncovered = np.ones(size, dtype=np.float32)
    low, high = rng.uniform(2.0, 6.0) * texels, max(size) / 3.0
    for radius in _scale_free(low, high, _LEAVES, rng):
        centre = rng.uniform(0.0, size[0]), rng.uniform(0.0, size[1])
        shape, colour = leaf_outline(rng), _leaf_colour(rng)
        fill = fills[rng.integers(len(fills))] if rng.random() < 0.75 else None
        offset = rng.uniform(0.0, 1.0, 2)
        rows, columns = (_span(c, 1.5 * radius, side) for c, side in zip(centre, size, strict=True))
        free = uncovered[rows, columns]
        # drawn from front to back, so that hidden leaves are skipped
        if not free.size or free.max() < 1e-3:
            continue
        alpha = coverage(shape, radius, centre, rows, columns) * free
        value = _leaf_fill(fill, colour, offset, free.shape) * _slope(free.shape, rng)
        image[:, rows, columns] += alpha[None] * value
        free -= alpha
    return np.ascontiguousarray(np.clip(image + uncovered[None] * clouds, 0.0, 1.0))


def leaf_outline(rng: np.random.Generator) -> Callable[[Angles], Angles]:
    """Draw a star-shaped outline: a function from angle to relative radius, at most 1.5."""
    kind = rng.integers(3)
    turn, stretch = rng.uniform(0.0, 2.0 * math.pi), rng.uniform(1.0, 2.0)
    if kind == 0:  # an ellipse

        def outline(angle: Angles) -> Angles:
            cos, sin = np.cos(angle - turn), np.sin(angle - turn)
            return 1.3 / np.sqrt(cos**2 + (stretch * sin) ** 2)

    elif kind == 1:  # a polygon with even sides
        sides = int(rng.integers(3, 8))

        def outline(angle: Angles) -> Angles:
            within = np.mod(angle - turn, 2.0 * math.pi / sides) - math.pi / sides
            return 1.3 * math.cos(math.pi / sides) / np.cos(within)

    else:  # a blob
        waves = rng.uniform(0.0, 0.35, 4) / np.arange(1, 5)
        phases = rng.uniform(0.0, 2.0 * math.pi, 4)

        def outline(angle: Angles) -> Angles:
            bumps = np.zeros_like(angle)
            for wave in range(4):
                bumps += waves[wave] * np.cos((wave + 2) * angle + phases[wave])
            return np.clip(0.9 + bumps, 0.3, 1.5)

    return outline


def coverage(
    outline: Callable[[Angles], Angles],
    radius: float,
    centre: tuple[float, float],
    rows: slice,
    columns: slice,
) -> Texture:
    """Return the coverage of each texel by a shape, in [0, 1], for a window of texels."""
    y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + np.float32(0.5 - centre[0])
    x = np.arange(columns.start, columns.stop, dtype=np.float32)[None] + np.float32(0.5 - centre[1])
    # in float64, because numpy's float32 functions differ between processors in the last digit
    inside = radius * outline(np.arctan2(y, x, dtype=np.float64)) - np.hypot(x, y)
    return np.clip(inside.astype(np.float32) + np.float32(0.5), 0.0, 1.0)


def _leaf_fill(
    fill: Texture | None, colour: Texture, offset: NDArray[np.float64], shape: tuple[int, ...]
) -> Texture:
    """Return the fill of a leaf: its colour, or a piece of a texture tinted with its colour."""
    if fill is None:
        return np.broadcast_to(colour[:, None, None], (3, *shape))
    rows, columns = (min(n, side) for n, side in zip(shape, fill.shape[1:], strict=True))
    top = int(offset[0] * (fill.shape[1] - rows))
    left = int(offset[1] * (fill.shape[2] - columns))
    piece = fill[:, top : top + rows, left : left + columns]
    missing = shape[0] - rows, shape[1] - columns
    if any(missing):
        piece = np.pad(piece, ((0, 0), (0, missing[0]), (0, missing[1])), mode="wrap")
    # half of the colour's saturation, so that the piece keeps its hue
    hue = 0.5 + 0.5 * colour / max(float(colour.max()), 1e-3)
    tint = hue * (0.3 + 1.1 * float(colour.max()))
    return piece * tint[:, None, None].astype(np.float32)


def _slope(shape: tuple[int, ...], rng: np.random.Generator) -> Texture:
    """Return a linear gradient of illumination across a window, with mean 1."""
    down, right = rng.uniform(-0.4, 0.4, 2)
    y, x = (np.linspace(-a, a, n) for a, n in zip((down, right), shape, strict=True))
    return (1.0 + y[:, None] + x[None]).astype(np.float32)


def _leaf_colour(rng: np.random.Generator) -> Texture:
    """Draw a colour; dark and bright colours are slightly more frequent than medium ones."""
    lightness = rng.beta(0.8, 0.8)
    return np.clip(lightness * (1.0 + 0.25 * rng.standard_normal(3)), 0.0, 1.0).astype(np.float32)


def _scale_free(low: float, high: float, count: int, rng: np.random.Generator) -> Texture:
    """Draw lengths with density r^-3 in [low, high]."""
    uniform = rng.random(count)
    return ((uniform * high**-2.0 + (1.0 - uniform) * low**-2.0) ** -0.5).astype(np.float32)


def _span(centre: float, reach: float, side: int) -> slice:
    """Return the range of texels within a distance of a centre, clipped to the texture."""
    return slice(max(0, math.floor(centre - reach)), max(0, min(side, math.ceil(centre + reach))))


def _bars(position: Texture, period: float, rng: np.random.Generator) -> Texture:
    """Return bars along a coordinate in texels, with edges two texels wide."""
    duty = rng.uniform(0.3, 0.7)
    within = np.abs(np.mod(position, period) - period / 2.0)
    return np.clip((duty * period / 2.0 - within) / 2.0 + 0.5, 0.0, 1.0).astype(np.float32)


def _coordinates(size: tuple[int, int]) -> tuple[Texture, Texture]:
    """Return the coordinates of texel centres, y ``(h, 1)`` and x ``(1, w)``."""
    y, x = (np.arange(side, dtype=np.float32) + np.float32(0.5) for side in size)
    return y[:, None], x[None]


def _stretched(values: Texture, rng: np.random.Generator) -> Texture:
    """Map values to [0, 1] by random low and high percentiles; few values are clipped."""
    low, high = np.percentile(values[:, ::4, ::4], [rng.uniform(0.5, 4.0), rng.uniform(96.0, 99.5)])
    return np.clip((values - low) / max(high - low, 1e-6), 0.0, 1.0).astype(np.float32)


def _resized(image: Texture, size: tuple[int, ...], *, clip: bool = True) -> Texture:
    """Resize ``(3, h, w)`` by bicubic interpolation, with anti-aliasing for reduction."""
    tensor = torch.from_numpy(np.array(image))[None]  # a copy: photographs are read-only
    resized = functional.interpolate(
        tensor, size=size, mode="bicubic", align_corners=False, antialias=True
    )
    return resized[0].clamp(0.0, 1.0).numpy() if clip else resized[0].numpy()
