"""How many images go through a network together."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

GIB = 2**30
CPU_GIB = 0.125  # larger batches outgrow the caches: a seventh slower at 720 x 1280
ACCELERATOR_GIB = 4.0


def images_at_once(work: int, memory_gib: float | None, device: torch.device) -> int:
    """Return how many images to compute together, at least one.

    Args:
        work: Bytes of features that one image needs at the largest layer.
        memory_gib: What may be taken; by default 0.125 on CPUs and 4 elsewhere.
        device: Where it is computed.

    Raises:
        ValueError: If the memory is not above 0.
    """
    if memory_gib is None:
        memory_gib = CPU_GIB if device.type == "cpu" else ACCELERATOR_GIB
    if not memory_gib > 0:
        raise ValueError(f"memory_gib must be above 0, got {memory_gib}")
    return max(1, int(memory_gib * GIB / work))
