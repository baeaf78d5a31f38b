"""Loaders over an archive: opening, order, seeds and unpacking, whatever a sample is."""

from __future__ import annotations

import math
from abc import abstractmethod
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import torch
from lightning import LightningDataModule
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch.trainer.states import TrainerStatus
from lightning.pytorch.utilities import rank_zero_warn

from spike_zoo.archive import SpikeArchive
from spike_zoo.archive.shards import ShardedArchive
from spike_zoo.data.batches import PICTURES, Collate
from spike_zoo.data.loader import EvalLoader, TrainingLoader
from spike_zoo.data.sampling import Epochs, EvaluationSampler, SeededSampler
from spike_zoo.errors import ConfigError, MissingFileError
from spike_zoo.formats.remote import is_address, local_path
from spike_zoo.spikes.packing import unpack_tensor
from spike_zoo.spikes.turning import apply_modes, turn_motions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lightning import Trainer
    from torch import Tensor

    from spike_zoo.batch import Split

DEFAULT_ARCHIVE = "data/scenes.h5"
#: Which splits a stage needs.
STAGES: dict[str, tuple[Split, ...]] = {
    "fit": ("train", "val"),
    "validate": ("val",),
    "test": ("test",),
    "predict": ("test",),
}
_OF_PACKING = ("packed", "width", "mode")
_PREFETCHED = 4  # batches of a worker


