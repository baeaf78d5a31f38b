"""Evaluation modules of the tasks, one file per task, and Protocols of methods' abilities.

Names load on first use, so that methods without training do not import Lightning.
"""

from typing import TYPE_CHECKING

from spike_zoo.utils.lazy import lazy_attributes

if TYPE_CHECKING:
    from spike_zoo.tasks.base import TaskModule
    from spike_zoo.tasks.coding import CodingModule
    from spike_zoo.tasks.deblurring import DeblurModule
    from spike_zoo.tasks.recognition import ClassificationModule
    from spike_zoo.tasks.reconstruction import LoadedReconstruction, ReconstructionModule

__all__ = [
    "ClassificationModule",
    "CodingModule",
    "DeblurModule",
    "LoadedReconstruction",
    "ReconstructionModule",
    "TaskModule",
]

__getattr__, __dir__ = lazy_attributes(__name__)
