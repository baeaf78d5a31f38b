"""Ground-truth optical flow of batches."""

from __future__ import annotations

from typing import Final

from torch import Tensor

from spike_zoo.errors import ConfigError, UsageError
from spike_zoo.tasks.batch import ReconstructionBatch

FLOW_OFFSET: Final = 20
"""Planes between an image and the earlier or later plane that its flow points to."""


def ground_truth_flow(batch: ReconstructionBatch, wanted_by: str) -> Tensor:
    """Return the true flow ``(B, 2, 2, H, W)`` of a batch, NaN where unknown.

    ``wanted_by`` is the option that needs the flow, for the error if the batch has none.
    """
    if "flow" not in batch:
        raise ConfigError(
            f"{wanted_by}: the data have no ground-truth flow; use ReconstructionDataModule with "
            f"flow_offset: {FLOW_OFFSET}, and an archive of 'python -m spike_zoo simulate "
            f"--flow_offset {FLOW_OFFSET}'"
        )
    return batch["flow"]


def oracle_flow_error(option: str) -> UsageError:
    """Return the error of a method that gets spikes without the ground-truth flow it needs."""
    return UsageError(
        f"{option}: this method needs the ground-truth flow, which recordings do not have; "
        "fit, validate and test it on data that serve it"
    )
