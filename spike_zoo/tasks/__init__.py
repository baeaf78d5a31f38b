"""Evaluation modules of the tasks, one file per task, and Protocols of methods' abilities.

Names load on first use, so that methods without training do not import Lightning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spike_zoo.utils.lazy import lazy_attributes

if TYPE_CHECKING:
    from spike_zoo.tasks.base import ProfiledCall, TaskModule
    from spike_zoo.tasks.coding import CodedScene, CodingModule, CompressedRecording
    from spike_zoo.tasks.deblurring import DeblurModule
    from spike_zoo.tasks.evaluation import (
        Evaluation,
        Labels,
        MeasuredImage,
        Origin,
        SamplePictures,
        SamplePrediction,
    )
    from spike_zoo.tasks.protocols import (
        Classifies,
        Deblurs,
        Reconstructs,
        require_ability,
    )
    from spike_zoo.tasks.recognition import ClassificationModule
    from spike_zoo.tasks.reconstruction import LoadedReconstruction, ReconstructionModule

__all__ = [
    "ClassificationModule",
    "Classifies",
    "CodedScene",
    "CodingModule",
    "CompressedRecording",
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

__getattr__ = lazy_attributes(
    __name__,
    base="ProfiledCall TaskModule",
    coding="CodedScene CodingModule CompressedRecording",
    deblurring="DeblurModule",
    evaluation="Evaluation Labels MeasuredImage Origin SamplePictures SamplePrediction",
    protocols="Classifies Deblurs Reconstructs require_ability",
    recognition="ClassificationModule",
    reconstruction="LoadedReconstruction ReconstructionModule",
)
