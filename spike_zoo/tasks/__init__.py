"""Tasks: what is evaluated and how, one file each; and what a method can do, as Protocols.

Names load on first use: a method without anything to train needs no trainer's libraries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spike_zoo._first_use import on_first_use

if TYPE_CHECKING:
    from spike_zoo.tasks.base import ProfiledCall, TaskModule
    from spike_zoo.tasks.coding import CodedScene, CodingModule, Compressed
    from spike_zoo.tasks.deblurring import DeblurModule
    from spike_zoo.tasks.evaluation import (
        Evaluation,
        Labels,
        MeasuredImage,
        Origin,
        SamplePictures,
        SamplePrediction,
    )
    from spike_zoo.tasks.loaded import LoadedReconstruction
    from spike_zoo.tasks.protocols import (
        Classifies,
        Compresses,
        Deblurs,
        Reconstructs,
        require_ability,
    )
    from spike_zoo.tasks.recognition import ClassificationModule
    from spike_zoo.tasks.reconstruction import ReconstructionModule

__all__ = [
    "ClassificationModule",
    "Classifies",
    "CodedScene",
    "CodingModule",
    "Compressed",
    "Compresses",
    "DeblurModule",
    "Deblurs",
    "Evaluation",
    "Labels",
    "LoadedReconstruction",
    "MeasuredImage",
    "Origin",
    "ProfiledCall",
    "ReconstructionModule",
    "Reconstructs",
    "SamplePictures",
    "SamplePrediction",
    "TaskModule",
    "require_ability",
]

_HOMES = {
    "ClassificationModule": "recognition",
    "Classifies": "protocols",
    "CodingModule": "coding",
    "Compressed": "coding",
    "LoadedReconstruction": "loaded",
    "Compresses": "protocols",
    "DeblurModule": "deblurring",
    "Deblurs": "protocols",
    "Evaluation": "evaluation",
    "ProfiledCall": "base",
    "Labels": "evaluation",
    "MeasuredImage": "evaluation",
    "Origin": "evaluation",
    "SamplePrediction": "evaluation",
    "ReconstructionModule": "reconstruction",
    "Reconstructs": "protocols",
    "CodedScene": "coding",
    "SamplePictures": "evaluation",
    "TaskModule": "base",
    "require_ability": "protocols",
}

__getattr__ = on_first_use(__name__, _HOMES)
