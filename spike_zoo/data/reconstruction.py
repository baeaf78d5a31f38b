"""Data module of reconstruction: clips with the ground-truth image at their middle plane."""

from collections.abc import Callable
from typing import Any

from lightning.pytorch.utilities import rank_zero_warn

from spike_zoo.data.base import DEFAULT_ARCHIVE, ArchiveDataModule, Samples, check_at_least
from spike_zoo.data.windows import ReconstructionWindows
from spike_zoo.errors import ConfigError
from spike_zoo.tasks.batch import Split


class ReconstructionDataModule(ArchiveDataModule):
    """Load clips of spikes with the ground-truth image at their middle plane.

    Args:
        archive: The archive's file, or several, see :class:`ArchiveDataModule`.
        clip_length: Planes of one clip, as the method requires.
        stride: Select every ``stride``-th image of a recording.
        flow_offset: Include the flow from each image to the planes this many before and after it,
            as ``simulate --flow_offset`` stores it; 0 includes none.
        colour: Load images in colour, with the layouts of the sensors' Bayer filters. Training
            clips are then neither cropped nor turned.
        targets: Method whose images are the targets of training, such as ``"tfi-aligned"``. The
            archive's images are then used in neither training nor validation, and validation
            estimates the squared error from held-out spikes.
        loading: Arguments of :class:`ArchiveDataModule`.

    Raises:
        ConfigError: If ``clip_length`` or ``stride`` is below 1, ``flow_offset`` is negative, or
            ``targets`` is used with ``colour`` or ``flow_offset``.

    Example:
        >>> from pathlib import Path
        >>> from spike_zoo.testing import tiny_archive
        >>> archive = tiny_archive(Path("takes.h5"))  # or your own, or what simulate makes
        >>> data = ReconstructionDataModule(str(archive), crop=32, batch_size=2, seed=0)
        >>> for epoch in range(2):  # a loop without a Trainer; each epoch has a different order
        ...     for batch in data.train_dataloader():
        ...         spikes, image = batch["spikes"], batch["image"]
        >>> spikes.shape, image.shape
        (torch.Size([2, 61, 32, 32]), torch.Size([2, 1, 32, 32]))
    """

    def __init__(
        self,
        archive: list[str] | str = DEFAULT_ARCHIVE,
        clip_length: int = 61,
        stride: int = 1,
        flow_offset: int = 0,
        colour: bool = False,
        targets: str | None = None,
        **loading: Any,
    ) -> None:
        super().__init__(archive, **loading)
        self.colour = colour
        self.targets = targets
        check_at_least({"clip_length": (clip_length, 1), "stride": (stride, 1)})
        check_at_least({"flow_offset": (flow_offset, 0)})
        if targets is not None and (colour or flow_offset):
            option = "colour" if colour else "flow_offset"
            raise ConfigError(f"targets: not with {option}; remove one of them")
        self.flow_offset = flow_offset
        self.clip_length = clip_length
        self.stride = stride

    def list_samples(self, *splits: Split) -> None:
        """List the samples of some splits again, and warn of left-out recordings and images.

        Left-out images change the results, so validation and test warn of them.
        """
        super().list_samples(*splits)
        for split in splits:
            self._warn_of_recordings_left_out(split, self._samples[split])
            if split != "train":
                self._warn_of_images_left_out(split)

    def setup(self, stage: str) -> None:
        """List the samples of a stage; prediction also warns of left-out recordings."""
        super().setup(stage)
        if stage == "predict":
            self._warn_of_recordings_left_out("test", self._predicted)

    def _warn_of_recordings_left_out(self, split: Split, samples: Samples | None) -> None:
        if left_out := getattr(samples, "left_out", ""):
            rank_zero_warn(f"{self.archive_path}: of {split}, {left_out} are left out.")

    def _warn_of_images_left_out(self, split: Split) -> None:
        samples = self._samples[split]
        if not isinstance(samples, ReconstructionWindows) or samples.used == samples.images:
            return
        near, skipped = samples.images - samples.fitting, samples.fitting - len(samples.windows)
        over = len(samples.windows) - samples.used
        reasons = {
            f"{near} because clip_length {self.clip_length} does not fit around them": near,
            f"{skipped} by stride {self.stride}": skipped,
            f"{over} at the ends of recordings, too few for a sample": over,
        }
        why = " and ".join(reason for reason, count in reasons.items() if count)
        rank_zero_warn(
            f"{self.archive_path}: {samples.images - samples.used} of {samples.images} images of "
            f"{split} are left out: {why}. Do not compare the results with those over other images."
        )

    def make_predicted(self) -> ReconstructionWindows:
        """Return the clips of the test split, with or without ground-truth images.

        If a subclass overrides :meth:`make_samples`, return its test samples.
        """
        if type(self).make_samples is not ReconstructionDataModule.make_samples:
            return self.make_samples("test")
        return self.clips_to_predict()

    def clips_to_predict(self) -> ReconstructionWindows:
        """Return clips without ground truth: around each image, or overlapping if none exists."""
        return ReconstructionWindows(
            self.archive,
            self.split_name("test"),
            self.clip_length,
            stride=self.stride,
            rate_scale=self.rate_scale,
            truth=False,
            colour=self.colour,
        )

    def make_samples(self, split: Split) -> ReconstructionWindows:
        """Return the clips of one split; only training clips are cropped and turned."""
        is_training = split == "train" and not self.colour  # crops and turns change the layout
        kind: Callable[..., ReconstructionWindows] = ReconstructionWindows
        options: dict[str, Any] = {"flow_offset": self.flow_offset, "colour": self.colour}
        if self.targets is not None and split != "test":
            from spike_zoo.data.without_truth import HiddenPixelWindows, TargetWindows

            kind = TargetWindows if is_training else HiddenPixelWindows
            options = {"targets": self.targets}
        return kind(
            self.archive,
            self.split_name(split),
            self.clip_length,
            stride=self.stride,
            crop=self.crop if is_training else None,
            augment=self.augment and is_training,
            rate_scale=self.rate_scale,
            **options,
        )
