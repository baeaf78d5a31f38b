"""Samples of recordings without images: training targets and held-out spikes."""

import functools
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spike_zoo.archive.contents import Facts
from spike_zoo.archive.reader import SpikeArchive
from spike_zoo.checkpoints.loading import load
from spike_zoo.data.sampling import SampleKey
from spike_zoo.data.windows import ReconstructionWindows
from spike_zoo.errors import ConfigError
from spike_zoo.spikes.packing import pack_bits, unpack_bits
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.tasks.clips import FLOW_OFFSET, FlowFields
from spike_zoo.tasks.protocols import Reconstructs

LATTICE: Final = 2  # rows and columns from one hidden pixel to the next
COUNTED_PLANES: Final = 5
"""Planes around an image in which the spikes of hidden pixels are counted."""
MARGIN: Final = 16
"""Planes before and after a clip from which hidden pixels are replaced."""
_NEAREST: Final = 5  # planes between a hidden pixel and its replacement, at most MARGIN
_TIMES: Final = 16  # random times, of which the best is selected
_LARGEST_DISTANCE: Final = 0.2  # pixels, of a moved point from the pixel that replaces it
_STRIDE: Final = 20  # planes from one sample to the next
_CACHED: Final = 512  # images of 8 bits


class HiddenPixels(NamedTuple):
    """A clip with hidden pixels."""

    spikes: Tensor  #: uint8 ``(T, H, W)``, with replaced spikes at the hidden pixels
    #: float32 ``(H, W)``, spikes per plane that the hidden pixels had in :data:`COUNTED_PLANES`
    #: planes around the middle plane; NaN at other pixels
    rates: Tensor


