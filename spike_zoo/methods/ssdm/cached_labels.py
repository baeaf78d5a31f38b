"""The teacher's images, cached in memory and in files where an exposure comes again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from spike_zoo.checkpoints.weight_files import read_weights, state_digest
from spike_zoo.files import new_file
from spike_zoo.methods.ssdm.teacher import SSDMTeacher
from spike_zoo.nn.tensor_cache import TensorCache
from spike_zoo.spikes.turning import MODES, SHAPE_KEEPING_MODES, apply_mode, inverse_mode

_ENTRY = "images"


class CachedLabels:
    """Ask a frozen teacher once for every exposure: it is most of a student's training step.

    An exposure is known by its spikes and its blurry image, in whichever of its eight turns it
    comes; the teacher sees it in one of them, which follows from the exposure alone, so that a run
    that goes on learns from the same images. Whole frames come again at every epoch; crops at
    random places hardly ever do.

    Args:
        teacher: Makes the images.
        memory_gib: How much of the processor's memory they may fill, as half floats (2.4e-4 off
            at most); later ones are computed each time. 0 caches nothing, and gives the
            teacher every exposure as it comes.
        folder: Keeps them too, all of them, for the next run by the same teacher.
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
        """Return images as :class:`SSDMTeacher` does, ``(len(times), B, 3, 4h, 4w)``, float32."""
        teacher = self.teacher.to(blur.device)
        if not self._cache.is_enabled:
            return teacher(blur, spikes, times, exposure).float()
        modes = [_mode_shown(sample) for sample in spikes]
        turned = [
            (apply_mode(image, mode), apply_mode(sample, mode))
            for image, sample, mode in zip(blur, spikes, modes, strict=True)
        ]
        keys = [_digest(*sample, times, exposure) for sample in turned]

        def compute(places: list[int]) -> Tensor:
            shown = zip(*(turned[place] for place in places), strict=True)
            return teacher(*map(torch.stack, shown), times, exposure).transpose(0, 1)

        labels = self._cache(keys, compute, blur.device)
        back = [
            apply_mode(images, inverse_mode(mode))
            for images, mode in zip(labels, modes, strict=True)
        ]
        return torch.stack(back, dim=1)


def _mode_shown(spikes: Tensor) -> int:
    """Return the mode that turns an exposure as the teacher sees it, whichever turn it comes in."""
    counts = spikes.bool().sum(dim=0).cpu()
    is_square = counts.shape[0] == counts.shape[1]
    modes = range(len(MODES)) if is_square else SHAPE_KEEPING_MODES
    return min(modes, key=lambda mode: apply_mode(counts, mode).contiguous().numpy().tobytes())


def _digest(blur: Tensor, spikes: Tensor, times: Sequence[int], exposure: tuple[int, int]) -> bytes:
    """Name an exposure by its values and what is asked of it."""
    asked = f"{tuple(blur.shape)} {tuple(spikes.shape)} {tuple(times)} {exposure}"
    digest = hashlib.blake2b(asked.encode(), digest_size=16)
    for part in (blur, spikes.to(torch.bool)):
        digest.update(part.cpu().numpy().tobytes())
    return digest.digest()


class StoredLabels:
    """Keep images of one teacher in files, one an exposure.

    Runs may share the folder at the same time: a file appears complete, and each run writes
    the same. Another teacher has another folder inside it, so nothing in it grows stale.

    Args:
        folder: Holds a folder for each teacher; made when needed.
        teacher: Whose images they are.
    """

    def __init__(self, folder: Path, teacher: SSDMTeacher) -> None:
        self.folder = folder / _name_of(teacher)

    def read(self, key: bytes) -> Tensor | None:
        """Return the images of an exposure as they were given, or None where there are none.

        Raises:
            WeightsError: If the file is damaged; without it the images are computed again.
        """
        path = self._path(key)
        return read_weights(path)[_ENTRY] if path.exists() else None

    def write(self, key: bytes, images: Tensor) -> None:
        """Keep the images of an exposure.

        Raises:
            RecordingError: If the folder cannot be written.
        """
        with new_file(self._path(key), overwrite=True) as temporary:
            # OSError where the disk is full
            temporary.write_bytes(save({_ENTRY: images.cpu().contiguous()}))

    def _path(self, key: bytes) -> Path:
        return self.folder / f"{key.hex()}.safetensors"


def _name_of(teacher: SSDMTeacher) -> str:
    """Name a teacher by all that decides its images: its layers, their weights, its settings."""
    state = {name: value.cpu() for name, value in teacher.state_dict().items()}
    return hashlib.blake2b(f"{teacher} {state_digest(state)}".encode(), digest_size=8).hexdigest()
