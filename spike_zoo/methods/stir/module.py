"""Lightning module of STIR."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Self

import torch
from torch import Tensor

from spike_zoo.checkpoints.state_dicts import WeightsSource
from spike_zoo.methods.stir.losses import LOSS, STIRLoss, STIRLossOptions
from spike_zoo.methods.stir.network import NETWORK, PLANES, STIR, STIROptions, STIRPyramid
from spike_zoo.methods.stir.official import read_official
from spike_zoo.methods.stir.streaming import Precision, WindowStream
from spike_zoo.methods.stir.tiling import check_side
from spike_zoo.nn.eval_mode import eval_mode
from spike_zoo.nn.options import check_choice, options_of
from spike_zoo.nn.schedules import ScheduleKind, check_schedule
from spike_zoo.spikes.rate_scale import rate_scale_of
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.tasks import clips
from spike_zoo.tasks.batch import ReconstructionBatch, SceneBatch
from spike_zoo.tasks.reconstruction import ReconstructionModule
from spike_zoo.tasks.scene_training import scene_terms

SREDS_RATE_SCALE = 0.4  # spikes per plane at white in the data of the published weights


class STIRModule(ReconstructionModule):
    """Train :class:`STIR` on clips with ground truth images, and reconstruct with it.

    Args:
        pyramid_levels: Levels of the feature pyramid, 3 to 5.
        width: Factor of the number of channels.
        network: Further switches of the network.
        learning_rate: Learning rate of Adam, betas 0.9 and 0.999.
        weight_decay: L2 penalty on every parameter; 4e-4 in the paper.
        schedule: Schedule of the learning rate, see :func:`schedule_factor`.
        warmup: Fraction of the run in which the learning rate rises.
        loss: Weights of the loss.
        scale_input: Whether spikes are divided by the rate scale; False in the paper.
        lpips: See :class:`ReconstructionModule`.
        protocols: See :class:`ReconstructionModule`.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> from spike_zoo.testing import pattern_take
        >>> module = STIRModule(width=0.25, pyramid_levels=3, lpips="off").eval()
        >>> module.reconstruct(pattern_take(0).recording, [40]).shape
        torch.Size([1, 1, 40, 48])
    """

    clip_length = PLANES
    applies_maps = True
    inference_options = ("tile", "precision", "compiled")
    stream: type[WindowStream] = WindowStream
    estimates_flow = False
    flow_source = ""
    motion = clips.motion

    def __init__(
        self,
        pyramid_levels: int = 5,
        width: float = 1.0,
        network: STIROptions = NETWORK,
        learning_rate: float = 1e-4,
        weight_decay: float = 0.0,
        schedule: ScheduleKind = "cosine",
        warmup: float = 0.02,
        loss: STIRLossOptions = LOSS,
        scale_input: bool = True,
        lpips: str = "auto",
        protocols: Sequence[str] = (),
    ) -> None:
        super().__init__(lpips=lpips, protocols=protocols)
        self.save_hyperparameters()
        check_schedule(schedule, learning_rate, warmup)  # raise before data are loaded
        if not weight_decay >= 0:
            raise ValueError(f"weight_decay must be 0 or more, got {weight_decay}")
        self.network = STIR(pyramid_levels, width, options_of(STIROptions, network))
        self.loss_options = options_of(STIRLossOptions, loss)
        self.loss: STIRLoss | None = None
        self.scale_input = scale_input
        self.own_rate_scale = None if scale_input else SREDS_RATE_SCALE
        self._tile: int | None = None
        self._precision: Precision = "32"
        self.compiled = False  # whether reconstruct() compiles the network first

    @classmethod
    def from_official(cls, source: WeightsSource) -> Self:
        """Return the published network with published weights and input, in evaluation mode.

        Args:
            source: Checkpoint file or state dict, see :meth:`STIR.from_official`.

        Raises:
            WeightsError: If names or shapes differ; the message names the first of each kind.
            MissingFileError: If the file does not exist.
        """
        module = cls(scale_input=False)
        module.network.load_state_dict(read_official(source, module.network.state_dict()))
        return module.eval()

    def setup(self, stage: str) -> None:
        """Create the metrics and, for training, the loss, which may need a backbone's weights."""
        super().setup(stage)
        if stage == "fit":
            self.loss = self.loss or STIRLoss(self.loss_options)

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Reconstruct plane 30: ``(B, 61, H, W)`` -> ``(B, 1, H, W)`` in [0, 1]."""
        return self.network(self._network_input(spikes, rate_scale))

    @property
    def tile(self) -> int | None:
        """Largest side in pixels of the tiles of :meth:`reconstruct`, see :class:`TileGrid`.

        None: 1024 for frames above a million pixels, else no tiles. 0: no tiles. Other values
        below 128 raise ValueError.
        """
        return self._tile

    @tile.setter
    def tile(self, side: int | None) -> None:
        check_side(side)
        self._tile = side

    @property
    def precision(self) -> Precision:
        """Precision of :meth:`reconstruct`: "32", or "bf16" for autocast."""
        return self._precision

    @precision.setter
    def precision(self, precision: Precision) -> None:
        check_choice("precision", precision, Precision)
        self._precision = precision

    def predict_with_flow(
        self, batch: ReconstructionBatch, batch_idx: int
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Return the reconstruction; if the batch has ground-truth flow, also the flow fields."""
        if "flow" not in batch:
            return super().predict_with_flow(batch, batch_idx)
        pyramid, fields = self.pyramid(batch)
        return pyramid.image.float(), fields

    def training_step(self, batch: ReconstructionBatch | SceneBatch, batch_idx: int) -> Tensor:
        """Return the loss of clips, or the mean loss over the windows of scenes; log every term."""
        is_first_counted = self.loss_options.first_window
        terms = scene_terms(self, self.terms, batch, is_first_counted=is_first_counted)
        logged = {f"train/{name}": value for name, value in terms.items()}
        self.log_dict(logged, batch_size=len(batch["spikes"]))
        return terms["total"]

    def terms(self, batch: ReconstructionBatch) -> dict[str, Tensor]:
        """Return the terms of the loss by name, with the weighted sum as ``"total"``."""
        return self.loss_terms(self.pyramid(batch)[0], batch)

    def loss_terms(self, pyramid: STIRPyramid, batch: ReconstructionBatch) -> dict[str, Tensor]:
        """Return :meth:`terms` of the output of the network for a batch."""
        self.loss = self.loss or STIRLoss(self.loss_options)
        return self.loss(pyramid, batch["image"])

    def pyramid(
        self, batch: ReconstructionBatch, flows: Mapping[int, Tensor] | None = None
    ) -> tuple[STIRPyramid, Sequence[Tensor]]:
        """Return the network's output for a batch, and the fields that aligned its features.

        Args:
            batch: The clips.
            flows: See :meth:`STIR.pyramid`.

        Raises:
            ConfigError: If the clips have another length than :attr:`clip_length`.
        """
        self.check_clip(batch["spikes"].shape[1])
        planes = self._network_input(batch["spikes"], batch["rate_scale"])
        pyramid = self.network.pyramid(planes, flows)
        return pyramid, pyramid.fields()

    def _stream(
        self, recording: SpikeRecording, centers: Sequence[int], rate_scale: float
    ) -> Iterator[Tensor]:
        scale = rate_scale if self.scale_input else 1.0
        options = {name: getattr(self, name) for name in self.inference_options}
        with eval_mode(self):
            yield from self.stream(self.network, recording, scale, **options).images(centers)

    def _fields(
        self, recording: SpikeRecording, centers: Sequence[int], rate_scale: float | None
    ) -> Iterator[Tensor]:
        if not self.network.predicts_flow:
            raise ValueError("a network with interaction 'synthesis_only' estimates no motion")
        scale = rate_scale_of(recording, rate_scale, self.own_rate_scale, estimates=False).value
        with eval_mode(self), torch.inference_mode():
            for center in centers:
                spikes = clips.read_clip(recording, center, PLANES, self.device)[None].float()
                spikes = recording.corrected(spikes)
                planes = self._network_input(spikes, spikes.new_tensor([scale]))
                yield self.network.pyramid(planes).fields()[0].cpu()

    def _network_input(self, spikes: Tensor, rate_scale: Tensor | None) -> Tensor:
        if rate_scale is None or not self.scale_input:
            return spikes
        return spikes / rate_scale.to(spikes).view(-1, 1, 1, 1)
