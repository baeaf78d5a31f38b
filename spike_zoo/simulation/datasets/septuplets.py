"""Simulation of spikes from clips of seven frames (Vimeo-90K), with frames as ground truth."""

import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from spike_zoo.errors import FormatError, MediaError, MissingFileError
from spike_zoo.media.images import load_grey
from spike_zoo.simulation.camera.spike_camera import SpikeCamera
from spike_zoo.simulation.kinds.takes import FPS, simulated_meta
from spike_zoo.simulation.scenes.photographs import Split
from spike_zoo.spikes.take import Take
from spike_zoo.utils.files import plain_name

SEPTUPLET_SIMULATOR: Final = "spike_zoo.simulation septuplets v1"
FRAMES: Final = 7
FRAME_PLANES: Final = 7
"""Planes from one frame to the next; the first frame is one plane before plane 0."""

_FOLDERS: Final = ("", "vimeo_septuplet")
_LISTS: Final[dict[Split, str]] = {"train": "sep_trainlist.txt", "test": "sep_testlist.txt"}
_CLIP: Final = re.compile(r"\d{1,9}/\d{1,9}")
_VAL_SHARE: Final = 0.05


@dataclass(frozen=True)
class Septuplet:
    """A clip of seven frames, ``im1.png`` .. ``im7.png`` in a folder."""

    folder: Path  #: the folder
    seed: int = 0  #: seed of the camera's random draws
    rate_scale: float = 0.6  #: spikes per plane at white
    noise: str = "none"  #: noise preset of the camera

    @property
    def name(self) -> str:
        """Name of the recording, from video and clip."""
        return plain_name(f"{self.group}-{self.folder.name}")

    @property
    def group(self) -> str:
        """Group of seeded draws: the video."""
        return self.folder.parent.name

    @property
    def files(self) -> tuple[Path, ...]:
        """The frames."""
        return tuple(self.folder / f"im{number}.png" for number in range(1, FRAMES + 1))

    def take(self) -> Take:
        """Simulate 41 planes, with frames 2 .. 6 as ground truth at planes 6, 13, 20, 27, 34.

        Frames are converted to grey in 8 bits. The luminance of planes between two frames is a
        weighted mean of both frames.
        """
        frames = [load_grey(file) for file in self.files]
        for number, frame in enumerate(frames, start=1):
            if frame.shape != frames[0].shape:
                height, width = frames[0].shape
                raise MediaError(
                    f"{self.folder / f'im{number}.png'}: {frame.shape[0]}x{frame.shape[1]} pixels, "
                    f"im1.png has {height}x{width}",
                    path=str(self.folder),
                )
        sequence = np.random.SeedSequence([self.seed, zlib.crc32(self.name.encode())])
        camera = SpikeCamera(
            gain=self.rate_scale, noise=self.noise, generator=np.random.default_rng(sequence)
        )
        source = f"{self.group}/{self.folder.name}"
        meta = simulated_meta(SEPTUPLET_SIMULATOR, self.seed, source, noise=self.noise)
        planes = np.arange(1, FRAMES - 1) * FRAME_PLANES - 1
        recording = camera.record([blended_light(frames)], fps=FPS, meta=meta)
        return Take(recording, np.stack(frames[1:-1]), planes)


def blended_light(frames: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Return the luminance of planes as weighted means of the two nearest of N grey uint8 frames.

    Frame k is at plane 7 k - 1. The result is float32 ``(7 (N - 1) - 1, H, W)`` in [0, 1], up to
    the plane before the last frame.
    """
    light = np.empty(((len(frames) - 1) * FRAME_PLANES - 1, *frames[0].shape), np.float32)
    levels = [frame.astype(np.float32) / np.float32(255) for frame in frames]
    for plane in range(len(light)):
        first, step = divmod(plane + 1, FRAME_PLANES)
        share = np.float32(step / FRAME_PLANES)
        light[plane] = (np.float32(1) - share) * levels[first] + share * levels[first + 1]
    return light


def find_septuplets(folder: Path, seed: int, noise: str = "none") -> dict[Split, list[Septuplet]]:
    """Return the clips of ``sep_trainlist.txt`` and ``sep_testlist.txt`` by split.

    One of the two lists may be missing. The validation split has all clips of one in twenty of the
    training videos, drawn by the seed, as are the random values of the camera with this noise
    preset. The folder has the lists and ``sequences``, or is its parent.
    """
    home = next(
        (
            place
            for place in (folder / below for below in _FOLDERS)
            if any((place / name).is_file() for name in _LISTS.values())
        ),
        None,
    )
    if home is None:
        names = " nor ".join(_LISTS.values())
        raise MissingFileError(
            f"{folder}: neither {names} is there; the folder must hold Vimeo-90K's septuplets, see "
            "docs/data.md",
            path=str(folder / _LISTS["train"]),
        )
    clips = {
        split: [Septuplet(clip, seed, noise=noise) for clip in _listed(home, name)]
        for split, name in _LISTS.items()
    }
    val = _drawn_videos(clips["train"], seed)
    train = [clip for clip in clips["train"] if clip.group not in val]
    validation = [clip for clip in clips["train"] if clip.group in val]
    return {"train": train, "val": validation, "test": clips["test"]}


def _drawn_videos(clips: list[Septuplet], seed: int) -> set[str]:
    """Draw validation videos, at least one of two; clips of a video are similar."""
    videos = list(dict.fromkeys(clip.group for clip in clips))
    count = max(1, round(_VAL_SHARE * len(videos))) if len(videos) > 1 else 0
    sequence = np.random.SeedSequence([seed, zlib.crc32(b"val")])
    order = np.random.default_rng(sequence).permutation(len(videos))
    return {videos[number] for number in order[:count].tolist()}


def _listed(home: Path, name: str) -> list[Path]:
    """Return the folders of the clips in a list; empty if the list does not exist."""
    path = home / name
    if not path.is_file():
        return []
    clips = []
    for number, line in enumerate(path.read_text(encoding="ascii", errors="replace").splitlines()):
        text = line.strip()
        if not text:
            continue
        if not _CLIP.fullmatch(text):
            raise FormatError.at(
                path, f"line {number + 1} is {text[:40]!r}, expected a clip as 00001/0001"
            )
        clip = home / "sequences" / text
        if not clip.is_dir():
            raise MissingFileError.at(
                clip,
                f"this clip of line {number + 1} of {name} is missing; add it, or take the "
                "line out",
            )
        clips.append(clip)
    return clips