class Samples(Protocol):
    """The samples of one split; a map-style dataset with a length."""

    @property
    def names(self) -> Sequence[str]:
        """The recording of each sample."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def __getitem__(self, key: Any) -> Mapping[str, Any]:  # noqa: ANN401  (int or SampleKey)
        """Return one sample: an int takes it whole, a SampleKey cuts and turns it by its seed."""


class ArchiveDataModule(LightningDataModule):
    """Serve samples of an HDF5 spike archive; a subclass says what a sample is.

    Bits stay packed until they are on the device. The order of training samples and everything
    random about them depend on the seed and the epoch alone: not on workers, not on where a run
    was resumed. Several processes share the training samples, and each validates with all.

    A loop without a Trainer needs nothing else: the loaders list their samples when they are made,
    each pass over the training loader is the next epoch, and batches come as planes and pictures,
    on the device that :meth:`to` names.

    Args:
        archive: The archive's file.
        train_split: Split of the archive to train on.
        val_split: Split of the archive to validate with.
        test_split: Split of the archive to test and predict, for sets whose results are those of
            another.
        batch_size: Training samples in one batch of one process.
        eval_batch_size: Samples in one batch of validation, test and prediction; above 1 only
            where all recordings have one size.
        crop: Side in pixels of the square cut from training samples; None keeps them whole.
        augment: Turn and flip training samples at random.
        samples_per_epoch: Training samples of one epoch; by default each once.
        workers: Processes that read ahead; 0 reads in the training process.
        seed: Seed of order, crops and turns; by default that of ``--seed_everything``.
        rate_scale: Spikes per plane at white of recordings that do not state theirs; by
            default 1, with a warning.

    Raises:
        ConfigError: If the crop is below 16 pixels or the rate scale is not above 0.
    """

    #: The command that makes the default archive, for the message that it is missing.
    simulate_command: ClassVar[str] = "python -m spike_zoo simulate"
    #: What spikes are on the device; bytes where samples have hundreds of planes.
    spike_dtype: ClassVar[torch.dtype] = torch.float32

    def __init__(
        self,
        archive: str = DEFAULT_ARCHIVE,
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
        self.archive_path = archive if is_address(archive) else Path(archive)
        self.named_splits = {"train": train_split, "val": val_split, "test": test_split}
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.crop = crop
        self.augment = augment
        self.samples_per_epoch = samples_per_epoch
        self.workers = workers
        self.seed = seed
        self.rate_scale = rate_scale
        self._samples: dict[Split, Samples] = {}
        self._predicted: Samples | None = None
        self._warned_of_scales = False
        self._archive: SpikeArchive | None = None
        self._device = torch.device("cpu")

    def to(self, device: str | torch.device) -> Self:
        """Give the batches of loops without a Trainer on this device; bits are unpacked there."""
        self._device = torch.device(device)
        return self

    @abstractmethod
    def make_samples(self, split: Split) -> Samples:
        """Return the samples of one split."""

    def make_predicted(self) -> Samples:
        """Return what is predicted, by default the samples that are tested."""
        return self.make_samples("test")

    def split_name(self, split: Split) -> str:
        """Return the archive's split that a split is made of."""
        return self.named_splits[split]

    @property
    def archive(self) -> SpikeArchive:
        """The archive, opened when it is first asked for.

        Raises:
            MissingFileError: If there is no such file; names the command that makes one.
        """
        if self._archive is None:
            path = local_path(self.archive_path)
            if not path.exists():
                raise MissingFileError.at(
                    self.archive_path,
                    f"there is no such archive. Make the default one with "
                    f"'{self.simulate_command} --out {self.archive_path}' (other archives of the "
                    "tables need options, see experiments/*/needs*.yaml), or build one from your "
                    "recordings with 'python -m spike_zoo archive build'.",
                )
            self._archive = SpikeArchive(path)
        return self._archive

    @property
    def data_sha256(self) -> str:
        """Digest of what the archive holds, for the record of a run."""
        return self.archive.data_sha256()

    def setup(self, stage: str) -> None:
        """Open the archive and list the samples of the splits that the stage needs.

        Raises:
            ValueError: If it is not fit, validate, test or predict.
        """
        if stage not in STAGES:
            raise ValueError(f"stage: one of {', '.join(STAGES)}, got {stage!r}")
        if stage == "predict":
            self._predicted = self._checked("test", self.make_predicted())
        else:
            self.list_samples(*(split for split in STAGES[stage] if split not in self._samples))
        self._warn_of_unknown_scales(STAGES[stage])

    def list_samples(self, *splits: Split) -> None:
        """List the samples of some splits again."""
        for split in splits:
            self._samples[split] = self._checked(split, self.make_samples(split))

    def _listed(self, split: Split) -> Samples:
        """Return the samples of a split, listed now where no stage did it."""
        if split not in self._samples:
            self.list_samples(split)
            self._warn_of_unknown_scales((split,))
        return self._samples[split]

    def _checked(self, split: Split, samples: Samples) -> Samples:
        if len(samples):
            return samples
        left_out = getattr(samples, "left_out", "")  # of samples that count them
        why = f": {left_out} are left out" if left_out else ""
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
        samples = self._listed("train")
        many = self.archive if isinstance(self.archive, ShardedArchive) else None
        sampler = SeededSampler(
            len(samples),
            self._common_seed() if self.seed is None else self.seed,
            self._epochs,
            self.samples_per_epoch,
            files=None if many is None else many.file_numbers(samples.names),
            **self._sharing(),
        )
        loader = TrainingLoader(
            samples,  # type: ignore[arg-type]  # map-style by its two methods
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=self.workers,
            collate_fn=Collate(),
            pin_memory=torch.cuda.is_available(),
            drop_last=False,
            persistent_workers=self.workers > 0,
            prefetch_factor=_PREFETCHED if self.workers else None,
        )
        loader.check, loader.finish = self.archive.check_unchanged, self._finish()
        return loader

    def val_dataloader(self) -> EvalLoader:
        """Return the validation loader."""
        return self._eval_loader(self._listed("val"), self._sampler("val"))

    def test_dataloader(self) -> EvalLoader:
        """Return the test loader."""
        return self._eval_loader(self._listed("test"), self._sampler("test"))

    def predict_dataloader(self) -> EvalLoader:
        """Return the loader of the images to predict: the test split.

        Raises:
            ConfigError: If more processes share them than there are.
        """
        if self._predicted is None:
            self.setup("predict")
        assert self._predicted is not None
        images, processes = len(self._predicted), self._sharing().get("processes", 1)
        if images < processes:
            raise ConfigError(
                f"predict: {processes} processes, images to predict: {images}, and each process "
                f"needs one; start at most {images} (--trainer.devices, torchrun)"
            )
        return self._eval_loader(self._predicted)

    def on_after_batch_transfer(self, batch: Mapping[str, Any], dataloader_idx: int) -> Any:  # noqa: ANN401  (the task's batch)
        """Unpack and turn the samples, on the device."""
        return unpacked(batch, self.spike_dtype)

    def _warn_of_unknown_scales(self, splits: tuple[Split, ...]) -> None:
        """Say once that brightness is guessed: a wrong scale costs ten decibels and more."""
        if self.rate_scale is not None or self._warned_of_scales:
            return
        names = {name for split in splits for name in self.archive.names(self.split_name(split))}
        unknown = sum(self.archive.facts(name).rate_scale is None for name in names)
        if unknown:
            self._warned_of_scales = True
            rank_zero_warn(
                f"{self.archive_path}: {unknown} of {len(names)} recordings do not state how many "
                "spikes a plane holds at white; 1 is assumed, so pictures may be too dark. Give "
                "it: data.init_args.rate_scale."
            )

    def _driving(self) -> Trainer | None:
        """Return the trainer that asks for batches now; None in a user's own loop."""
        trainer = self.trainer
        return trainer if trainer and trainer.state.status == TrainerStatus.RUNNING else None

    def _finish(self) -> Callable[[Any], Any] | None:
        """Return what Lightning's hooks would do to a batch, where it is not there to do it."""
        return None if self._driving() else self._finished

    def _finished(self, batch: Mapping[str, Any]) -> Any:  # noqa: ANN401  (the task's batch)
        return self.on_after_batch_transfer(move_data_to_device(dict(batch), self._device), 0)

    @cached_property
    def _epochs(self) -> Epochs:
        # made where batches are asked for: it holds this module, whose archive would stay open
        return Epochs(self._trainers_epoch)

    def _trainers_epoch(self) -> int | None:
        """Return the epoch that is drawn next; where a run resumes, not yet the current one."""
        trainer = self._driving()
        if trainer is None:
            return None
        return trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]  # its kind has it

    def _sharing(self) -> dict[str, int]:
        """Return how many processes share the training samples, and which of them this is."""
        trainer = self._driving()
        given = None if trainer is None else trainer.distributed_sampler_kwargs
        return {"processes": given["num_replicas"], "rank": given["rank"]} if given else {}

    def _common_seed(self) -> int:
        """Return a seed that all processes of a run have."""
        seed, trainer = torch.initial_seed(), self._driving()
        if trainer is None or not self._sharing():
            return seed
        return int(trainer.strategy.broadcast(seed))

    def _sampler(self, split: Split) -> EvaluationSampler:
        """Return the samples that a trainer evaluates: all, or as many as its limit says.

        Lightning would take the first ones, which may all be of one recording. Processes share
        those of a validation.
        """
        trainer = self._driving()
        limits = trainer and {"val": trainer.limit_val_batches, "test": trainer.limit_test_batches}
        limit = limits and limits[split]
        count = limit * self.eval_batch_size if isinstance(limit, int) else None
        sharing = self._sharing() if split == "val" else {}
        return EvaluationSampler(len(self._samples[split]), count, **sharing)

    def _eval_loader(
        self, samples: Samples, sampler: EvaluationSampler | None = None
    ) -> EvalLoader:
        loader = EvalLoader(
            samples,  # type: ignore[arg-type]  # map-style by its two methods
            sampler=sampler,
            batch_size=self.eval_batch_size,
            num_workers=self.workers,
            collate_fn=Collate(),
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.workers > 0,
        )
        loader.check, loader.finish = self.archive.check_unchanged, self._finish()
        if sampler is not None:
            loader.batches = -(-sampler.largest_share // self.eval_batch_size)
        return loader


def counted_reasons(reasons: Mapping[str, Sequence[str]]) -> str:
    """Return how many names there are for each reason, with the first of them."""
    return " and ".join(
        f"{len(names)} {reason} (the first is {names[0]!r})"
        for reason, names in reasons.items()
        if names
    )


def check_at_least(limits: dict[str, tuple[int | None, int]]) -> None:
    """Reject the first argument (name -> value, least allowed) below its least; None is valid."""
    for name, (value, least) in limits.items():
        if value is not None and value < least:
            raise ConfigError(f"{name}: at least {least}, got {value}")


def unpacked(batch: Mapping[str, Any], spikes: torch.dtype = torch.float32) -> Any:  # noqa: ANN401  (the task's batch)
    """Turn a packed batch into planes and pictures of [0, 1], turned and flipped as drawn.

    Whatever a sample is: ``packed``, ``width`` and ``mode`` become ``spikes``, the entries of
    :data:`~spike_zoo.data.batches.PICTURES` are pictures, ``motion`` is turned as vectors are, and
    all others stay as they are. A batch of planes is returned as it is.

    Args:
        batch: As loaders give it, see :mod:`spike_zoo.batch`.
        spikes: Type of the planes.
    """
    if "packed" not in batch:
        return batch
    modes = batch["mode"]
    planes = apply_modes(unpack_tensor(batch["packed"], int(batch["width"][0])), modes)
    pictures = {
        name: apply_modes(unit_range(batch[name]), modes) for name in PICTURES if name in batch
    }
    others = {name: value for name, value in batch.items() if name not in _OF_PACKING}
    if "flow" in batch:
        others["flow"] = turn_motions(batch["flow"].float(), modes)
    return {**others, "spikes": planes.to(spikes), **pictures}


def unit_range(image: Tensor) -> Tensor:
    """Return an image as float32 in [0, 1]; bytes are divided by 255."""
    return image.float() / 255 if image.dtype == torch.uint8 else image
