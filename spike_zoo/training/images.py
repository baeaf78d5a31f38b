"""Sample pictures of every evaluation and the video of a test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

from spike_zoo.media import save_picture, save_video, side_by_side, to_bytes
from spike_zoo.tasks.evaluation import RECONSTRUCTION, TRUTH, SamplePictures
from spike_zoo.training.evaluation import EvaluationCallback
from spike_zoo.training.result import RECONSTRUCTIONS, TRUTHS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lightning import LightningModule, Trainer
    from numpy.typing import NDArray

    from spike_zoo.tasks.evaluation import Evaluation

VIDEO = "test.mp4"
FPS = 10.0
MAX_IMAGES = 40  # images
MIN_IMAGES = 2


class SampleImages(EvaluationCallback):
    """Save reconstructions of the same samples at every evaluation as strips of pictures.

    Strips are logged to W&B, with recording and plane in the caption, and to TensorBoard. The
    samples are spread evenly over the split. A test also writes each reconstruction and its ground
    truth to separate files, named after recording and plane, so that runs can be compared.

    Args:
        folder: Folder of the PNG files.
        count: Number of samples per evaluation.
    """

    has_validation = True

    def __init__(self, folder: Path, count: int = 4) -> None:
        self.folder = folder
        self.count = count

    def on_evaluation(self, trainer: Trainer, evaluation: Evaluation, batch_idx: int) -> None:
        """Write the strip of a chosen sample; in a test, also reconstruction and ground truth."""
        batches = trainer.num_test_batches if trainer.testing else trainer.num_val_batches
        number = self._number(batches, batch_idx)
        if number is None or not evaluation.samples or trainer.sanity_checking:
            return
        if not trainer.is_global_zero:
            return
        sample, split = evaluation.samples[0], "test" if trainer.testing else "val"
        step = "" if trainer.testing else f"-step{trainer.global_step:07d}"
        path = self.folder / f"{split}-{number}{step}.png"
        strip = side_by_side(list(sample.pictures.values()), list(sample.pictures))
        save_picture(strip, path, overwrite=True)
        log_picture(trainer, f"{split}/sample_{number}", path, strip, sample.caption)
        if not trainer.testing or TRUTH not in sample.pictures:
            return  # nothing to compare between runs
        for kind, caption in {RECONSTRUCTIONS: RECONSTRUCTION, TRUTHS: TRUTH}.items():
            path = self.folder / kind / f"{sample.stem}.png"
            save_picture(sample.pictures[caption].float(), path, overwrite=True)

    def _number(self, batches: Sequence[int | float], batch_idx: int) -> int | None:
        """Return the number of the chosen sample that a batch starts with, or None."""
        last = int(batches[0]) - 1
        steps = max(self.count - 1, 1)
        chosen = list(dict.fromkeys(round(number * last / steps) for number in range(self.count)))
        return chosen.index(batch_idx) if batch_idx in chosen else None


class SampleVideo(EvaluationCallback):
    """Save the first recording of a test as a video, and log it to W&B.

    If an evaluation has a sequence (for example of one exposure with its blurry image), the video
    shows the sequence. Otherwise it shows the recording's consecutive test images with their ground
    truth.

    Args:
        folder: Folder of ``test.mp4``.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / VIDEO
        self.reset()

    def reset(self) -> None:
        """Clear the data of an earlier test."""
        self._images: list[NDArray[Any]] = []
        self._samples: list[SamplePictures] = []
        self._is_complete = False

    def on_evaluation(self, trainer: Trainer, evaluation: Evaluation, batch_idx: int) -> None:
        """Add the pictures of the batch that belong to the first recording."""
        if self._is_complete or not trainer.is_global_zero:
            return
        if evaluation.sequence is not None:
            self._is_complete = True
            for sample in evaluation.sequence():
                self._add(sample, list(sample.pictures))
            return
        for sample in evaluation.samples:
            name = self._samples[0].origin.name if self._samples else sample.origin.name
            if sample.origin.name != name or len(self._samples) >= MAX_IMAGES:
                self._is_complete = True
                return
            if RECONSTRUCTION in sample.pictures:  # not in classification
                captions = [c for c in (RECONSTRUCTION, TRUTH) if c in sample.pictures]
                self._add(sample, captions)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the video atomically and log it."""
        if len(self._images) < MIN_IMAGES:
            return
        save_video(self._images, self.path, FPS, overwrite=True)
        first, last = self._samples[0].origin, self._samples[-1].origin
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

    def _add(self, sample: SamplePictures, captions: list[str]) -> None:
        pictures = [sample.pictures[caption] for caption in captions]
        self._images.append(to_bytes(side_by_side(pictures, captions)))
        self._samples.append(sample)


def log_picture(
    trainer: Trainer, key: str, path: Path, picture: NDArray[Any], caption: str
) -> None:
    """Log a picture to the W&B and TensorBoard loggers of a trainer.

    Args:
        trainer: The trainer, for its loggers and step.
        key: Log key.
        path: File of the picture, logged to W&B.
        picture: The picture ``(C, H, W)``, logged to TensorBoard.
        caption: Caption in W&B; in TensorBoard, which has no captions, part of the key.
    """
    step = trainer.global_step
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(key, [str(path)], step=step, caption=[caption])
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(f"{key}/{caption}", picture, step)
