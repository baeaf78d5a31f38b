"""Base classes of methods, one file per task, their evaluators, and Protocols of abilities.

Names load on first use, so that methods without training do not import Lightning.
"""

from typing import TYPE_CHECKING

from spike_zoo.utils.lazy import lazy_attributes

if TYPE_CHECKING:
    from spike_zoo.tasks.base import MethodModule
    from spike_zoo.tasks.deblurring import DeblurModule
    from spike_zoo.tasks.recognition import ClassificationModule
    from spike_zoo.tasks.reconstruction import LoadedReconstruction, ReconstructionModule

__all__ = [
    "ClassificationModule",
    "DeblurModule",
    "LoadedReconstruction",
    "MethodModule",
    "ReconstructionModule",
]

__getattr__, __dir__ = lazy_attributes(__name__)
