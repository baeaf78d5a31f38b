"""Names of tasks under the path by which methods outside the package have always imported them."""

from spike_zoo.tasks.base import TaskModule as RebuildableModule
from spike_zoo.tasks.clips import known_rate_scale, read_clip
from spike_zoo.tasks.reconstruction import ReconstructionModule

__all__ = ["RebuildableModule", "ReconstructionModule", "known_rate_scale", "read_clip"]
