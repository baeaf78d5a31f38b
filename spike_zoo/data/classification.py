"""Data module of labelled clips for classification: the middle of each recording and its class."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from lightning.pytorch.utilities import rank_zero_warn
from numpy.typing import NDArray

from spike_zoo.archive.reader import SpikeArchive
from spike_zoo.data.base import ArchiveDataModule, check_at_least, counted_reasons
from spike_zoo.data.batches import collate, unpacked
from spike_zoo.data.sampling import SampleKey
from spike_zoo.errors import ConfigError
from spike_zoo.spikes.windows import centred_window
from spike_zoo.tasks.batch import Split

LABELLED_ARCHIVE = "data/digits.h5"


class LabelledClip(NamedTuple):
    """One sample: the clip of a labelled recording, with its middle plane, size and rate scale."""

    name: str
    label: int
    plane: int
    size: tuple[int, int]
    rate_scale: float


class LabelledClips:
    """The middle clips of the labelled recordings of one split, the same in training and test.

    Args:
        archive: The archive.
        split: Name of the split in the archive.
        clip_length: Planes of one clip.
        rate_scale: Rate scale of recordings that do not state theirs; by default 1.

    Attributes:
        clips: The samples, in the order of the split.
        unlabelled: Names of recordings without a label, which are left out.
        short: Names of labelled recordings with fewer planes than a clip, which are left out.
        inputs: An array with a row for each sample, which is its entry ``inputs``. Training samples
            then have no spikes.
    """

    def __init__(
        self,
        archive: SpikeArchive,
        split: str,
        clip_length: int,
        *,
        rate_scale: float | None = None,
    ) -> None:
        self.archive = archive
        self.clip_length = clip_length
        self.rate_scale = rate_scale
        self.unlabelled: list[str] = []
        self.short: list[str] = []
        self.inputs: NDArray[Any] | None = None
        clips = [self._clip_of(name) for name in archive.names(split)]
        self.clips = [clip for clip in clips if clip is not None]

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, key: int | SampleKey) -> dict[str, Any]:
        """Read one clip, without crop or augmentation for both kinds of keys."""
        number = key.sample if isinstance(key, SampleKey) else key
        clip = self.clips[number]
        sample = {
            "label": clip.label,
            "rate_scale": np.float32(clip.rate_scale),
            "plane": clip.plane,
            "name": clip.name,
        }
        if self.inputs is not None:
            sample["inputs"] = self.inputs[number]
            if isinstance(key, SampleKey):
                return sample
        start, stop = centred_window(clip.plane, self.clip_length)
        packed = self.archive.read_packed(clip.name, start, stop)
        return {**sample, "packed": packed, "width": clip.size[1], "mode": 0}

    def _clip_of(self, name: str) -> LabelledClip | None:
        """Return the clip of a recording; None, noting the name, if it has no label or is short."""
        facts = self.archive.facts(name)  # without opening up to 70 000 recordings
        if facts.label is None:
            self.unlabelled.append(name)
            return None
        planes, height, width = facts.shape
        if planes < self.clip_length:
            self.short.append(name)
            return None
        scale = facts.rate_scale or self.rate_scale or 1.0
        return LabelledClip(name, facts.label, planes // 2, (height, width), scale)

    @property
    def left_out(self) -> str:
        """Number of left-out recordings by reason, with the first name; empty if none exists."""
        too_short = f"with fewer planes than clip_length {self.clip_length}"
        return counted_reasons({"without a label": self.unlabelled, too_short: self.short})


class ClassificationDataModule(ArchiveDataModule):
    """Load the clip in the middle of each labelled recording, and its class.

    Clips are not cropped, rotated or flipped, because the label is that of the whole recording.

    Args:
        archive: The archive's file, or several, see :class:`ArchiveDataModule`.
        clip_length: Planes of one clip, as the method requires.
        crop: Ignored, because a crop may not show the labelled object. It is an argument because
            profiles set it for data of every kind.
        augment: Must be False.
        loading: Arguments of :class:`ArchiveDataModule`. ``batch_size`` and ``eval_batch_size``
            above 1 require recordings of one size.

    Raises:
        ConfigError: If ``augment`` is True, or the clip length is below 1.

    Example:
        >>> from pathlib import Path
        >>> from spike_zoo.testing import labelled_archive
        >>> data = ClassificationDataModule(str(labelled_archive(Path("digits.h5"))), 21, seed=0)
        >>> batch = next(iter(data.train_dataloader()))
        >>> batch["spikes"].shape, sorted(batch["label"].tolist())
        (torch.Size([4, 21, 40, 48]), [0, 0, 1, 1])
    """

    simulate_command = "python -m spike_zoo simulate --kind labelled"

    def __init__(
        self,
        archive: list[str] | str = LABELLED_ARCHIVE,
        clip_length: int = 41,
        crop: int | None = None,
        augment: bool = False,
        **loading: Any,
    ) -> None:
        if augment:
            raise ConfigError(
                "augment: true is not supported: a 6 that is turned is a 9, but keeps its label. "
                "Remove it, or pass --data.init_args.augment false after a profile that sets it"
            )
        super().__init__(archive, crop=None, augment=False, **loading)
        check_at_least({"clip_length": (clip_length, 1)})
        self.clip_length = clip_length

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the classes by index, if the archive has them."""
        return self.archive.label_names

    def labels(self) -> Mapping[int, str]:
        """Return the first recording of each class in the listed samples."""
        first: dict[int, str] = {}
        for samples in self._samples.values():
            if isinstance(samples, LabelledClips):
                for clip in samples.clips:
                    first.setdefault(clip.label, clip.name)
        return first

    def clips(self, split: Split) -> LabelledClips:
        """Return the samples of a split."""
        return cast("LabelledClips", self._samples_of(split))

    def batch_of(self, split: Split, samples: Sequence[int]) -> Any:  # noqa: ANN401  (a LabelledBatch)
        """Return some samples of a split as one batch on the CPU, in any order."""
        clips = self.clips(split)
        return unpacked(collate([clips[sample] for sample in samples]), self.spike_dtype)

    def serve_inputs(self, split: Split, inputs: NDArray[Any]) -> None:
        """Add a row of an array to each sample of a split, as its entry ``inputs``.

        Training samples then have no spikes.
        """
        self.clips(split).inputs = inputs

    def make_samples(self, split: Split) -> LabelledClips:
        """Return the labelled clips of one split, and warn of recordings that are left out.

        Raises:
            ConfigError: If no clip is left, or a batch would contain clips of different sizes.
        """
        name = self.split_name(split)
        samples = LabelledClips(self.archive, name, self.clip_length, rate_scale=self.rate_scale)
        if samples.left_out:
            what = f"{self.archive_path}: of split {name!r}, {samples.left_out}"
            if not len(samples):
                raise ConfigError(
                    f"{what}: nothing is left. Give the recordings labels (Take(label=...)), or "
                    "set data.init_args.clip_length to at most their number of planes"
                )
            rank_zero_warn(
                f"{what} are left out. Do not compare the results with those over other recordings."
            )
        batch = "batch_size" if split == "train" else "eval_batch_size"
        if getattr(self, batch) > 1:
            self._check_sizes(samples.clips, batch)
        return samples

    def _check_sizes(self, clips: Sequence[LabelledClip], batch: str) -> None:
        other = next((clip for clip in clips if clip.size != clips[0].size), None)
        if other is not None:
            (height, width), (high, wide) = clips[0].size, other.size
            raise ConfigError(
                f"{self.archive_path}: recording {clips[0].name!r} is {height}x{width} and "
                f"{other.name!r} is {high}x{wide}, which cannot share a batch, and labelled clips "
                f"are not cropped; set data.init_args.{batch} to 1, or build an archive of "
                "recordings of one size"
            )
