"""Lightning modules of the classical methods, for evaluation with the learned methods."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import torch
from torch import Tensor
from torch.nn import functional

from spike_zoo.errors import ConfigError
from spike_zoo.methods.classical.aligned import AlignedTFI
from spike_zoo.methods.classical.alignment import WINDOW
from spike_zoo.methods.classical.colour import (
    ColourAlignedTFI,
    ColourMethod,
    ColourTFI,
    ColourTFP,
    FilledColour,
)
from spike_zoo.methods.classical.flow import ground_truth_flow, oracle_flow_error
from spike_zoo.methods.classical.methods import CLIP_LENGTH, TFI, TFP, TFSTP, ClassicalMethod
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.tasks.batch import ReconstructionBatch
from spike_zoo.tasks.clips import FLOW_OFFSET
from spike_zoo.tasks.reconstruction import ReconstructionModule

_CELL: Final = 16  # pixels between independent values of a smooth error
_COLOUR_METHODS: Final[Mapping[str, type[ColourMethod]]] = {
    "tfp": ColourTFP,
    "tfi": ColourTFI,
    "aligned": ColourAlignedTFI,
    "filled": FilledColour,
}


class ClassicalModule(ReconstructionModule):
    """Lightning module of a classical method.

    A subclass sets :attr:`method`.

    Args:
        clip_length: Planes of one clip in evaluations.
        lpips: See :class:`ReconstructionModule`.
        protocols: See :class:`ReconstructionModule`.
    """

    method: ClassicalMethod
    applies_maps = True

    def __init__(
        self, clip_length: int = CLIP_LENGTH, lpips: str = "auto", protocols: Sequence[str] = ()
    ) -> None:
        super().__init__(lpips=lpips, protocols=protocols)
        self.save_hyperparameters()
        self.clip_length = clip_length

    def check_clip(self, planes: int) -> None:
        """Accept clips of any length, because windows are cut to the clip."""

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Reconstruct the middle plane: ``(B, T, H, W)`` -> ``(B, 1, H, W)`` in [0, 1]."""
        return self.method(spikes, rate_scale)

    def adjusted(self, **settings: int) -> ClassicalMethod:
        """Return a copy of the method with some settings changed.

        See :meth:`ClassicalMethod.adjusted`.
        """
        return self.method.adjusted(**settings)

    def _stream(
        self, recording: SpikeRecording, centers: Sequence[int], rate_scale: float
    ) -> Iterator[Tensor]:
        return self.method.reconstruct_stream(recording, centers, rate_scale=rate_scale)


class TFPModule(ClassicalModule):
    """Lightning module of :class:`TFP`.

    Args:
        window: Planes of the window, cut to the clip.
        clip_length: See :class:`ClassicalModule`.
        lpips: See :class:`ClassicalModule`.
        protocols: See :class:`ClassicalModule`.
    """

    def __init__(
        self,
        window: int = 41,
        clip_length: int = CLIP_LENGTH,
        lpips: str = "auto",
        protocols: Sequence[str] = (),
    ) -> None:
        super().__init__(clip_length, lpips=lpips, protocols=protocols)
        self.method = TFP(window)


class TFIModule(ClassicalModule):
    """Lightning module of :class:`TFI`.

    Args:
        average: Planes to average over, cut to the clip; 9 suits fast scenes, 21 slow ones.
        clip_length: See :class:`ClassicalModule`.
        lpips: See :class:`ClassicalModule`.
        protocols: See :class:`ClassicalModule`.
    """

    def __init__(
        self,
        average: int = 1,
        clip_length: int = CLIP_LENGTH,
        lpips: str = "auto",
        protocols: Sequence[str] = (),
    ) -> None:
        super().__init__(clip_length, lpips=lpips, protocols=protocols)
        self.method = TFI(average)


