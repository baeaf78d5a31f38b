"""Reconstruction by STIR at many planes of a recording, with cached features of blocks."""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from spike_zoo.methods.classical.aligned_input import AlignedInput, read_aligned
from spike_zoo.methods.stir.embedding import BLOCK_PLANES
from spike_zoo.methods.stir.network import BLOCK_STARTS, PLANES, STIR
from spike_zoo.methods.stir.tiling import TileGrid
from spike_zoo.nn.cuda_graphs import replayed
from spike_zoo.nn.options import check_choice
from spike_zoo.nn.threads import results_in_order
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.spikes.windows import centred_window, mirrored_planes
from spike_zoo.tasks.clips import read_clip
from spike_zoo.utils.cores import usable_cores

Precision = Literal["32", "bf16"]

BLOCK_CENTERS = tuple(start + BLOCK_PLANES // 2 - PLANES // 2 for start in BLOCK_STARTS)
CACHED_WINDOWS = (
    20  # following windows for which features are cached: enough for a stride of one plane
)
CACHED_PIXELS = 2**21  # windows times pixels: limits the cache to 0.4 GB in float32
_AHEAD_PIXELS = 2**20  # images times pixels whose aligned input is computed at the same time
_SERIAL = 3  # images before the network is a CUDA graph


class WindowStream:
    """Stream of images at planes of a recording, with constant memory.

    A window has three blocks of 21 planes. The features of a block depend only on the block, so
    windows 20 planes apart share two blocks. A block is identified by its middle plane. This also
    holds for blocks that are mirrored at an end of the recording, because all windows are mirrored
    at the first and the last plane.

    Args:
        network: The network, in evaluation mode.
        recording: The spikes.
        rate_scale: Divisor of the spikes.
        tile: Largest side of a tile in pixels, see :class:`TileGrid`.
        precision: ``"32"``, or ``"bf16"`` for autocast.
        compiled: Whether the network is compiled by ``torch.compile`` first. This takes minutes,
            needs a C++ compiler, and is meant for hours of video.

    Raises:
        ValueError: If an option is outside its range.
    """

    def __init__(
        self,
        network: STIR,
        recording: SpikeRecording,
        rate_scale: float = 1.0,
        *,
        tile: int | None = None,
        precision: Precision = "32",
        compiled: bool = False,
    ) -> None:
        check_choice("precision", precision, Precision)
        self.network = network
        self.recording = recording
        self.rate_scale = rate_scale
        self.grid = TileGrid(*recording.shape[1:], network.multiple, tile)
        self.device = next(network.parameters()).device
        self.precision = precision
        self.encode: Callable[..., tuple[Tensor, ...]] = network.encode
        self.decode: Callable[..., Tensor] = network.decode
        if compiled:
            self.encode, self.decode = torch.compile(self.encode), torch.compile(self.decode)
        else:
            self.encode = functools.partial(replayed, network, self.encode)
            self.decode = functools.partial(replayed, network, self.decode)
        self.encoded: dict[int, list[tuple[Tensor, ...]]] = {}  # block -> features of each tile

    def images(self, centers: Sequence[int]) -> Iterator[Tensor]:
        """Yield the image ``(1, H, W)`` at every centre, float32 on the CPU.

        Raises PlaneRangeError if the recording is shorter than half a window.
        """
        ahead = min(CACHED_WINDOWS, CACHED_PIXELS // math.prod(self.grid.padded))
        for index, center in enumerate(centers):
            mirrored_planes(*centred_window(center, PLANES), len(self.recording))
            # Cache blocks that later windows share: two of three at stride 20, fewer at strides
            # that 20 is not a multiple of.
            following = centers[index + 1 : index + 1 + ahead]
            reusable = {block for later in following for block in blocks_of(later)}
            image = self._image(center, reusable)
            self.encoded = {block: self.encoded[block] for block in reusable & self.encoded.keys()}
            yield image

    def _image(self, center: int, reusable: set[int]) -> Tensor:
        """Return the image at a plane, and cache the features of some blocks."""
        blocks = blocks_of(center)
        planes = {block: self._read(block) for block in blocks if block not in self.encoded}

        def image_of(tile: int) -> Tensor:
            first, middle, last = (
                self._features(block, tile, planes, reusable) for block in blocks
            )
            return self.decode(first, middle, last)

        return self._joined(image_of)

    def _joined(self, image_of: Callable[[int], Tensor]) -> Tensor:
        """Return the frame joined from the images that a function computes of each tile index.

        Each tile passes the complete network before the next tile, because features of all tiles
        would need as much memory as those of the untiled frame.
        """
        with torch.inference_mode(), self._autocast():
            tiles = [image_of(tile).float() for tile in range(len(self.grid.tiles))]
            return self.grid.join(tiles)[0].cpu()

    def _features(
        self, block: int, tile: int, planes: dict[int, Tensor], reusable: set[int]
    ) -> tuple[Tensor, ...]:
        """Return the features of one tile of a block, from the cache or encoded."""
        if block not in planes:
            return self.encoded[block][tile]
        part = self.grid.cut(planes[block], self.grid.tiles[tile])
        features = self.encode(part[None] / self.rate_scale)
        if block in reusable:
            self.encoded.setdefault(block, []).append(features)
        return features

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        if self.precision == "32":
            return contextlib.nullcontext()
        # without the cache: a CUDA graph would read cached weights after their memory is freed
        return torch.autocast(self.device.type, torch.bfloat16, cache_enabled=False)

    def _read(self, block: int) -> Tensor:
        """Return the planes of a block, ``(21, H, W)``, on the network's device.

        The planes are uint8. If the maps of a camera are applied, they are float32.
        """
        planes = read_clip(self.recording, block, BLOCK_PLANES, self.device)
        return self.recording.corrected(planes)


class AlignedStream(WindowStream):
    """Stream of images at planes of a recording, for networks with ``align_input``.

    The planes of every window are aligned by the window's own optical flow, so windows share no
    blocks. The flow is estimated on the frame without tiles, which takes most of the time.
    """

    def images(self, centers: Sequence[int]) -> Iterator[Tensor]:
        """Yield the image ``(1, H, W)`` at every centre, float32 on the CPU.

        On a GPU, threads compute the inputs of the following images. They start after the images
        in which the network is captured as a CUDA graph.
        """
        jobs = [functools.partial(self._window, center) for center in centers]
        threads = _threads(self.device, math.prod(self.grid.padded))
        for part, count in ((jobs[:_SERIAL], 1), (jobs[_SERIAL:], threads)):
            yield from map(self._image_of, results_in_order(part, count))

    def _window(self, center: int) -> AlignedInput:
        with torch.inference_mode():
            return read_aligned(self.recording, center, self.rate_scale, self.device)

    def _image_of(self, window: AlignedInput) -> Tensor:
        def image_of(tile: int) -> Tensor:
            planes, draft = (
                self.grid.cut(part[0], self.grid.tiles[tile])[None] for part in window[:2]
            )
            blocks = (planes[:, start : start + BLOCK_PLANES] for start in BLOCK_STARTS)
            first, middle, last = map(self.encode, blocks)
            return self.decode(first, middle, last, draft)

        return self._joined(image_of)


def _threads(device: torch.device, pixels: int) -> int:
    """Return the number of aligned inputs of images that are computed at the same time."""
    if device.type != "cuda":  # the network uses all cores
        return 1
    return max(min(usable_cores(), _AHEAD_PIXELS // pixels), 1)


def blocks_of(center: int) -> tuple[int, ...]:
    """Return the middle planes of a window's blocks."""
    return tuple(center + offset for offset in BLOCK_CENTERS)