def moved_pixels(
    flow: Tensor, rows: Tensor, columns: Tensor, offsets: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the pixels to which points move along the flow.

    Args:
        flow: ``(2, 2, H, W)``, (dx, dy) in pixels to the planes 20 before and 20 after.
        rows: ``(N,)``, rows of the points.
        columns: ``(N,)``.
        offsets: ``(M,)``, planes from the points to the result.

    Returns:
        Rows, columns, and distances of the pixels from the exact positions, each ``(M, N)``. The
        distance exceeds 0.5 outside of the image.
    """
    height, width = flow.shape[-2:]
    velocity = flow.nan_to_num()[:, :, rows, columns] / FLOW_OFFSET  # (2, 2, N)
    moved = velocity[(offsets > 0).long()] * offsets.abs()[:, None, None]
    x, y = columns + moved[:, 0], rows + moved[:, 1]
    column, row = x.round().clamp(0, width - 1), y.round().clamp(0, height - 1)
    return row.long(), column.long(), torch.hypot(x - column, y - row)


def hide_pixels(spikes: Tensor, flow: Tensor, generator: torch.Generator) -> HiddenPixels:
    """Replace the spikes of up to a quarter of the pixels by spikes of the same scene points.

    A replacement is the pixel at which the same point is 5 to 16 planes earlier or later. It is
    not a hidden pixel itself, so the result does not depend on the hidden spikes. Pixels without
    such a replacement, for example those that do not move, are not hidden.

    Args:
        spikes: uint8 ``(T + 32, H, W)``, a clip with :data:`MARGIN` planes before and after it.
        flow: ``(2, 2, H, W)``, flow from the middle plane as in :func:`moved_pixels`.
        generator: Generator of all random choices.
    """
    length, (height, width) = len(spikes) - 2 * MARGIN, spikes.shape[1:]
    top, left = torch.randint(LATTICE, (2,), generator=generator).tolist()
    is_hidden = torch.zeros(height, width, dtype=torch.bool)
    is_hidden[top::LATTICE, left::LATTICE] = True
    rows, columns = is_hidden.nonzero(as_tuple=True)
    offsets = torch.randint(_NEAREST, MARGIN + 1, (_TIMES,), generator=generator)
    offsets *= 2 * torch.randint(2, (_TIMES,), generator=generator) - 1
    from_rows, from_columns, distance = moved_pixels(flow, rows, columns, offsets)
    distance = distance.masked_fill(is_hidden[from_rows, from_columns], torch.inf)
    distance, best = distance.min(dim=0)
    near_pixels = (distance <= _LARGEST_DISTANCE).nonzero()[:, 0]
    rows, columns, best = rows[near_pixels], columns[near_pixels], best[near_pixels]
    clip = spikes[MARGIN : MARGIN + length].clone()
    first = (length - COUNTED_PLANES) // 2
    rates = torch.full((height, width), torch.nan)
    rates[rows, columns] = clip[first : first + COUNTED_PLANES, rows, columns].float().mean(dim=0)
    planes = MARGIN + offsets[best] + torch.arange(length)[:, None]
    clip[:, rows, columns] = spikes[
        planes, from_rows[best, near_pixels], from_columns[best, near_pixels]
    ]
    return HiddenPixels(clip, rates)


def load_teacher(name: str) -> Any:  # noqa: ANN401  (Reconstructs and FlowFields)
    """Load the method that data name as ``targets``.

    Raises ConfigError if it does not reconstruct grey images or estimates no optical flow.
    """
    method: Any = load(name)
    is_grey = isinstance(method, Reconstructs) and getattr(method, "channels", 1) == 1
    if not (is_grey and isinstance(method, FlowFields) and method.estimates_flow):
        raise ConfigError(
            f"data.init_args.targets: {name} does not reconstruct grey images along optical flow; "
            "name a method that does, such as tfi-aligned"
        )
    return method


class TargetWindows(ReconstructionWindows):
    """Clips every 20 planes of recordings, with images that a method reconstructs as targets.

    Images of the archive are not read. Maps of cameras are applied neither to clips nor to targets.

    Args:
        archive: The archive.
        split: Name of the split in the archive.
        clip_length: Planes of one clip.
        targets: Name of the method, see :func:`load_teacher`.
        options: Arguments of :class:`ReconstructionWindows`.
    """

    def __init__(
        self, archive: SpikeArchive, split: str, clip_length: int, *, targets: str, **options: Any
    ) -> None:
        if split not in archive.splits():
            raise ConfigError(
                f"{archive.path}: no split {split!r}; it has "
                f"{', '.join(archive.splits()) or 'none'}. Training without images needs the "
                "splits train and val: move one in five of your recordings, at least two, into a "
                "folder val and the others into a folder train, then run 'archive build' again"
            )
        super().__init__(archive, split, clip_length, truth=False, **options)
        self.teacher = load_teacher(targets)
        self._target = functools.lru_cache(_CACHED)(self._reconstruct)

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes for workers, which begin with an empty cache of targets."""
        return {name: value for name, value in self.__dict__.items() if name != "_target"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._target = functools.lru_cache(_CACHED)(self._reconstruct)

    def __getitem__(self, key: int | SampleKey) -> dict[str, Any]:
        """Read one clip and its target, cropped and turned as in the base class."""
        sample = super().__getitem__(key)
        index, seed = key if isinstance(key, tuple) else (key, None)
        window = self.windows[index]
        rows, columns, _ = self._cut(window, seed)
        sample["image"] = np.ascontiguousarray(self._target(index)[:, rows, columns])
        return sample

    def _centers(self, facts: Facts) -> list[int]:
        half = self.clip_length // 2
        return list(range(half, facts.shape[0] - half, _STRIDE))

    def _recording(self, name: str) -> SpikeRecording:
        recording = self.archive[name]
        recording.maps = None
        return recording

    def _reconstruct(self, index: int) -> NDArray[np.uint8]:
        name, _, plane, _, _, rate_scale = self.windows[index]
        image = self.teacher.reconstruct(self._recording(name), plane, rate_scale=rate_scale)[0]
        return (255 * image).round().byte().numpy()


class HiddenPixelWindows(TargetWindows):
    """Clips of whole frames, without and with hidden pixels, see :func:`hide_pixels`.

    Args:
        archive: The archive.
        split: Name of the split in the archive.
        clip_length: Planes of one clip.
        options: Arguments of :class:`TargetWindows`.
    """

    def __init__(self, archive: SpikeArchive, split: str, clip_length: int, **options: Any) -> None:
        super().__init__(archive, split, clip_length + 2 * MARGIN, **options)
        # a limited number of batches then has samples of as many recordings as possible
        self.windows.sort(key=lambda window: window.plane)

    def __getitem__(self, key: Any) -> dict[str, Any]:  # noqa: ANN401  (an int in evaluations)
        """Read one clip; its image is made of the clip with hidden pixels."""
        sample = ReconstructionWindows.__getitem__(self, key)
        window, packed = self.windows[key], sample["packed"]
        spikes = torch.from_numpy(unpack_bits(packed, window.width).view(np.uint8))
        flow = self.teacher.motion(self._recording(window.name), window.plane)[0]
        hidden = hide_pixels(spikes, flow, torch.Generator().manual_seed(key))
        hidden_packed = pack_bits(hidden.spikes.numpy())
        recording = SpikeRecording(hidden_packed, window.width, rate_scale=window.rate_scale)
        return {
            **sample,
            "packed": packed[MARGIN:-MARGIN],
            "hidden_packed": hidden_packed,
            "hidden_rates": hidden.rates[None].numpy(),
            "image": self.teacher.reconstruct(recording, len(recording) // 2)[0].numpy(),
        }
