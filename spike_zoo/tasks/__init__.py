"""Tasks: what is evaluated and how, one file each; and what a method can do, as Protocols.

Names load on first use: a method without anything to train needs no trainer's libraries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spike_zoo._first_use import on_first_use

if TYPE_CHECKING:
    from spike_zoo.tasks.abilities import Classifies, Compresses, Deblurs, Reconstructs, able
    from spike_zoo.tasks.base import ImageJob, TaskModule
    from spike_zoo.tasks.coding import CodingModule, Compressed, Scene
    from spike_zoo.tasks.deblurring import DeblurModule
    from spike_zoo.tasks.evaluation import Evaluation, Labels, Measured, Origin, Predicted, Shown
    from spike_zoo.tasks.recognition import ClassificationModule
    from spike_zoo.tasks.reconstruction import ReconstructionModule

__all__ = [
    "ClassificationModule",
    "Classifies",
    "CodingModule",
    "Compressed",
    "Compresses",
    "DeblurModule",
    "Deblurs",
    "Evaluation",
    "ImageJob",
    "Labels",
    "Measured",
    "Origin",
    "Predicted",
    "ReconstructionModule",
    "Reconstructs",
    "Scene",
    "Shown",
    "TaskModule",
    "able",
]

_HOMES = {
    "ClassificationModule": "recognition",
    "Classifies": "abilities",
    "CodingModule": "coding",
    "Compressed": "coding",
    "Compresses": "abilities",
    "DeblurModule": "deblurring",
    "Deblurs": "abilities",
    "Evaluation": "evaluation",
    "ImageJob": "base",
    "Labels": "evaluation",
    "Measured": "evaluation",
    "Origin": "evaluation",
    "Predicted": "evaluation",
    "ReconstructionModule": "reconstruction",
    "Reconstructs": "abilities",
    "Scene": "coding",
    "Shown": "evaluation",
    "TaskModule": "base",
    "able": "abilities",
}

__getattr__ = on_first_use(__name__, _HOMES)
