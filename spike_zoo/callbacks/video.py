"""One short video per test: what single pictures do not show is how still a method holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import WandbLogger

from spike_zoo.callbacks.evaluation import EvaluationCallback
from spike_zoo.media import save_video, side_by_side, to_bytes
from spike_zoo.tasks.evaluation import RECONSTRUCTION, TRUTH, SamplePictures

if TYPE_CHECKING:
    from lightning import LightningModule, Trainer
    from numpy.typing import NDArray

    from spike_zoo.tasks.evaluation import Evaluation

FILENAME = "test.mp4"
FPS = 10.0
LONGEST = 40
FEWEST = 2


class SampleVideo(EvaluationCallback):
    """Save the first recording of a test as a video, and log it where W&B listens.

    Of a task that makes many images of one sample it is that sequence, as of one exposure beside
    its blurry image; of others, the recording's consecutive test images beside their ground truth.

    Args:
        folder: Where ``test.mp4`` goes.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILENAME
        self.reset()

    def reset(self) -> None:
        """Forget an earlier test."""
        self._images: list[NDArray[Any]] = []
        self._shown: list[SamplePictures] = []
        self._is_complete = False

    def on_evaluation(self, trainer: Trainer, evaluation: Evaluation, batch_idx: int) -> None:
        """Add what the batch shows of the first recording."""
        if self._is_complete or not trainer.is_global_zero:
            return
        if evaluation.sequence is not None:
            self._is_complete = True
            for shown in evaluation.sequence():
                self._add(shown, list(shown.pictures))
            return
        for shown in evaluation.shown:
            name = self._shown[0].origin.name if self._shown else shown.origin.name
            if shown.origin.name != name or len(self._shown) >= LONGEST:
                self._is_complete = True
                return
            if RECONSTRUCTION in shown.pictures:  # a label is no picture
                self._add(shown, [one for one in (RECONSTRUCTION, TRUTH) if one in shown.pictures])

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the video, whole or not at all, and log it."""
        if len(self._images) < FEWEST:
            return
        save_video(self._images, self.path, FPS, overwrite=True)
        first, last = self._shown[0].origin, self._shown[-1].origin
        caption = f"{first.name}, planes {first.plane} to {last.plane}"
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_video(
                    "test/video",
                    [str(self.path)],
                    step=trainer.global_step,
                    caption=[caption],
                    format=["mp4"],
                )

    def _add(self, shown: SamplePictures, captions: list[str]) -> None:
        pictures = [shown.pictures[caption] for caption in captions]
        self._images.append(to_bytes(side_by_side(pictures, captions)))
        self._shown.append(shown)
