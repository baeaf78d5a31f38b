"""Smooth motion of scene layers: translation, rotation and zoom at every plane."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_ZOOM: Final = 0.18
"""Largest logarithm of a layer's magnification, so that the texture is sampled densely enough."""

_DIGITS: Final = 12
"""Decimals to which results of numpy are rounded; further ones differ between processors."""

_FPS: Final = 20000.0  # planes per second
_ROLL_RADIUS: Final = 100.0  # pixels from the centre at which roll is as fast as translation

_CORNERS: Final = np.array([(0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)], dtype=np.float64)


class Pose(NamedTuple):
    """Position of a layer: its point q appears at ``exp(zoom) R(angle) q + (x, y)``."""

    x: float
    y: float
    angle: float
    zoom: float

    @property
    def inverse(self) -> tuple[float, float, float, float, float, float]:
        """Return a, b, c, d, e, f with ``q = (a x + b y + c, d x + e y + f)``."""
        shrink = math.exp(-self.zoom)
        cos, sin = shrink * math.cos(self.angle), shrink * math.sin(self.angle)
        shift = -(cos * self.x + sin * self.y), sin * self.x - cos * self.y
        return cos, sin, shift[0], -sin, cos, shift[1]

    def after(self, inner: Pose) -> Pose:
        """Return the pose of a layer that is at ``inner`` in a frame at this pose."""
        size = math.exp(self.zoom)
        cos, sin = size * math.cos(self.angle), size * math.sin(self.angle)
        x, y = cos * inner.x - sin * inner.y, sin * inner.x + cos * inner.y
        return Pose(x + self.x, y + self.y, inner.angle + self.angle, inner.zoom + self.zoom)


@dataclass(frozen=True)
class Motion:
    """Translation with acceleration and sway, rotation with sway, and a breathing zoom.

    Lengths are in pixels, angles in radians, times in planes counted from ``middle``, where the
    layer is at ``origin``.
    """

    origin: tuple[float, float] = (0.0, 0.0)  #: position at the middle plane
    velocity: tuple[float, float] = (0.0, 0.0)  #: steady part of the velocity
    acceleration: tuple[float, float] = (0.0, 0.0)  #: steady acceleration
    sway: tuple[float, float] = (0.0, 0.0)  #: amplitude of the sinusoidal part of the position
    spin: float = 0.0  #: steady part of the angular velocity
    spin_sway: float = 0.0  #: amplitude of the sinusoidal part of the angle
    zoom_sway: float = 0.0  #: amplitude of the sinusoidal logarithm of the magnification
    period: float = 100.0  #: planes per oscillation
    #: phases of the sway in x and y, of the angle and of the zoom
    phases: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    middle: float = 0.0  #: plane at which everything but the origin is 0
    #: motions of the frame in which the layer moves, one after the other; :meth:`slowed` keeps them
    outer: tuple[Motion, ...] = ()

    def pose(self, plane: float) -> Pose:
        """Return the pose of the layer at a plane; fractional planes are allowed."""
        time = plane - self.middle
        turn = 2.0 * math.pi * time / self.period
        waves = [math.sin(turn + phase) - math.sin(phase) for phase in self.phases]
        x, y = (
            self.origin[axis]
            + self.velocity[axis] * time
            + 0.5 * self.acceleration[axis] * time * time
            + self.sway[axis] * waves[axis]
            for axis in (0, 1)
        )
        zoom = self.zoom_sway * 0.5 * waves[3]  # a sine minus its initial value reaches 2
        pose = Pose(x, y, self.spin * time + self.spin_sway * waves[2], zoom)
        for motion in self.outer:
            pose = motion.pose(plane).after(pose)
        return pose

    def slowed(self, factor: float) -> Motion:
        """Return the same kind of motion with every speed multiplied by ``factor``."""
        return replace(
            self,
            velocity=(self.velocity[0] * factor, self.velocity[1] * factor),
            acceleration=(self.acceleration[0] * factor, self.acceleration[1] * factor),
            sway=(self.sway[0] * factor, self.sway[1] * factor),
            spin=self.spin * factor,
            spin_sway=self.spin_sway * factor,
            zoom_sway=min(self.zoom_sway * factor, MAX_ZOOM),
        )

    def peak_speed(
        self, planes: int, half_size: tuple[float, float], *, follow: bool = False
    ) -> float:
        """Return the largest displacement between consecutive planes, in pixels per plane.

        Args:
            planes: Planes of the recording.
            half_size: Half the width and height of the rectangle whose centre and corners are
                tracked.
            follow: Whether the rectangle moves with the layer (an object) instead of the view.
        """
        poses = np.array([self.pose(plane) for plane in range(planes)])
        rotation = _rotations(poses)
        shift = poses[:, None, :2]
        tracked = _CORNERS * np.asarray(half_size) + (shift if follow else 0.0)
        points = np.einsum("tij,tkj->tki", np.linalg.inv(rotation), tracked - shift)
        later = np.einsum("tij,tkj->tki", rotation[1:], points[:-1]) + shift[1:]
        moved = later - np.broadcast_to(tracked, points.shape)[:-1]
        fastest = float(np.hypot(moved[..., 0], moved[..., 1]).max(initial=0.0))
        return round(fastest, _DIGITS)


