"""One short video per test: what single pictures do not show is how still a method holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from lightning import Callback
from lightning.pytorch.loggers import WandbLogger

from spike_zoo.errors import ConfigError
from spike_zoo.media import save_video, side_by_side, to_bytes
from spike_zoo.spikes.windows import spread_planes
from spike_zoo.tracking.images import RECONSTRUCTION, TRUTH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lightning import LightningModule, Trainer
    from numpy.typing import NDArray
    from torch import Tensor

FILENAME = "test.mp4"
FPS = 10.0
SEQUENCE = 7  # images of one exposure
LONGEST = 40
FEWEST = 2


@runtime_checkable
class MakesSequences(Protocol):
    """A method that turns one exposure into many images."""

    def images_at(
        self, blur: Tensor, spikes: Tensor, times: Sequence[int], span: tuple[int, int]
    ) -> Tensor:
        """Return the images at some planes, ``(len(times), B, 3, H, W)`` in [0, 1]."""


class SampleVideo(Callback):
    """Save the first recording of a test as a video, and log it where W&B listens.

    Of a method that deblurs it is the sequence of one exposure beside the blurry image; of one
    that reconstructs, the recording's consecutive test images beside their ground truth.

    Args:
        folder: Where ``test.mp4`` goes.
        longest: Images of it, at most.
    """

    def __init__(self, folder: Path, longest: int = LONGEST) -> None:
        self.path = folder / FILENAME
        self.longest = longest
        self._begin()

    def _begin(self) -> None:
        self._images: list[NDArray[Any]] = []
        self._planes: list[int] = []
        self._name: str | None = None
        self._is_complete = False

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin an empty video."""
        self._begin()
        self._is_complete = not trainer.is_global_zero

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  (what the module's step returns)
        batch: Any,  # noqa: ANN401  (of exposures or of clips)
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add what the batch shows of the first recording."""
        if self._is_complete:
            return
        if "blur" in batch:
            self._is_complete = True
            if isinstance(pl_module, MakesSequences):
                self._add_exposure(pl_module, batch)
        elif torch.is_tensor(outputs) and "plane" in batch:
            self._add_clips(outputs, batch)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the video, whole or not at all, and log it."""
        if len(self._images) < FEWEST:
            return
        save_video(self._images, self.path, FPS, overwrite=True)
        caption = f"{self._name}, planes {self._planes[0]} to {self._planes[-1]}"
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_video(
                    "test/video",
                    [str(self.path)],
                    step=trainer.global_step,
                    caption=[caption],
                    format=["mp4"],
                )

    def _add_exposure(self, module: MakesSequences, batch: Any) -> None:  # noqa: ANN401  (DeblurBatch)
        start, stop = batch["exposure"][0].tolist()
        self._name, self._planes = batch["name"][0], spread_planes(start, stop, SEQUENCE)
        blur, spikes = batch["blur"][:1], batch["spikes"][:1]
        try:
            with torch.inference_mode():
                images = module.images_at(blur, spikes, self._planes, (start, stop))
        except ConfigError:  # a stage that trains one network of several makes no images yet
            return
        for image in images[:, 0]:
            self._add({"blurry": blur[0], RECONSTRUCTION: image.float()})

    def _add_clips(self, outputs: Tensor, batch: Any) -> None:  # noqa: ANN401  (ReconstructionBatch)
        for index, name in enumerate(batch["name"]):
            self._name = self._name or name
            if name != self._name or len(self._images) >= self.longest:
                self._is_complete = True
                return
            pictures = {RECONSTRUCTION: outputs[index].float()}
            if "image" in batch:
                pictures[TRUTH] = batch["image"][index]
            self._planes.append(int(batch["plane"][index]))
            self._add(pictures)

    def _add(self, pictures: dict[str, Tensor]) -> None:
        self._images.append(to_bytes(side_by_side(list(pictures.values()), list(pictures))))
