"""Collective functions that also work without several processes."""

from typing import Any

import torch.distributed as dist


def all_gather_objects(value: Any) -> list[Any]:  # noqa: ANN401  (anything that pickles)
    """Return the values of all processes in order of their ranks; one value without DDP."""
    if not (dist.is_available() and dist.is_initialized()):
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values