def _rotations(poses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrices ``exp(zoom) R(angle)`` of poses ``(T, 4)``, ``(T, 2, 2)``."""
    size = np.exp(poses[:, 3])
    cos, sin = size * np.cos(poses[:, 2]), size * np.sin(poses[:, 2])
    rotations = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    return np.round(rotations, _DIGITS)


def random_motion(
    rng: np.random.Generator,
    planes: int,
    speed: float,
    half_size: tuple[float, float],
    *,
    origin: tuple[float, float] = (0.0, 0.0),
    follow: bool = False,
) -> Motion:
    """Draw a smooth motion with a peak speed of ``speed`` pixels per plane, never more.

    Args:
        rng: Random generator.
        planes: Planes of the recording.
        speed: Peak speed of the rectangle's centre and corners; 0 is no motion.
        half_size: Half the width and height of the rectangle.
        origin: Position at the middle plane.
        follow: Whether the rectangle moves with the layer (an object) instead of the view.
    """
    motion = _drawn_motion(rng, planes, math.hypot(*half_size), origin)
    if speed <= 0.0:
        return motion.slowed(0.0)
    for _ in range(4):  # the peak speed is only approximately proportional to the factor
        peak = motion.peak_speed(planes, half_size, follow=follow)
        motion = motion.slowed(speed / max(peak, 1e-9))
    while motion.peak_speed(planes, half_size, follow=follow) > speed:
        motion = motion.slowed(0.99)
    return motion


def hand_shake(rng: np.random.Generator, planes: int, speed: float) -> tuple[Motion, ...]:
    """Draw the shake of a hand-held camera: three oscillations of translation and roll.

    Physiological tremor has its power at 8 to 12 Hz (Elble and Randall, *Mechanistic components of
    normal hand tremor*, 1978). It is 20 times as fast here, because 200 planes at 20,000 planes
    per second would contain a straight line of it. ``speed`` is the largest speed of an oscillation
    along an axis, in pixels per plane.
    """
    motions = []
    for period in (_FPS / (20.0 * rng.uniform(8.0, 12.0, 3))).tolist():
        sway = (rng.uniform(-1.0, 1.0, 3) * speed * period / (2.0 * math.pi)).tolist()
        phases = tuple(rng.uniform(0.0, 2.0 * math.pi, 4).tolist())
        spin = sway[2] / _ROLL_RADIUS
        motion = Motion(sway=(sway[0], sway[1]), spin_sway=spin, period=period, phases=phases)
        motions.append(replace(motion, middle=(planes - 1) / 2.0))
    return tuple(motions)


def _drawn_motion(
    rng: np.random.Generator, planes: int, radius: float, origin: tuple[float, float]
) -> Motion:
    """Draw translation, rotation and zoom with about equal speeds at a distance of ``radius``."""
    heading = rng.uniform(0.0, 2.0 * math.pi)
    turning = heading + rng.uniform(-1.0, 1.0)
    period = rng.uniform(0.4, 1.6) * max(planes, 60)
    bend = rng.uniform(0.0, 1.0) / planes
    sway = rng.uniform(0.0, 0.6) * period / (2.0 * math.pi)
    return Motion(
        origin=origin,
        velocity=(math.cos(heading), math.sin(heading)),
        acceleration=(bend * math.cos(turning), bend * math.sin(turning)),
        sway=(sway * rng.uniform(-1.0, 1.0), sway * rng.uniform(-1.0, 1.0)),
        spin=rng.uniform(-0.35, 0.35) / radius,
        spin_sway=rng.uniform(-0.3, 0.3) * period / (2.0 * math.pi * radius),
        zoom_sway=rng.uniform(0.0, 0.5) * period / (2.0 * math.pi * radius),
        period=period,
        phases=tuple(rng.uniform(0.0, 2.0 * math.pi, 4).tolist()),
        middle=(planes - 1) / 2.0,
    )
