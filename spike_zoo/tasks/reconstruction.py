"""Base class of methods that reconstruct the image at the middle plane of a clip of spikes."""

from collections.abc import Sequence
from typing import ClassVar, cast

from torch import Tensor

from spike_zoo.checkpoints.loading import load
from spike_zoo.errors import ConfigError
from spike_zoo.tasks import clips
from spike_zoo.tasks.base import MethodModule
from spike_zoo.tasks.batch import ReconstructionBatch
from spike_zoo.tasks.clips import ClipReconstruction
from spike_zoo.tasks.evaluators.reconstruction import ReconstructionEvaluator


class ReconstructionModule(MethodModule):
    """Base class of methods that reconstruct the middle plane of a clip, with their evaluation.

    A subclass sets :attr:`clip_length`, defines ``forward(spikes, rate_scale)`` and, if it is
    trained, ``training_step`` and ``configure_optimizers``. Attributes and methods for recordings
    are those of :class:`ClipReconstruction`; :class:`ReconstructionEvaluator` describes the
    metrics.

    Args:
        lpips: ``"auto"`` measures LPIPS if its backbone is available, ``"off"`` never does, a path
            is that of the backbone's file.
        protocols: Published evaluation protocols to report besides the usual metrics, for example
            ``"stir"`` (``test/psnr_stir``, ``test/ssim_stir``).
    """

    evaluator_class: ClassVar[type[ReconstructionEvaluator]] = ReconstructionEvaluator
    channels: int = 1
    own_rate_scale: float | None = None
    takes_seconds: bool = False
    inference_options: tuple[str, ...] = ()
    applies_maps: bool = False

    reconstruct = clips.reconstruct
    reconstruct_stream = clips.reconstruct_stream
    _stream = clips.image_stream

    def __init__(self, *, lpips: str = "auto", protocols: Sequence[str] = ()) -> None:
        super().__init__(self.evaluator_class(lpips=lpips, protocols=protocols))

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Reconstruct the middle plane: ``(B, T, H, W)`` -> ``(B, 1, H, W)`` in [0, 1]."""
        raise NotImplementedError

    def predict_with_flow(
        self, batch: ReconstructionBatch, batch_idx: int
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Return the reconstruction, and the flow fields used for it, see :func:`field_errors`."""
        return self.predict_step(batch, batch_idx), ()


class LoadedReconstruction(ReconstructionModule):
    """Reconstruction method with frozen trained weights.

    Args:
        weights: Argument of :func:`spike_zoo.load`: a shipped name, for example ``"stir"``, or the
            path of a checkpoint or an export.
        lpips: See :class:`ReconstructionModule`.
        protocols: See :class:`ReconstructionModule`.

    Raises:
        ConfigError: If the weights are of a method that does not reconstruct clips.
    """

    has_own_weights = True  # a test needs no checkpoint

    def __init__(self, weights: str, lpips: str = "auto", protocols: Sequence[str] = ()) -> None:
        super().__init__(lpips=lpips, protocols=protocols)
        self.save_hyperparameters()
        method = load(weights)
        if not isinstance(method, ClipReconstruction | ReconstructionModule):
            raise ConfigError(f"{weights}: {type(method).__name__} does not reconstruct clips")
        self.method = method.requires_grad_(False)
        self.clip_length = method.clip_length

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Reconstruct the middle plane: ``(B, T, H, W)`` -> ``(B, 1, H, W)`` in [0, 1]."""
        return cast("Tensor", self.method(spikes, rate_scale))
