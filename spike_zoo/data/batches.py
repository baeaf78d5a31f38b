"""Collation of samples into batches, their transfer from workers, and their unpacking.

Torch's own transfer, a file in shared memory for each tensor, is slower than a pipe for such
batches, because every page is newly allocated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spike_zoo.errors import ConfigError
from spike_zoo.spikes.packing import unpack_tensor
from spike_zoo.spikes.turning import apply_modes, turn_flows

IMAGES = ("image", "images", "blur")  # entries of a batch that hold intensities
_OF_PACKING = ("packed", "width", "mode")


class Batch(dict[str, Any]):
    """A batch that is unpickled as a plain dict of tensors and strings."""

    def __reduce__(self) -> tuple[Any, ...]:
        # bytes are transferred in a third of the time of a pickled numpy array
        pickled = {
            key: (bytearray(value.numpy().data), value.numpy().dtype.str, value.shape)
            if isinstance(value, Tensor)
            else value
            for key, value in self.items()
        }
        return _restore_batch, (pickled,)


def collate(samples: Sequence[Mapping[str, Any]]) -> Batch:
    """Collate samples into one batch: arrays and numbers are stacked, strings listed.

    Images remain uint8 if all of them are; otherwise all become float32 in [0, 1]. Numpy stacks
    them: torch starts threads for every stack, which costs more than the copy.
    """
    batch = Batch()
    for key in samples[0]:
        column = [sample[key] for sample in samples]
        _check_sizes(key, column)
        column = _convert_to_one_type(key, column)
        is_text = isinstance(column[0], str)
        batch[key] = column if is_text else torch.from_numpy(np.array(column))
    return batch


def _check_sizes(key: str, column: Sequence[Any]) -> None:
    if isinstance(column[0], np.ndarray):
        shapes = {value.shape for value in column}
        if len(shapes) > 1:
            raise ConfigError(
                f"batch: {key} of different sizes {sorted(shapes)} cannot share a batch; set "
                "batch_size or eval_batch_size to 1, or set crop"
            )


def _convert_to_one_type(key: str, column: list[Any]) -> list[Any]:
    """Convert values to one type; uint8 is scaled to [0, 1], which stacking would not do."""
    types = sorted({str(value.dtype) for value in column if isinstance(value, np.ndarray)})
    if len(types) < 2:
        return column
    if key not in IMAGES:
        raise ConfigError(
            f"batch: {key} of the types {', '.join(types)} cannot share a batch; set batch_size or "
            "eval_batch_size to 1"
        )
    return [
        value.astype(np.float32) / np.float32(255 if value.dtype == np.uint8 else 1)
        for value in column
    ]


def _restore_batch(pickled: dict[str, Any]) -> dict[str, Any]:
    """Return a plain dict of tensors and strings."""
    return {
        key: torch.from_numpy(np.ndarray(value[2], value[1], value[0]))
        if isinstance(value, tuple)
        else value
        for key, value in pickled.items()
    }


def unpacked(batch: Mapping[str, Any], spikes: torch.dtype = torch.float32) -> Any:  # noqa: ANN401  (the task's batch)
    """Unpack a batch into planes and images in [0, 1], and rotate and flip both by ``mode``.

    ``packed``, ``width`` and ``mode`` become ``spikes`` of the given type. Entries in
    :data:`IMAGES` are converted to [0, 1] and turned, ``flow`` is turned
    including its vectors, ``hidden_packed`` becomes ``hidden_spikes``, and all others are
    unchanged. A batch without ``packed`` is returned unchanged. See :mod:`spike_zoo.tasks.batch`.
    """
    if "packed" not in batch:
        return batch
    modes = batch["mode"]
    planes = apply_modes(unpack_tensor(batch["packed"], int(batch["width"][0])), modes)
    images = {name: apply_modes(unit_range(batch[name]), modes) for name in IMAGES if name in batch}
    others = {name: value for name, value in batch.items() if name not in _OF_PACKING}
    if (hidden := others.pop("hidden_packed", None)) is not None:
        others["hidden_spikes"] = unpack_tensor(hidden, int(batch["width"][0])).to(spikes)
    if "flow" in batch:
        others["flow"] = turn_flows(batch["flow"].float(), modes)
    return {**others, "spikes": planes.to(spikes), **images}


def unit_range(image: Tensor) -> Tensor:
    """Return an image as float32 in [0, 1]; bytes are divided by 255."""
    return image.float() / 255 if image.dtype == torch.uint8 else image