class AlignedTFIModule(ClassicalModule):
    """Lightning module of :class:`AlignedTFI`.

    Args:
        window: Planes to average over, cut to the clip; 5 or more.
        unblurs: Whether the motion blur of intervals is removed.
        oracle_flow: Whether planes are averaged along the ground-truth flow, as an upper bound. The
            data must have ``flow_offset: 20``; recordings without flow cannot be reconstructed.
        flow_error: Root mean square, in pixels per plane, of a smooth random error that is added to
            each component of the ground-truth flow. Errors 16 pixels apart are independent.
        clip_length: See :class:`ClassicalModule`.
        lpips: See :class:`ClassicalModule`.
        protocols: See :class:`ClassicalModule`.
    """

    method: AlignedTFI

    def __init__(
        self,
        window: int = WINDOW,
        unblurs: bool = True,
        oracle_flow: bool = False,
        flow_error: float = 0.0,
        clip_length: int = CLIP_LENGTH,
        lpips: str = "auto",
        protocols: Sequence[str] = (),
    ) -> None:
        if flow_error and not oracle_flow:
            raise ConfigError("flow_error: needs oracle_flow: true, whose flow it is added to")
        super().__init__(clip_length, lpips=lpips, protocols=protocols)
        self.method = AlignedTFI(window, unblurs=unblurs)

    def predict_step(self, batch: ReconstructionBatch, batch_idx: int) -> Tensor:
        """Return the reconstruction, ``(B, 1, H, W)``, along the oracle flow if configured."""
        return self.predict_with_flow(batch, batch_idx)[0]

    def predict_with_flow(
        self, batch: ReconstructionBatch, batch_idx: int
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Return the reconstruction and the optical flow that was used."""
        velocities = None
        if self.hparams["oracle_flow"]:
            away = torch.tensor([-FLOW_OFFSET, FLOW_OFFSET], device=self.device).view(2, 1, 1, 1)
            velocities = ground_truth_flow(batch, "oracle_flow") / away
            if size := self.hparams["flow_error"]:
                velocities = velocities + size * _smooth_noise(velocities, seed=batch_idx)
        spikes = batch["spikes"]
        means = self.method.along(spikes, spikes.shape[1] // 2, velocities)
        images = torch.stack([mean.rate for mean in means])[:, None]
        fields = torch.stack([mean.field for mean in means])
        return (images / batch["rate_scale"].view(-1, 1, 1, 1)).clamp(0, 1), [fields]

    def _stream(
        self, recording: SpikeRecording, centers: Sequence[int], rate_scale: float
    ) -> Iterator[Tensor]:
        if self.hparams["oracle_flow"]:
            raise oracle_flow_error("oracle_flow")
        return super()._stream(recording, centers, rate_scale)


def _smooth_noise(velocities: Tensor, seed: int) -> Tensor:
    """Return a smooth random field for both directions, ``(B, 1, 2, H, W)``, RMS 1."""
    batch, _, _, height, width = velocities.shape
    coarse = (height // _CELL + 2, width // _CELL + 2)
    noise = torch.randn(batch, 2, *coarse, generator=torch.Generator().manual_seed(seed))
    field = functional.interpolate(noise, (height, width), mode="bicubic")[:, None]
    return (field / field.square().mean().sqrt()).to(velocities)


class ColourModule(ClassicalModule):
    """Lightning module of a colour method; the data must have ``colour: true``.

    Args:
        method: ``"tfp"``, ``"tfi"``, ``"aligned"`` or ``"filled"``, see :class:`ColourTFP`,
            :class:`ColourTFI`, :class:`ColourAlignedTFI` and :class:`FilledColour`.
        settings: Arguments of the method.
        clip_length: See :class:`ClassicalModule`.
        lpips: See :class:`ClassicalModule`.
        protocols: See :class:`ClassicalModule`.
    """

    method: ColourMethod
    channels = 3

    def __init__(
        self,
        method: Literal["tfp", "tfi", "aligned", "filled"] = "aligned",
        settings: Mapping[str, Any] | None = None,
        clip_length: int = CLIP_LENGTH,
        lpips: str = "auto",
        protocols: Sequence[str] = (),
    ) -> None:
        super().__init__(clip_length, lpips=lpips, protocols=protocols)
        self.method = _COLOUR_METHODS[method](**(settings or {}))

    def predict_step(self, batch: ReconstructionBatch, batch_idx: int) -> Tensor:
        """Return the reconstructions ``(B, 3, H, W)`` in [0, 1].

        Raises:
            ConfigError: If batches have no filter layout ``cfa``.
        """
        if "cfa" not in batch:
            raise ConfigError("data.init_args.colour: must be true for methods in colour")
        spikes, middle = batch["spikes"], batch["spikes"].shape[1] // 2
        clips = zip(spikes, batch["cfa"], batch["rate_scale"], strict=True)
        images = [self.method.colour(clip, middle, cfa) / scale for clip, cfa, scale in clips]
        return torch.stack(images).clamp(0, 1)


class TFSTPModule(ClassicalModule):
    """Lightning module of :class:`TFSTP`; arguments as of the base class."""

    method = TFSTP()  # it has no settings and no state
