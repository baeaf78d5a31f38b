"""Base class of data modules: loaders, order, seeds and unpacking of samples of an archive."""

import math
import operator
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from shlex import quote
from typing import Any, ClassVar, Protocol, Self

import torch
from lightning import LightningDataModule, Trainer
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch.trainer.states import TrainerStatus
from lightning.pytorch.utilities import rank_zero_warn

from spike_zoo.archive.joined import archive_files, open_archive
from spike_zoo.archive.reader import SpikeArchive
from spike_zoo.data.batches import collate, unpacked
from spike_zoo.data.loader import EvalLoader, TrainingLoader, outlive_signals
from spike_zoo.data.sampling import Epochs, EvaluationSampler, SeededSampler
from spike_zoo.errors import ConfigError, MissingFileError
from spike_zoo.formats.remote import is_address
from spike_zoo.tasks.batch import Split

DEFAULT_ARCHIVE = "data/scenes.h5"
#: Splits of each stage.
STAGES: dict[str, tuple[Split, ...]] = {
    "fit": ("train", "val"),
    "validate": ("val",),
    "test": ("test",),
    "predict": ("test",),
}
_PREFETCHED = 4  # batches per worker


class Samples(Protocol):
    """The samples of one split; a map-style dataset with a length."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def __getitem__(self, key: Any) -> Mapping[str, Any]:  # noqa: ANN401  (int or SampleKey)
        """Return one sample: uncropped for an int, cropped and turned by the seed of a key."""


class ArchiveDataModule(LightningDataModule):
    """Load samples of an HDF5 spike archive. Subclasses define the samples.

    Bits are unpacked on the device. The order of training samples and all random operations depend
    only on the seed and the epoch, not on the workers or the position at which a run is resumed.
    Several processes share the training and validation samples.

    The data module also works in loops without a Trainer: the loaders list their samples when they
    are created, each pass over the training loader is the next epoch, and batches contain planes
    and images on the device set by :meth:`to`. Loaders made while a Trainer runs leave unpacking to
    its batch hooks.

    Args:
        archive: The archive's file or address, a pattern such as ``data/part-*.h5``, or a list of
            these; several files are read as one archive.
        train_split: Split of the archive to train on.
        val_split: Split of the archive to validate on.
        test_split: Split of the archive for test and prediction.
        batch_size: Training samples in one batch of one process.
        eval_batch_size: Samples in one batch of validation, test and prediction; above 1 only
            if all recordings have one size.
        crop: Side in pixels of the square cut from training samples; None crops nothing.
        augment: Rotate and flip training samples at random.
        samples_per_epoch: Training samples per epoch; by default all.
        workers: Worker processes of each loader; 0 reads in the training process.
        seed: Seed of order, crops and augmentation; by default that of ``--seed_everything``.
        rate_scale: Spikes per plane at white if recordings state none; default: 1 and a warning.

    Raises:
        ConfigError: If a batch size or ``samples_per_epoch`` is below 1, ``workers`` or ``seed`` is
            negative, the crop is below 16 pixels, or the rate scale is not finite and above 0.
    """

    #: Command that creates the default archive, for the error about a missing archive.
    simulate_command: ClassVar[str] = "python -m spike_zoo simulate"
    #: Type of the spikes on the device; uint8 if samples have hundreds of planes.
    spike_dtype: ClassVar[torch.dtype] = torch.float32

    def __init__(
        self,
        archive: list[str] | str = DEFAULT_ARCHIVE,
        *,
        train_split: str = "train",
        val_split: str = "val",
        test_split: str = "test",
        batch_size: int = 4,
        eval_batch_size: int = 1,
        crop: int | None = 96,
        augment: bool = True,
        samples_per_epoch: int | None = None,
        workers: int = 0,
        seed: int | None = None,
        rate_scale: float | None = None,
    ) -> None:
        super().__init__()
        check_at_least({"batch_size": (batch_size, 1), "eval_batch_size": (eval_batch_size, 1)})
        limits = {"samples_per_epoch": (samples_per_epoch, 1), "workers": (workers, 0)}
        check_at_least({**limits, "seed": (seed, 0), "crop": (crop, 16)})
        if rate_scale is not None and not 0 < rate_scale < math.inf:
            raise ConfigError(f"rate_scale: must be finite and above 0, got {rate_scale}")
        self.archive_path = archive
        self.named_splits = {"train": train_split, "val": val_split, "test": test_split}
        self.batch_size = operator.index(batch_size)  # torch's loader rejects numpy's numbers
        self.eval_batch_size = operator.index(eval_batch_size)
        self.crop = crop
        self.augment = augment
        self.samples_per_epoch = samples_per_epoch
        self.workers = workers
        self.seed = seed
        self.rate_scale = rate_scale
        self._samples: dict[Split, Samples] = {}
        self._predicted: Samples | None = None
        self._warnings: set[str] = set()
        self._archive: SpikeArchive | None = None
        self._device = torch.device("cpu")

    def to(self, device: str | torch.device) -> Self:
        """Set the device of batches in loops without a Trainer; bits are unpacked there."""
        self._device = torch.device(device)
        return self

    @abstractmethod
    def make_samples(self, split: Split) -> Samples:
        """Return the samples of one split."""

    def make_predicted(self) -> Samples:
        """Return the samples of prediction; by default those of the test."""
        return self.make_samples("test")

    def split_name(self, split: Split) -> str:
        """Return the name in the archive of a split."""
        return self.named_splits[split]

    @property
    def archive(self) -> SpikeArchive:
        """The archive, opened at the first access.

        Raises:
            MissingFileError: If the file does not exist.
        """
        if self._archive is None:
            files = archive_files(self.archive_path)
            missing = next((f for f in files if not is_address(f) and not Path(f).exists()), None)
            if missing is not None:
                raise MissingFileError.at(
                    missing,
                    f"there is no such archive. Simulate it with '{self.simulate_command} --out "
                    f"{quote(str(missing))}' (archives of tables need the options in "
                    "experiments/*/needs*.yaml), or build it from your recordings with "
                    f"'python -m spike_zoo archive build FOLDER {quote(str(missing))}'.",
                )
            self._archive = open_archive(self.archive_path)
        return self._archive

    @property
    def data_sha256(self) -> str:
        """Digest of the archive's contents, for the record of a run."""
        return self.archive.data_sha256()

    def setup(self, stage: str) -> None:
        """Open the archive and list the samples of the stage's splits.

        Raises:
            ValueError: If the stage is not fit, validate, test or predict.
        """
        if stage not in STAGES:
            raise ValueError(f"stage: one of {', '.join(STAGES)}, got {stage!r}")
        if stage == "predict":
            self._predicted = self._check_not_empty("test", self.make_predicted())
            self._warn_of_recordings(("test",))
        else:
            splits = tuple(split for split in STAGES[stage] if not self._is_skipped(stage, split))
            self.list_samples(*(split for split in splits if split not in self._samples))
            self._warn_of_recordings(splits)

    def _is_skipped(self, stage: str, split: Split) -> bool:
        """Return whether the trainer fits without validation, which needs no split then."""
        limit = getattr(self.trainer, "limit_val_batches", None)
        return (stage, split) == ("fit", "val") and limit == 0

    def list_samples(self, *splits: Split) -> None:
        """List the samples of some splits again."""
        for split in splits:
            self._samples[split] = self._check_not_empty(split, self.make_samples(split))

    def _samples_of(self, split: Split) -> Samples:
        """Return the samples of a split; list them if :meth:`setup` did not."""
        if split not in self._samples:
            self.list_samples(split)
            self._warn_of_recordings((split,))
        return self._samples[split]

    def _check_not_empty(self, split: Split, samples: Samples) -> Samples:
        if len(samples):
            return samples
        left_out = getattr(samples, "left_out", "")  # not all classes of samples have it
        why = f": {left_out} are left out" if left_out else ""
        if getattr(samples, "short", ()):
            why += "; shorten it with data.init_args.clip_length"
        raise ConfigError(
            f"{self.archive_path}: split {split!r} has no sample for this configuration{why}; "
            f"its splits are {', '.join(self.archive.splits())}"
        )

    def teardown(self, stage: str) -> None:
        """Close the archive."""
        if self._archive is not None:
            self._archive.close()

    def train_dataloader(self) -> TrainingLoader:
        """Return the training loader; its position is part of a checkpoint."""
        samples = self._samples_of("train")
        sampler = SeededSampler(
            len(samples),
            self._common_seed() if self.seed is None else self.seed,
            self._epochs,
            self.samples_per_epoch,
            **self._rank_options(),
            repeats=getattr(self._running_trainer(), "overfit_batches", 0) > 0,
        )
        loader = TrainingLoader(
            samples,  # type: ignore[arg-type]  # a map-style data set by its methods
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=self.workers,
            worker_init_fn=outlive_signals,
            collate_fn=collate,
            pin_memory=torch.cuda.is_available(),
            drop_last=False,
            persistent_workers=self.workers > 0,
            prefetch_factor=_PREFETCHED if self.workers else None,
        )
        loader.check, loader.finish = self.archive.check_unchanged, self._batch_hook()
        return loader

    def val_dataloader(self) -> EvalLoader:
        """Return the validation loader."""
        return self._eval_loader(self._samples_of("val"), self._sampler("val"))

    def test_dataloader(self) -> EvalLoader:
        """Return the test loader."""
        return self._eval_loader(self._samples_of("test"), self._sampler("test"))

    def predict_dataloader(self) -> EvalLoader:
        """Return the loader of prediction: samples of the test split.

        Raises:
            ConfigError: If there are more processes than samples.
        """
        if self._predicted is None:
            self.setup("predict")
        assert self._predicted is not None
        images, processes = len(self._predicted), self._rank_options().get("processes", 1)
        if images < processes:
            raise ConfigError(
                f"predict: {processes} processes for {images} images, but each process needs at "
                f"least one; start at most {images} processes (--trainer.devices, torchrun)"
            )
        return self._eval_loader(self._predicted)

    def on_after_batch_transfer(self, batch: Mapping[str, Any], dataloader_idx: int) -> Any:  # noqa: ANN401  (the task's batch)
        """Unpack and turn the samples on the device."""
        return unpacked(batch, self.spike_dtype)

    def _warn_of_recordings(self, splits: tuple[Split, ...]) -> None:
        """Warn once of assumed rate scales, which may cost 10 dB, and of ignored filters."""
        names = {name for split in splits for name in self.archive.names(self.split_name(split))}
        facts = [self.archive.facts(name) for name in names]
        unknown = sum(each.rate_scale is None for each in facts)
        with_filters = sum(each.cfa is not None for each in facts)
        if unknown and self.rate_scale is None:
            self._warn_once(
                f"{unknown} of {len(names)} recordings do not state their rate scale (spikes per "
                "plane at white); 1 is assumed, so images may be too dark. Set "
                "data.init_args.rate_scale."
            )
        if with_filters and not getattr(self, "colour", False):
            self._warn_once(
                f"{with_filters} of {len(names)} recordings are of a sensor with colour filters, "
                "which grey methods ignore: they take the mosaic of the filters for texture. Use a "
                "method for colour with data.init_args.colour, or recordings without filters."
            )

    def _warn_once(self, text: str) -> None:
        kind = text.partition(" recordings ")[2]  # splits have other numbers
        if kind not in self._warnings:
            self._warnings.add(kind)
            rank_zero_warn(f"{self.archive_path}: {text}")

    def _running_trainer(self) -> Trainer | None:
        """Return the trainer if it is running; None in a loop without a Trainer."""
        trainer = self.trainer
        return trainer if trainer and trainer.state.status == TrainerStatus.RUNNING else None

    def _batch_hook(self) -> Callable[[Any], Any] | None:
        """Return a replacement of Lightning's batch hooks; None if a trainer calls them."""
        return None if self._running_trainer() else self._finish_batch

    def _finish_batch(self, batch: Mapping[str, Any]) -> Any:  # noqa: ANN401  (the task's batch)
        return self.on_after_batch_transfer(move_data_to_device(dict(batch), self._device), 0)

    @cached_property
    def _epochs(self) -> Epochs:
        # created with the first loader: the reference to this module would keep its archive open
        return Epochs(self._epoch_of_trainer)

    def _epoch_of_trainer(self) -> int | None:
        """Return the trainer's next epoch; None without a trainer.

        When a run resumes, this epoch is not yet the trainer's current one.
        """
        trainer = self._running_trainer()
        if trainer is None:
            return None
        return trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]  # its kind has it

    def _rank_options(self) -> dict[str, int]:
        """Return the number of processes and the rank, as arguments of samplers; {} for one."""
        trainer = self._running_trainer()
        options = None if trainer is None else trainer.distributed_sampler_kwargs
        return {"processes": options["num_replicas"], "rank": options["rank"]} if options else {}

    def _common_seed(self) -> int:
        seed, trainer = torch.initial_seed(), self._running_trainer()
        if trainer is None or not self._rank_options():
            return seed
        return int(trainer.strategy.broadcast(seed))

    def _sampler(self, split: Split) -> EvaluationSampler:
        """Return the sampler of an evaluation: all samples, or a number of them spread over all.

        Lightning would take the first samples, which may all be of one recording; it does if the
        trainer's limit is a fraction. Processes share the samples of validation.
        """
        limit = getattr(self._running_trainer(), f"limit_{split}_batches", None)
        count = limit * self.eval_batch_size if isinstance(limit, int) else None
        options = self._rank_options() if split == "val" else {}
        return EvaluationSampler(len(self._samples[split]), count, **options)

    def _eval_loader(
        self, samples: Samples, sampler: EvaluationSampler | None = None
    ) -> EvalLoader:
        shared = None if sampler is None else -(-sampler.largest_share // self.eval_batch_size)
        return EvalLoader(
            samples,  # a map-style data set by its methods
            check=self.archive.check_unchanged,
            finish=self._batch_hook(),
            batches=shared,
            sampler=sampler,
            batch_size=self.eval_batch_size,
            num_workers=self.workers,
            worker_init_fn=outlive_signals,
            collate_fn=collate,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.workers > 0,
        )


def counted_reasons(reasons: Mapping[str, Sequence[str]]) -> str:
    """Return text with the number of names and the first name for each reason."""
    return " and ".join(
        f"{len(names)} {reason} (the first is {names[0]!r})"
        for reason, names in reasons.items()
        if names
    )


def check_at_least(limits: dict[str, tuple[int | None, int]]) -> None:
    """Raise for the first argument (name -> value, minimum) below its minimum; None is valid."""
    for name, (value, least) in limits.items():
        if value is not None and value < least:
            raise ConfigError(f"{name}: at least {least}, got {value}")
