"""Archives with all takes in every split, sizes of splits, and warnings of data modules."""

import warnings
from collections.abc import Mapping, Sized
from pathlib import Path
from typing import Any

from lightning import LightningDataModule

from spike_zoo.archive import ArchiveWriter
from spike_zoo.spikes import Take


def archive_of(path: Path, *takes: Take) -> Path:
    """Write takes ``take0``, ``take1``, ... that are in all three splits."""
    with ArchiveWriter(path) as writer:
        for number, take in enumerate(takes):
            for split in ("train", "val", "test"):
                if f"take{number}" not in writer.file["recordings"]:
                    writer.add(f"take{number}", take)
                writer.put_in_split(split, f"take{number}")
    return path


def split_sizes(splits: Mapping[Any, Sized]) -> dict[str, int]:
    """Return the number of items of each split."""
    return {split: len(items) for split, items in splits.items()}


def setup_warnings(data: LightningDataModule, *stages: str) -> list[str]:
    """Return the warnings of ``setup`` for the given stages."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for stage in stages:
            data.setup(stage)
    return [str(warning.message) for warning in caught]
