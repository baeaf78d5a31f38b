"""Exposures made of sharp video, as S-SDM's GOPRO set was: frames inserted, averaged, fired."""

from __future__ import annotations

import itertools
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch.nn import functional

from spike_zoo.errors import MediaError, UsageError
from spike_zoo.formats.hdf5_writing import recording_name
from spike_zoo.media.frames import find_footage
from spike_zoo.nn.warp import sampling_grid, warp
from spike_zoo.simulation.camera.exposure import EXPOSURE_MARGIN, RATIO, ExposurePlanes
from spike_zoo.simulation.camera.spike_camera import ssdm_camera
from spike_zoo.simulation.kinds.takes import simulated_meta
from spike_zoo.simulation.scenes.photographs import SPLITS
from spike_zoo.simulation.scenes.textures import GREY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from spike_zoo.media.frames import FrameSource
    from spike_zoo.spikes import Take

    Images = NDArray[np.float32]
    Interpolator = Callable[[Images, Images, Sequence[float]], Images]

FOOTAGE_SIMULATOR: Final = "spike_zoo.simulation footage v2"
EXPOSED_FRAMES: Final = 13
"""Frames of the video per exposure; as many begin it as from one exposure to the next."""


@dataclass(frozen=True)
class Footage:
    """How exposures are made of a video.

    Attributes:
        inserted: Frames inserted between two of the video; 7 makes 97 planes of 13 frames.
        interpolation: ``"flow"`` along the optical flow, ``"blend"`` by weighted means.
        threshold: Firing threshold of S-SDM's camera: 2, 4 or 8; the paper's 1, 2, 4.
        noise: Noise preset of the camera.
        seed: Seed of the camera's chance.

    Source: Chen et al., *SpikeReveal*, NeurIPS 2024, which inserts frames by a network (XVFI).
    """

    inserted: int = 7
    interpolation: str = "flow"
    threshold: float = 2.0
    noise: str = "ssdm-v1"
    seed: int = 0

    @property
    def step(self) -> int:
        """Planes from one frame of the video to the next."""
        return self.inserted + 1

    @property
    def exposure(self) -> int:
        """Planes per exposure."""
        return (EXPOSED_FRAMES - 1) * self.step + 1

    def groups(self, frames: int) -> list[int]:
        """Return the exposures that a video holds with their margins; exposure g begins at 13 g."""
        last = (frames - 1) * self.step
        starts = ((g, g * EXPOSED_FRAMES * self.step) for g in range(frames // EXPOSED_FRAMES))
        return [
            group
            for group, start in starts
            if start >= EXPOSURE_MARGIN and start + self.exposure - 1 + EXPOSURE_MARGIN <= last
        ]

    def take(self, source: FrameSource, group: int, name: str, *, sharp: bool = True) -> Take:
        """Return one exposure with its spikes.

        Args:
            source: The video.
            group: Which exposure.
            name: Of the take, which no other of the archive has: its chance is its own.
            sharp: Whether sharp images are kept, frames 0, 2, .. 12 of the 13.

        Returns:
            137 planes with 7 inserted frames: 20, the exposure, 20. The blurry image is the mean
            of the exposure's frames of 8 bits; spikes are a quarter of its size. What does not
            fill a pixel of the spikes is cut off on the right and below.
        """
        first = group * EXPOSED_FRAMES * self.step - EXPOSURE_MARGIN
        length = self.exposure + 2 * EXPOSURE_MARGIN
        stride = 2 * self.step if sharp else 0
        exposed = ExposurePlanes(length, self.exposure, stride=stride)
        planes = self._planes(source, first, first + length)
        peeked = next(planes)
        entropy = [self.seed, zlib.crc32(name.encode()), group]
        chance = np.random.default_rng(np.random.SeedSequence(entropy))
        size = peeked.shape[2] // RATIO, peeked.shape[3] // RATIO
        draws = chance.random(size, np.float32)
        camera = ssdm_camera(draws, self.threshold, noise=self.noise, generator=chance)
        chunks = itertools.chain([peeked], planes)
        place = f"{source.path.name} from frame {group * EXPOSED_FRAMES}"
        meta = simulated_meta(FOOTAGE_SIMULATOR, self.seed, place)
        return exposed.record(chunks, camera, sampled_light, fps=source.fps * self.step, meta=meta)

    def _planes(self, source: FrameSource, first: int, last: int) -> Iterator[Images]:
        """Yield planes ``[first, last)``, those from one frame of the video to the next at once."""
        start, stop = first // self.step, -(-(last - 1) // self.step) + 1
        interpolate: Interpolator = INTERPOLATIONS[self.interpolation]
        frames = map(partial(_image, source.path), source.read(start, stop))
        for number, (image, following) in enumerate(itertools.pairwise(frames), start=start):
            if image.shape != following.shape:
                raise MediaError(f"{source.path}: frame {number + 1} has another size")
            wanted = range(max(first, number * self.step), min(last, (number + 1) * self.step))
            parts: Sequence[float] = [plane / self.step - number for plane in wanted]
            yield _in_8_bits(interpolate(image, following, parts))
            if (number + 1) * self.step == last - 1:
                yield following[None]


def footage_takes(
    video: str, footage: Footage, split: str | None
) -> dict[str, dict[str, Callable[[], Take]]]:
    """Return what makes the takes of a video, by split and name.

    Args:
        video: A video, a folder of images, or a folder of such.
        footage: How exposures are made.
        split: Split of all of them; else a first folder named train, val or test is it, and
            whatever lies elsewhere trains.
    """
    found: dict[str, dict[str, Callable[[], Take]]] = {}
    names: set[str] = set()
    sources = find_footage(video)
    for place, source in sources.items():
        first, *rest = PurePosixPath(place).parts
        stated = first if rest and first in SPLITS else None
        home = split or stated or "train"
        stem = "-".join(rest if stated else [first, *rest])
        for group in footage.groups(len(source)):
            middle = group * EXPOSED_FRAMES + EXPOSED_FRAMES // 2
            name = recording_name(f"{stem}-{middle:06d}")
            if name in names:
                raise UsageError(f"{video}: two videos would make {name!r}; rename one of them")
            names.add(name)
            job = partial(footage.take, source, group, name, sharp=home != "train")
            found.setdefault(home, {})[name] = job
    if not names:
        longest = max(len(source) for source in sources.values())
        raise UsageError(
            f"{video}: no exposure fits; the longest has {longest} frames, and one takes "
            f"{EXPOSED_FRAMES} frames with some before and after, from frame {EXPOSED_FRAMES} on"
        )
    return {split: found[split] for split in SPLITS if split in found}


def sampled_light(images: Images) -> Images:
    """Return the luminance as S-SDM's simulator samples it: four of sixteen pixels.

    A quarter of the size by bilinear sampling at pixels' centres, without filtering, is the mean
    of the middle two rows and columns of each 4 x 4 pixels.

    Args:
        images: R,G,B ``(T, 3, 4 H, 4 W)``.

    Returns:
        ``(T, H, W)``.
    """
    middle = (images[:, :, i::RATIO, j::RATIO] for i in (1, 2) for j in (1, 2))
    quarter = sum(middle, start=np.float32(0)) / np.float32(4)
    return np.einsum("c,tcyx->tyx", np.array(GREY, np.float32), quarter)


def _image(path: Path, frame: NDArray[np.uint8]) -> Images:
    """Return a frame as R,G,B ``(3, H, W)`` in [0, 1], cut to whole pixels of the spikes."""
    height, width = (side // RATIO * RATIO for side in frame.shape[:2])
    if not height or not width:
        raise MediaError(f"{path}: frames of {frame.shape[0]}x{frame.shape[1]} are too small")
    pixels = frame[:height, :width].transpose(2, 0, 1)
    return np.ascontiguousarray(pixels, dtype=np.float32) / np.float32(255)


def _in_8_bits(images: Images) -> Images:
    """Round to the levels that a video has."""
    return np.rint(images * np.float32(255)) / np.float32(255)


def blended_frames(first: Images, second: Images, fractions: Sequence[float]) -> Images:
    """Return weighted means of two frames; moving edges are doubled.

    Args:
        first: R,G,B ``(3, H, W)`` in [0, 1].
        second: The next frame.
        fractions: Of the way from one to the other, each in [0, 1): 0 is the first frame.

    Returns:
        ``(len(fractions), 3, H, W)`` in [0, 1].
    """
    place = np.array(fractions, np.float32)[:, None, None, None]
    return (1 - place) * first + place * second


def flowed_frames(first: Images, second: Images, fractions: Sequence[float]) -> Images:
    """Return frames as :func:`blended_frames`, in which everything has moved along the flow.

    Both frames are warped to the time between, along flows that both directions of the optical
    flow agree on, and blended; each counts the less there, the less its own two flows agree, as
    happens where something is hidden in the other.

    Source: the flow is TV-L1 (Zach, Pock and Bischof, 2007), the flows at a time between are those
    of Jiang et al., *Super SloMo*, CVPR 2018, Eq. (4).
    """
    if not any(fractions):
        return np.stack([first] * len(fractions))
    images = torch.from_numpy(np.stack([first, second]))
    there, back = _flow(first, second), _flow(second, first)
    trust_first, trust_second = _trust(there, back), _trust(back, there)
    frames = []
    for part in fractions:
        rest = 1.0 - part
        # flows that start at the time between, where no frame is to measure one: motion is even
        to_first = -rest * part * there + part**2 * back
        to_second = rest**2 * there - rest * part * back
        of_first = rest * warp(trust_first, to_first)
        of_second = part * warp(trust_second, to_second)
        seen = of_first * _moved(images[:1], to_first) + of_second * _moved(images[1:], to_second)
        frames.append((seen / (of_first + of_second))[0].clamp(0.0, 1.0).numpy())
    return np.stack(frames)


def _flow(first: Images, second: Images) -> Tensor:
    """Return where each pixel of the first frame is in the second, ``(1, 2, H, W)``, x and y."""
    from skimage.registration import optical_flow_tvl1

    grey = [np.tensordot(np.array(GREY, np.float32), image, 1) for image in (first, second)]
    # fewer iterations than usual: a third of the time, frames as good to 0.1 dB
    down, right = optical_flow_tvl1(*grey, num_warp=3, num_iter=5, dtype=np.float32)
    return torch.from_numpy(np.stack([right, down])[None].astype(np.float32))


def _moved(image: Tensor, flow: Tensor) -> Tensor:
    """Return an image sampled where the flow points; cubic, for linear sampling blurs."""
    return functional.grid_sample(
        image, sampling_grid(flow), mode="bicubic", padding_mode="border", align_corners=True
    )


def _trust(there: Tensor, back: Tensor) -> Tensor:
    """Return how well going there and back leads home, ``(1, 1, H, W)`` in (0, 1]."""
    missed = (there + warp(back, there)).square().sum(1, keepdim=True)
    return 1.0 / (1.0 + missed)


#: What the command line calls them.
INTERPOLATIONS: Final[Mapping[str, Interpolator]] = {
    "flow": flowed_frames,
    "blend": blended_frames,
}
