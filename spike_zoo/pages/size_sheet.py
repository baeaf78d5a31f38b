"""Contact sheet of a headerless recording in its possible sizes and orientations."""

import itertools
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ImageOps

from spike_zoo.formats.dat_sizes import StoredSize
from spike_zoo.formats.recording import read_recording
from spike_zoo.media.images import contact_sheet, save_image, to_pillow
from spike_zoo.methods.classical.methods import TFI
from spike_zoo.spikes.rate_scale import estimate_rate_scale
from spike_zoo.spikes.recording import SpikeRecording

_AVERAGE: Final = 9  # planes
_SIZES: Final = 9  # with four orientations of the first, three rows of four images
_BOX: Final = (400, 300)  # largest width and height of an image
STORED: Final[dict[str, Any]] = {"flip": True, "mirror": False, "rotate": 0}
"""Arguments of ``read_recording`` for the orientation that the sheet starts from."""


class Tile(NamedTuple):
    """An image of a sheet."""

    image: NDArray[np.float32]  #: ``(H, W)`` in [0, 1]
    options: tuple[str, ...] = ()  #: lines of options with which ``reconstruct`` reads this image

    def __str__(self) -> str:
        """Return the options as one line."""
        return " ".join(self.options)


def tiles_of_sizes(path: Path, sizes: Sequence[StoredSize]) -> list[Tile]:
    """Return the first size in four orientations, and the others in the default orientation."""
    tiles: list[Tile] = []
    for size in sizes[:_SIZES]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an incomplete last plane
            recording = read_recording(
                path,
                height=size.height,
                width=size.width,
                frame_align=size.frame_align,
                offset=size.offset,
                bit_order=size.bit_order,
                allow_partial=True,
                **STORED,
            )
        image = _image(recording)
        options = [f"--height {size.height} --width {size.width}", *filter(None, [size.options])]
        oriented = [Tile(image)] if tiles else _orientations(image, turns=(0,))
        tiles += [Tile(each.image, (*options, *each.options)) for each in oriented]
    return tiles


def tiles_of_orientations(recording: SpikeRecording) -> list[Tile]:
    """Return the eight orientations of a recording that is read as :data:`STORED`."""
    return list(_orientations(_image(recording), turns=(0, 90)))


def write_sheet(tiles: Sequence[Tile], path: Path, *, overwrite: bool) -> None:
    """Write a PNG file with all images in one size, numbered and labelled with their options."""
    images = [np.asarray(ImageOps.contain(to_pillow(tile.image), _BOX)) for tile in tiles]
    captions = [f"{number}: " + "\n".join(tile.options) for number, tile in enumerate(tiles, 1)]
    save_image(contact_sheet(images, captions), path, overwrite=overwrite)


def _image(recording: SpikeRecording) -> NDArray[np.float32]:
    """Return the image of the middle plane, at an estimated rate scale."""
    center, scale = len(recording) // 2, estimate_rate_scale(recording)
    image: NDArray[np.float32] = (
        TFI(_AVERAGE).reconstruct(recording, [center], rate_scale=scale)[0, 0].numpy()
    )
    return image


def _orientations(image: NDArray[np.float32], turns: Sequence[int]) -> Iterator[Tile]:
    for turn, is_mirrored, is_flipped in itertools.product(turns, (False, True), (True, False)):
        upright = image if is_flipped else image[::-1]
        upright = upright[:, ::-1] if is_mirrored else upright
        options = f"--flip {is_flipped} --mirror {is_mirrored}".lower()
        rotate = (f"--rotate {turn}",) if turn else ()
        yield Tile(np.rot90(upright, -turn // 90), (options, *rotate))
