"""LightningDataModules over spike archives."""

from spike_zoo.data.base import ArchiveDataModule
from spike_zoo.data.reconstruction import ReconstructionDataModule, ReconstructionWindows

__all__ = ["ArchiveDataModule", "ReconstructionDataModule", "ReconstructionWindows"]
