"""Pictures beside the numbers: the same samples at every evaluation, and a video of a test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

from spike_zoo.callbacks.evaluation import EvaluationCallback
from spike_zoo.media import save_picture, save_video, side_by_side, to_bytes
from spike_zoo.records.result import RECONSTRUCTIONS, TRUTHS
from spike_zoo.tasks.evaluation import RECONSTRUCTION, TRUTH, SamplePictures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lightning import LightningModule, Trainer
    from numpy.typing import NDArray

    from spike_zoo.tasks.evaluation import Evaluation

VIDEO = "test.mp4"
FPS = 10.0
LONGEST = 40  # images
FEWEST = 2


class SampleImages(EvaluationCallback):
    """Save reconstructions of the same samples at every evaluation, as strips that loggers show.

    Strips go to W&B, their captions naming recording and plane, and to TensorBoard. The samples
    are spread evenly over the split. A test also leaves each reconstruction and its ground truth as
    files of their own, named after recording and plane, so that runs can be put side by side.

    Args:
        folder: Where the PNG files go.
        count: Samples of each evaluation.
    """

    has_validation = True

    def __init__(self, folder: Path, count: int = 4) -> None:
        self.folder = folder
        self.count = count

    def on_evaluation(self, trainer: Trainer, evaluation: Evaluation, batch_idx: int) -> None:
        """Keep a chosen sample: a strip, and of a test reconstruction and ground truth."""
        batches = trainer.num_test_batches if trainer.testing else trainer.num_val_batches
        number = self._number(batches, batch_idx)
        if number is None or not evaluation.shown or trainer.sanity_checking:
            return
        if not trainer.is_global_zero:
            return
        shown, split = evaluation.shown[0], "test" if trainer.testing else "val"
        step = "" if trainer.testing else f"-step{trainer.global_step:07d}"
        path = self.folder / f"{split}-{number}{step}.png"
        strip = side_by_side(list(shown.pictures.values()), list(shown.pictures))
        save_picture(strip, path, overwrite=True)
        log_picture(trainer, f"{split}/sample_{number}", path, strip, shown.caption)
        if not trainer.testing or TRUTH not in shown.pictures:
            return  # nothing to put side by side over runs
        for kind, caption in {RECONSTRUCTIONS: RECONSTRUCTION, TRUTHS: TRUTH}.items():
            path = self.folder / kind / f"{shown.stem}.png"
            save_picture(shown.pictures[caption].float(), path, overwrite=True)

    def _number(self, batches: Sequence[int | float], batch_idx: int) -> int | None:
        """Return which of the chosen samples a batch begins with, None where it is not one."""
        last = int(batches[0]) - 1
        steps = max(self.count - 1, 1)
        chosen = list(dict.fromkeys(round(number * last / steps) for number in range(self.count)))
        return chosen.index(batch_idx) if batch_idx in chosen else None


class SampleVideo(EvaluationCallback):
    """Save the first recording of a test as a video, and log it where W&B listens.

    Of a task that makes many images of one sample it is that sequence, as of one exposure beside
    its blurry image; of others, the recording's consecutive test images beside their ground truth.

    Args:
        folder: Where ``test.mp4`` goes.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / VIDEO
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
        """Write the video atomically and log it."""
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


def log_picture(
    trainer: Trainer, key: str, path: Path, picture: NDArray[Any], caption: str
) -> None:
    """Show a picture where W&B or TensorBoard listens.

    Args:
        trainer: Whose loggers they are, and at which step.
        key: Log key.
        path: Its file.
        picture: The same, ``(C, H, W)``.
        caption: What it shows; TensorBoard has none, so it is part of the key there.
    """
    step = trainer.global_step
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(key, [str(path)], step=step, caption=[caption])
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(f"{key}/{caption}", picture, step)
