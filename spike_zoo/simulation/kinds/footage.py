"""Blurry exposures and spikes from interpolated sharp video, as in S-SDM's GOPRO set."""

import itertools
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from spike_zoo.errors import MediaError, UsageError
from spike_zoo.media.frames import FrameSource, find_footage
from spike_zoo.nn.warp import sampling_grid, warp
from spike_zoo.simulation.camera.exposure import EXPOSURE_MARGIN, RATIO, ExposurePlanes
from spike_zoo.simulation.camera.spike_camera import ssdm_camera
from spike_zoo.simulation.kinds.takes import simulated_meta
from spike_zoo.simulation.scenes.photographs import SPLITS
from spike_zoo.simulation.scenes.textures import GREY
from spike_zoo.spikes.take import Take
from spike_zoo.utils.files import plain_name

Images = NDArray[np.float32]
Interpolator = Callable[[Images, Images, Sequence[float]], Images]

FOOTAGE_SIMULATOR: Final = "spike_zoo.simulation footage v2"
EXPOSED_FRAMES: Final = 13
"""Frames of the video per exposure, and from the start of one exposure to the next."""


@dataclass(frozen=True)
class Footage:
    """Simulation of exposures from a video.

    Source: Chen et al., *SpikeReveal*, NeurIPS 2024, which interpolates with a network (XVFI).
    """

    #: interpolated frames between two frames of the video; 7 makes 97 planes of 13 frames
    inserted: int = 7
    interpolation: str = "flow"  #: ``"flow"`` along the optical flow, ``"blend"`` by weighted means
    threshold: float = 2.0  #: firing threshold of S-SDM's camera: 2, 4 or 8; the paper's 1, 2, 4
    noise: str = "ssdm-v1"  #: noise preset of the camera
    seed: int = 0  #: seed of the camera's random draws

    @property
    def step(self) -> int:
        """Planes from one frame of the video to the next."""
        return self.inserted + 1

    @property
    def exposure(self) -> int:
        """Planes per exposure."""
        return (EXPOSED_FRAMES - 1) * self.step + 1

    def groups(self, frames: int) -> list[int]:
        """Return the indices of exposures that fit into a video with margins.

        Exposure g starts at frame 13 g.
        """
        last = (frames - 1) * self.step
        starts = ((g, g * EXPOSED_FRAMES * self.step) for g in range(frames // EXPOSED_FRAMES))
        return [
            group
            for group, start in starts
            if start >= EXPOSURE_MARGIN and start + self.exposure - 1 + EXPOSURE_MARGIN <= last
        ]

    def take(self, source: FrameSource, group: int, name: str, *, sharp: bool = True) -> Take:
        """Return one exposure with its spikes.

        With 7 inserted frames it has 137 planes: 20 before the exposure, 97, 20 after it. The
        blurry image is the mean of the exposure's 8-bit frames. Spikes have a quarter of its height
        and width. Image columns on the right and rows at the bottom that do not fill a spike-camera
        pixel are cropped. ``sharp`` stores sharp images, frames 0, 2, .. 12 of the 13. The name is
        unique in the archive and also seeds the camera.
        """
        first = group * EXPOSED_FRAMES * self.step - EXPOSURE_MARGIN
        length = self.exposure + 2 * EXPOSURE_MARGIN
        stride = 2 * self.step if sharp else 0
        exposed = ExposurePlanes(length, self.exposure, stride=stride)
        planes = self._planes(source, first, first + length)
        first_chunk = next(planes)
        entropy = [self.seed, zlib.crc32(name.encode()), group]
        chance = np.random.default_rng(np.random.SeedSequence(entropy))
        size = first_chunk.shape[2] // RATIO, first_chunk.shape[3] // RATIO
        draws = chance.random(size, np.float32)
        camera = ssdm_camera(draws, self.threshold, noise=self.noise, generator=chance)
        chunks = itertools.chain([first_chunk], planes)
        place = f"{source.path.name} from frame {group * EXPOSED_FRAMES}"
        meta = simulated_meta(FOOTAGE_SIMULATOR, self.seed, place)
        return exposed.record(chunks, camera, sampled_light, fps=source.fps * self.step, meta=meta)

    def _planes(self, source: FrameSource, first: int, last: int) -> Iterator[Images]:
        """Yield planes ``[first, last)`` in chunks from one frame of the video to the next."""
        start, stop = first // self.step, -(-(last - 1) // self.step) + 1
        interpolate: Interpolator = INTERPOLATIONS[self.interpolation]
        frames = map(partial(_image, source.path), source.read(start, stop))
        for number, (image, following) in enumerate(itertools.pairwise(frames), start=start):
            if image.shape != following.shape:
                raise MediaError(f"{source.path}: frame {number + 1} has another size")
            planes = range(max(first, number * self.step), min(last, (number + 1) * self.step))
            times: Sequence[float] = [plane / self.step - number for plane in planes]
            images = interpolate(image, following, times)
            yield np.rint(images * np.float32(255)) / np.float32(255)  # 8-bit levels, as in a video
            if (number + 1) * self.step == last - 1:
                yield following[None]


def footage_takes(video: str, footage: Footage) -> dict[str, dict[str, Callable[[], Take]]]:
    """Return functions that simulate the takes of videos, by split and name.

    A video is a file or a folder of images; ``video`` is one of them or a folder with several. Its
    top folder is the split if its name is train, val or test; all others belong to train.
    """
    takes: dict[str, dict[str, Callable[[], Take]]] = {}
    names: set[str] = set()
    sources = find_footage(video)
    for place, source in sources.items():
        first, *rest = PurePosixPath(place).parts
        named_split = first if rest and first in SPLITS else None
        take_split = named_split or "train"
        stem = "-".join(rest if named_split else [first, *rest])
        for group in footage.groups(len(source)):
            middle = group * EXPOSED_FRAMES + EXPOSED_FRAMES // 2
            name = plain_name(f"{stem}-{middle:06d}")
            if name in names:
                raise UsageError(f"{video}: two videos would make {name!r}; rename one of them")
            names.add(name)
            job = partial(footage.take, source, group, name, sharp=take_split != "train")
            takes.setdefault(take_split, {})[name] = job
    if not names:
        longest = max(len(source) for source in sources.values())
        raise UsageError(
            f"{video}: no exposure fits; the longest video has {longest} frames. An exposure needs "
            f"{EXPOSED_FRAMES} frames from frame {EXPOSED_FRAMES} or later, and further frames "
            "before and after it"
        )
    return {split: takes[split] for split in SPLITS if split in takes}


def sampled_light(images: Images) -> Images:
    """Return the luminance of R,G,B ``(T, 3, 4 H, 4 W)``, sampled as in S-SDM's simulator.

    Bilinear sampling at pixel centres without an anti-aliasing filter is the mean of the middle two
    rows and columns of each 4 x 4 pixels. The result is ``(T, H, W)``.
    """
    middle = (images[:, :, i::RATIO, j::RATIO] for i in (1, 2) for j in (1, 2))
    quarter = sum(middle, start=np.float32(0)) / np.float32(4)
    return np.einsum("c,tcyx->tyx", np.array(GREY, np.float32), quarter)


def _image(path: Path, frame: NDArray[np.uint8]) -> Images:
    """Return a frame as R,G,B ``(3, H, W)`` in [0, 1], cropped to whole spike-camera pixels."""
    height, width = (side // RATIO * RATIO for side in frame.shape[:2])
    if not height or not width:
        raise MediaError(f"{path}: frames of {frame.shape[0]}x{frame.shape[1]} are too small")
    pixels = frame[:height, :width].transpose(2, 0, 1)
    return np.ascontiguousarray(pixels, dtype=np.float32) / np.float32(255)


def blended_frames(first: Images, second: Images, fractions: Sequence[float]) -> Images:
    """Interpolate two frames by weighted means; moving edges appear twice.

    Frames are R,G,B ``(3, H, W)`` in [0, 1], the result is ``(len(fractions), 3, H, W)``. Fractions
    are times in [0, 1); 0 is the first frame.
    """
    times = np.array(fractions, np.float32)[:, None, None, None]
    return (1 - times) * first + times * second


def flowed_frames(first: Images, second: Images, fractions: Sequence[float]) -> Images:
    """Interpolate two frames along the optical flow; arguments as in :func:`blended_frames`.

    Both frames are warped to the intermediate time and blended. The weight of a frame decreases
    with its forward-backward inconsistency of flow, which occurs at occlusions.

    Source: TV-L1 flow (Zach, Pock and Bischof, 2007); intermediate flows of Jiang et al.,
    *Super SloMo*, CVPR 2018, Eq. (4).
    """
    if not any(fractions):
        return np.stack([first] * len(fractions))
    images = torch.from_numpy(np.stack([first, second]))
    forward, backward = _flow(first, second), _flow(second, first)
    trust_first, trust_second = _consistency(forward, backward), _consistency(backward, forward)
    frames = []
    for time in fractions:
        remaining = 1.0 - time
        # intermediate flows are approximated from both flows, assuming constant velocity
        to_first = -remaining * time * forward + time**2 * backward
        to_second = remaining**2 * forward - remaining * time * backward
        weight_first = remaining * warp(trust_first, to_first)
        weight_second = time * warp(trust_second, to_second)
        weighted = weight_first * _warped(images[:1], to_first) + weight_second * _warped(
            images[1:], to_second
        )
        frames.append((weighted / (weight_first + weight_second))[0].clamp(0.0, 1.0).numpy())
    return np.stack(frames)


def _flow(first: Images, second: Images) -> Tensor:
    """Estimate optical flow from the first to the second frame, ``(1, 2, H, W)``, x and y."""
    from skimage.registration import optical_flow_tvl1

    grey = [np.tensordot(np.array(GREY, np.float32), image, 1) for image in (first, second)]
    # fewer iterations than the default: a third of the time, PSNR of frames within 0.1 dB
    down, right = optical_flow_tvl1(*grey, num_warp=3, num_iter=5, dtype=np.float32)
    return torch.from_numpy(np.stack([right, down])[None].astype(np.float32))


def _warped(image: Tensor, flow: Tensor) -> Tensor:
    """Warp an image backward along a flow; bicubic, because bilinear sampling blurs."""
    return functional.grid_sample(
        image, sampling_grid(flow), mode="bicubic", padding_mode="border", align_corners=True
    )


def _consistency(forward: Tensor, backward: Tensor) -> Tensor:
    """Return the forward-backward consistency of two flows, ``(1, 1, H, W)`` in (0, 1]."""
    error = (forward + warp(backward, forward)).square().sum(1, keepdim=True)
    return 1.0 / (1.0 + error)


#: Interpolations by their name on the command line.
INTERPOLATIONS: Final[Mapping[str, Interpolator]] = {"flow": flowed_frames, "blend": blended_frames}
