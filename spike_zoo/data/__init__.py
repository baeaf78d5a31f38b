"""LightningDataModules of spike archives."""

from spike_zoo.data.base import ArchiveDataModule
from spike_zoo.data.classification import ClassificationDataModule, LabelledClips
from spike_zoo.data.deblur import DeblurDataModule, Exposures
from spike_zoo.data.reconstruction import ReconstructionDataModule
from spike_zoo.data.scenes import SceneDataModule, SceneWindows
from spike_zoo.data.windows import ReconstructionWindows

__all__ = [
    "ArchiveDataModule",
    "ClassificationDataModule",
    "DeblurDataModule",
    "Exposures",
    "LabelledClips",
    "ReconstructionDataModule",
    "ReconstructionWindows",
    "SceneDataModule",
    "SceneWindows",
]
