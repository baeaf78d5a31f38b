"""The teacher's images in a folder, for every run that learns from the same teacher."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from safetensors.torch import save

from spike_zoo.checkpoints.weight_files import read_weights, state_digest
from spike_zoo.files import new_file

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from spike_zoo.methods.ssdm.teacher import SSDMTeacher

_ENTRY = "images"


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
