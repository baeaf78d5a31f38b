"""Base classes of tests for methods, and small archives and batches of each task."""

from spike_zoo.testing.exposures import exposed_take, exposure_archive, exposure_batch
from spike_zoo.testing.patterns import (
    clip_batch,
    drifting_pattern,
    labelled_archive,
    labelled_batch,
    labelled_take,
    pattern_take,
    tiny_archive,
)
from spike_zoo.testing.testers import (
    QUIET,
    CheckpointTester,
    ClassificationTester,
    DeblurTester,
    MethodTester,
    ReconstructionTester,
    training_loss,
)

__all__ = [
    "QUIET",
    "CheckpointTester",
    "ClassificationTester",
    "DeblurTester",
    "MethodTester",
    "ReconstructionTester",
    "clip_batch",
    "drifting_pattern",
    "exposed_take",
    "exposure_archive",
    "exposure_batch",
    "labelled_archive",
    "labelled_batch",
    "labelled_take",
    "pattern_take",
    "tiny_archive",
    "training_loss",
]
