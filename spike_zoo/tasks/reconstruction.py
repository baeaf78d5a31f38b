"""What every method that makes pictures shares: evaluation, prediction, reconstruction."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, cast

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torchmetrics import MetricCollection

from spike_zoo.errors import ConfigError
from spike_zoo.metrics import reconstruction_metrics
from spike_zoo.nn.schedules import begin_schedules
from spike_zoo.spikes.packing import unpack_tensor
from spike_zoo.spikes.windows import centred_window, check_centers, mirrored_planes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lightning import LightningDataModule

    from spike_zoo.batch import ReconstructionBatch, Split
    from spike_zoo.spikes import SpikeRecording

EVALUATED_SPLITS: tuple[Split, ...] = ("val", "test")


def known_rate_scale(*candidates: float | None) -> float:
    """Return the first rate scale that is known, or 1 with a warning where none is."""
    for candidate in candidates:
        if candidate is not None:
            return float(candidate)
    warnings.warn(
        "the recording does not say how many spikes a plane holds at white; 1 is assumed, so the "
        "picture may be too dark. Give the rate scale (--rate-scale R).",
        stacklevel=3,
    )
    return 1.0


def datamodule_of(module: LightningModule) -> LightningDataModule | None:
    """Return what serves a module its data, None outside a trainer or from bare loaders."""
    trainer = module._trainer
    return None if trainer is None else getattr(trainer, "datamodule", None)


class RebuildableModule(LightningModule):
    """A module whose checkpoint alone rebuilds it, see :func:`spike_zoo.load`.

    A subclass calls ``save_hyperparameters()`` in its constructor, whose arguments are plain
    values.
    """

    def on_train_start(self) -> None:
        """Tell the schedules how long the run is."""
        begin_schedules(self.trainer)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write the class path, so that the file alone rebuilds the module."""
        checkpoint["spike_zoo"] = {
            "class_path": f"{type(self).__module__}.{type(self).__qualname__}",
            "hyper_parameters": {
                name: value
                for name, value in self.hparams.items()
                if name not in ("_class_path", "_instantiator")
            },
        }


