"""LightningDataModules of spike archives."""

from spike_zoo.data.base import ArchiveDataModule
from spike_zoo.data.classification import ClassificationDataModule
from spike_zoo.data.deblur import DeblurDataModule
from spike_zoo.data.reconstruction import ReconstructionDataModule
from spike_zoo.data.scenes import SceneDataModule

__all__ = [
    "ArchiveDataModule",
    "ClassificationDataModule",
    "DeblurDataModule",
    "ReconstructionDataModule",
    "SceneDataModule",
]
