"""Small file trees in the formats of MNIST, CIFAR-10, class folders and Vimeo-90K."""

import gzip
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CIFAR_NAMES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)


def idx_bytes(values: NDArray[np.uint8]) -> bytes:
    """Return an array in the IDX format of MNIST."""
    sides = struct.pack(f">{values.ndim}I", *values.shape)
    return bytes([0, 0, 8, values.ndim]) + sides + values.tobytes()


def write_mnist(
    folder: Path, train: Sequence[int], test: Sequence[int], *, packed: bool = False
) -> Path:
    """Write the four files of MNIST; image n of a part has 28 x 28 pixels of grey level 20 + n."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, labels in (("train", train), ("t10k", test)):
        grey_levels = np.arange(len(labels), dtype=np.uint8)[:, None, None] + np.uint8(20)
        for name, values in (
            ("images-idx3-ubyte", np.broadcast_to(grey_levels, (len(labels), 28, 28))),
            ("labels-idx1-ubyte", np.array(labels, np.uint8)),
        ):
            data = idx_bytes(np.ascontiguousarray(values))
            if packed:
                (folder / f"{part}-{name}.gz").write_bytes(gzip.compress(data))
            else:
                (folder / f"{part}-{name}").write_bytes(data)
    return folder


def write_cifar(folder: Path, train: Sequence[int], test: Sequence[int]) -> Path:
    """Write the binary files of CIFAR-10; each of five has a fifth of the training images."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "batches.meta.txt").write_text("\n".join(CIFAR_NAMES) + "\n\n")
    for batch, part in enumerate(np.array_split(np.array(train), 5), start=1):
        (folder / f"data_batch_{batch}.bin").write_bytes(_cifar_images(part.tolist()))
    (folder / "test_batch.bin").write_bytes(_cifar_images(test))
    return folder


def _cifar_images(labels: Sequence[int]) -> bytes:
    """Return images with red upper half, green lower half and blue level 10 x label."""
    data = b""
    for label in labels:
        channels = np.zeros((3, 32, 32), np.uint8)
        channels[0, :16], channels[1, 16:], channels[2] = 255, 255, 10 * label
        data += bytes([label]) + channels.tobytes()
    return data


def write_image(path: Path, level: int = 128, size: tuple[int, int] = (24, 32)) -> Path:
    """Write an image of one grey level; size is (height, width)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size, level, np.uint8)).save(path)
    return path


def write_classes(folder: Path, counts: dict[str, int], suffix: str = ".png") -> Path:
    """Write a folder of images for each class; counts are per class."""
    for name, count in counts.items():
        for number in range(count):
            write_image(folder / name / f"image_{number:04d}{suffix}", 40 + number)
    return folder


def write_septuplets(
    folder: Path, train: Sequence[str], test: Sequence[str], size: tuple[int, int] = (16, 24)
) -> Path:
    """Write clips in the format of Vimeo-90K; frame k of a clip has grey level 30 k."""
    for name, clips in (("sep_trainlist.txt", train), ("sep_testlist.txt", test)):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("".join(f"{clip}\n" for clip in clips))
        for clip in clips:
            for frame in range(1, 8):
                write_image(folder / "sequences" / clip / f"im{frame}.png", 30 * frame, size)
    return folder