class ReconstructionModule(RebuildableModule):
    """A method that turns a clip of spikes into the image at its middle plane.

    A subclass sets :attr:`clip_length`, defines ``forward(spikes, rate_scale)`` and, where it
    learns, ``training_step`` and ``configure_optimizers``.

    Args:
        lpips: ``"auto"`` measures LPIPS where its backbone is at hand, ``"off"`` never does, a
            path names the backbone's file.
        protocols: Published evaluation protocols to report beside the usual metrics, as
            ``"stir"`` (``test/psnr_stir``, ``test/ssim_stir``).

    Attributes:
        clip_length: Planes of one clip; the image belongs to plane ``clip_length // 2``.
        own_rate_scale: Spikes per plane at white the method was made for, where it has one.
        monitor: Log key by which a run's best checkpoint is chosen.
        monitor_mode: Whether its ``"max"`` or ``"min"`` is the best.
        picture_options: Attributes that say how pictures are computed, not what they show.
    """

    monitor: str = "val/psnr"
    monitor_mode: str = "max"
    clip_length: int
    own_rate_scale: float | None = None
    picture_options: tuple[str, ...] = ()

    def __init__(self, *, lpips: str = "auto", protocols: Sequence[str] = ()) -> None:
        super().__init__()
        self.lpips = lpips
        self.protocols = tuple(protocols)
        self.split_metrics = nn.ModuleDict()

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Reconstruct the middle plane: ``(B, T, H, W)`` -> ``(B, 1, H, W)`` in [0, 1]."""
        raise NotImplementedError

    def setup(self, stage: str) -> None:
        """Make the metrics of the splits that will be evaluated; they hold no weights.

        Raises:
            ConfigError: If the data has clips of another length than the method takes.
        """
        served = getattr(datamodule_of(self), "clip_length", None)
        if served is not None:
            self.check_clip(served)
        if not self.split_metrics:
            metrics = reconstruction_metrics(lpips=self.lpips, protocols=self.protocols)
            for split in EVALUATED_SPLITS:
                self.split_metrics[split] = metrics.clone(prefix=f"{split}/")

    def check_clip(self, planes: int) -> None:
        """Refuse clips of another length than the method takes.

        Raises:
            ConfigError: With both lengths.
        """
        if planes != self.clip_length:
            raise ConfigError(
                f"data.init_args.clip_length: the clips have {planes} planes, "
                f"{type(self).__name__} takes {self.clip_length}; set it to {self.clip_length}"
            )

    def validation_step(self, batch: ReconstructionBatch, batch_idx: int) -> Tensor:
        """Return the reconstruction and add it to the validation metrics."""
        return self._evaluate(batch, "val")

    def test_step(self, batch: ReconstructionBatch, batch_idx: int) -> Tensor:
        """Return the reconstruction and add it to the test metrics."""
        return self._evaluate(batch, "test")

    def predict_step(self, batch: ReconstructionBatch, batch_idx: int) -> Tensor:
        """Return the reconstruction ``(B, 1, H, W)`` in [0, 1]."""
        self.check_clip(batch["spikes"].shape[1])
        return self(batch["spikes"], batch["rate_scale"]).float()

    def _evaluate(self, batch: ReconstructionBatch, split: Split) -> Tensor:
        self.check_clip(batch["spikes"].shape[1])
        image = self(batch["spikes"], batch["rate_scale"]).float()
        metrics = cast(MetricCollection, self.split_metrics[split])
        metrics.update(image, batch["image"])
        self.log_dict(
            metrics,
            on_step=False,
            on_epoch=True,
            batch_size=len(image),
            prog_bar=split == "val",
        )
        return image

    def reconstruct(
        self,
        recording: SpikeRecording,
        centers: Sequence[int],
        *,
        rate_scale: float | None = None,
    ) -> Tensor:
        """Reconstruct the images at some planes of a recording.

        Args:
            recording: The spikes.
            centers: Planes to reconstruct.
            rate_scale: Spikes per plane at white; the recording's own where not given, then the
                method's, then 1 with a warning.

        Returns:
            float32 ``(len(centers), 1, H, W)`` in [0, 1], on the CPU.

        Raises:
            PlaneRangeError: If a centre lies outside the recording, or the recording is shorter
                than half a window.
        """
        images = self.reconstruct_stream(recording, centers, rate_scale=rate_scale)
        _, height, width = recording.shape
        result = torch.empty(len(centers), 1, height, width)
        for index, image in enumerate(images):
            result[index] = image
        return result

    def reconstruct_stream(
        self,
        recording: SpikeRecording,
        centers: Sequence[int],
        *,
        rate_scale: float | None = None,
    ) -> Iterator[Tensor]:
        """Yield the images of :meth:`reconstruct` one by one, ``(1, H, W)``, in constant memory."""
        check_centers(centers, len(recording))
        scale = known_rate_scale(rate_scale, recording.rate_scale, self.own_rate_scale)
        return self._stream(recording, centers, scale)

    def _stream(
        self, recording: SpikeRecording, centers: Sequence[int], rate_scale: float
    ) -> Iterator[Tensor]:
        was_training = self.training
        self.eval()
        scale = torch.full((1,), rate_scale, device=self.device)
        try:
            for center in centers:
                clip = read_clip(recording, center, self.clip_length).to(self.device)
                spikes = unpack_tensor(clip, recording.shape[2])[None].float()
                with torch.inference_mode():
                    image = self(spikes, scale)[0].float().cpu()
                yield image
        finally:
            self.train(was_training)


def read_clip(recording: SpikeRecording, center: int, length: int) -> Tensor:
    """Read the packed window around a plane, mirrored in time at the recording's ends.

    Returns:
        uint8 ``(length, H, ceil(W/8))``.

    Raises:
        PlaneRangeError: If the recording is shorter than half the window.
    """
    start, stop = centred_window(center, length)
    planes = mirrored_planes(start, stop, len(recording))
    first = int(planes.min())
    packed = recording.read_packed(first, int(planes.max()) + 1)
    return torch.from_numpy(packed[planes - first])
