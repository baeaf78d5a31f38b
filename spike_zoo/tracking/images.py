"""Pictures beside the numbers: the same samples at every validation, and predictions as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning import Callback
from lightning.pytorch.callbacks import BasePredictionWriter
from lightning.pytorch.loggers import WandbLogger

from spike_zoo.media import save_picture, side_by_side

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lightning import LightningModule, Trainer
    from torch import Tensor

    from spike_zoo.batch import ReconstructionBatch

PREVIEW_PLANES = 21  # playback over this window stands beside a reconstruction


class SampleImages(Callback):
    """Save strips of playback, reconstruction and ground truth; log them where W&B listens.

    Args:
        folder: Where the PNG files go.
        count: Strips of each evaluation: the first samples of the split.
    """

    def __init__(self, folder: Path, count: int = 4) -> None:
        self.folder = folder
        self.count = count

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Tensor,
        batch: ReconstructionBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the first validation samples."""
        if not trainer.sanity_checking:
            self._save(trainer, "val", outputs, batch, batch_idx)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Tensor,
        batch: ReconstructionBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the first test samples."""
        self._save(trainer, "test", outputs, batch, batch_idx)

    def _save(
        self,
        trainer: Trainer,
        split: str,
        images: Tensor,
        batch: ReconstructionBatch,
        batch_idx: int,
    ) -> None:
        first = batch_idx * len(images)
        if not trainer.is_global_zero or first >= self.count or "image" not in batch:
            return
        playbacks = _playback(batch)
        for offset in range(min(len(images), self.count - first)):
            shown = (playbacks[offset], images[offset], batch["image"][offset])
            caption = f"{batch['name'][offset]}, plane {int(batch['plane'][offset])}"
            strip = side_by_side(
                [image.float().cpu() for image in shown],
                [f"playback, {PREVIEW_PLANES} planes", "reconstruction", "ground truth"],
            )
            path = self.folder / f"{split}-{first + offset}-step{trainer.global_step:07d}.png"
            save_picture(strip, path, overwrite=True)
            _log_to_wandb(trainer, f"{split}/sample_{first + offset}", path, caption)


class PredictionPictures(BasePredictionWriter):
    """Write every predicted image as PNG, named after its recording and plane.

    Args:
        folder: Where the files go.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(write_interval="batch")
        self.folder = folder

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Tensor,
        batch_indices: Sequence[int] | None,
        batch: ReconstructionBatch,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write the images of one batch."""
        for image, name, plane in zip(prediction, batch["name"], batch["plane"], strict=True):
            path = self.folder / f"{name}-{int(plane):06d}.png"
            save_picture(image.float().cpu(), path, overwrite=True)


def _playback(batch: ReconstructionBatch) -> Tensor:
    """Return the mean of the middle planes at the recording's scale, ``(B, 1, H, W)``."""
    spikes = batch["spikes"]
    start = max(0, (spikes.shape[1] - PREVIEW_PLANES) // 2)
    rate = spikes[:, start : start + PREVIEW_PLANES].mean(dim=1, keepdim=True)
    return (rate / batch["rate_scale"].view(-1, 1, 1, 1)).clamp(0, 1)


def _log_to_wandb(trainer: Trainer, key: str, path: Path, caption: str) -> None:
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            arguments: dict[str, Any] = {"caption": [caption]}
            logger.log_image(key, [str(path)], **arguments)
