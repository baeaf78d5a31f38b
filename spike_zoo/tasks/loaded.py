"""Task module that evaluates trained weights: shipped ones, a checkpoint or an export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from spike_zoo.checkpoints.loading import load
from spike_zoo.tasks.clips import ClipReconstruction
from spike_zoo.tasks.reconstruction import ReconstructionModule

if TYPE_CHECKING:
    from torch import Tensor


class LoadedReconstruction(ReconstructionModule):
    """Reconstruction method with frozen trained weights.

    Args:
        weights: Argument of :func:`spike_zoo.load`: a shipped name, for example ``"stir"``, or the
            path of a checkpoint or an export.
        evaluation: Arguments of :class:`ReconstructionModule`.

    Raises:
        TypeError: If the weights belong to a method that does not reconstruct clips.

    Attributes:
        has_own_weights: True: a test needs no checkpoint.
    """

    has_own_weights = True

    def __init__(self, weights: str, **evaluation: Any) -> None:
        super().__init__(**evaluation)
        self.save_hyperparameters()
        method = load(weights)
        if not isinstance(method, ClipReconstruction):
            raise TypeError(f"{weights}: {type(method).__name__} does not reconstruct clips")
        self.method = method.requires_grad_(False)
        self.clip_length = method.clip_length

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Reconstruct the middle plane: ``(B, T, H, W)`` -> ``(B, 1, H, W)`` in [0, 1]."""
        return cast("Tensor", self.method(spikes, rate_scale))
