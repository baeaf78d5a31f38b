"""Cache of the teacher's images of repeated exposures, in memory and in files."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from spike_zoo.checkpoints.weight_files import read_weights, state_digest
from spike_zoo.methods.ssdm.teacher import SSDMTeacher
from spike_zoo.nn.tensor_cache import TensorCache
from spike_zoo.spikes import turning
from spike_zoo.utils.files import new_file

_ENTRY = "images"


class CachedLabels:
    """Compute a frozen teacher's images once per exposure; they take most of a training step.

    An exposure is identified by its spikes and its blurry image, independent of its eight
    rotations and reflections. The teacher processes the exposure in one of these modes, which
    depends on the exposure only, so that a resumed run learns from the same images. Full frames
    repeat at every epoch; random crops rarely do.

    Args:
        teacher: Computes the images.
        memory_gib: CPU memory for cached images, stored as float16 (error at most 2.4e-4). Images
            beyond this limit are computed each time. With 0, nothing is cached and exposures are
            not transformed.
        folder: Folder for all images as files, for further runs with the same teacher.
    """

    def __init__(
        self, teacher: SSDMTeacher, memory_gib: float, folder: str | Path | None = None
    ) -> None:
        self.teacher = teacher
        stored = None if folder is None else StoredLabels(Path(folder), teacher)
        self._cache = TensorCache(memory_gib, stored)

    def __call__(
        self, blur: Tensor, spikes: Tensor, times: Sequence[int], exposure: tuple[int, int]
    ) -> Tensor:
        """Return the images of :class:`SSDMTeacher`, float32 ``(len(times), B, 3, 4h, 4w)``."""
        teacher = self.teacher.to(blur.device)
        if not self._cache.is_enabled:
            return teacher(blur, spikes, times, exposure).float()
        modes = [_canonical_mode(sample) for sample in spikes]
        transformed = [
            (turning.apply_mode(image, mode), turning.apply_mode(sample, mode))
            for image, sample, mode in zip(blur, spikes, modes, strict=True)
        ]
        keys = [_digest(*sample, times, exposure) for sample in transformed]

        def compute(indices: list[int]) -> Tensor:
            inputs = zip(*(transformed[index] for index in indices), strict=True)
            return teacher(*map(torch.stack, inputs), times, exposure).transpose(0, 1)

        labels = self._cache(keys, compute, blur.device)
        back = [
            turning.apply_mode(images, turning.inverse_mode(mode))
            for images, mode in zip(labels, modes, strict=True)
        ]
        return torch.stack(back, dim=1)


def _canonical_mode(spikes: Tensor) -> int:
    """Return the mode that brings an exposure to the teacher's input, for any rotation of it."""
    counts = spikes.bool().sum(dim=0).cpu()
    is_square = counts.shape[0] == counts.shape[1]
    modes = range(len(turning.MODES)) if is_square else turning.SHAPE_KEEPING_MODES
    return min(
        modes, key=lambda mode: turning.apply_mode(counts, mode).contiguous().numpy().tobytes()
    )


def _digest(blur: Tensor, spikes: Tensor, times: Sequence[int], exposure: tuple[int, int]) -> bytes:
    """Return a hash of an exposure's values, the times and the exposure's planes."""
    header = f"{tuple(blur.shape)} {tuple(spikes.shape)} {tuple(times)} {exposure}"
    digest = hashlib.blake2b(header.encode(), digest_size=16)
    for part in (blur, spikes.to(torch.bool)):
        digest.update(part.cpu().numpy().tobytes())
    return digest.digest()


class StoredLabels:
    """Store images of one teacher in files, one per exposure.

    Several runs may use the folder at the same time: files are written atomically, and all runs
    write the same content. Each teacher has a separate subfolder, so images cannot become outdated.

    Args:
        folder: Parent of the teachers' folders; created when needed.
        teacher: The teacher of the images.
    """

    def __init__(self, folder: Path, teacher: SSDMTeacher) -> None:
        self.folder = folder / _name_of(teacher)

    def read(self, key: bytes) -> Tensor | None:
        """Return the stored images of an exposure, or None if there are none.

        Raises:
            WeightsError: If the file is damaged. If it is deleted, images are computed again.
        """
        path = self._path(key)
        return read_weights(path)[_ENTRY] if path.exists() else None

    def write(self, key: bytes, images: Tensor) -> None:
        """Store the images of an exposure.

        Raises:
            RecordingError: If the folder cannot be written.
        """
        with new_file(self._path(key), overwrite=True) as temporary:
            # raises OSError if the disk is full
            temporary.write_bytes(save({_ENTRY: images.cpu().contiguous()}))

    def _path(self, key: bytes) -> Path:
        return self.folder / f"{key.hex()}.safetensors"


def _name_of(teacher: SSDMTeacher) -> str:
    """Return a hash of all that determines a teacher's images: layers, weights and settings."""
    state = {name: value.cpu() for name, value in teacher.state_dict().items()}
    return hashlib.blake2b(f"{teacher} {state_digest(state)}".encode(), digest_size=8).hexdigest()
