"""How smooth features are, and how still the pictures of a scene at rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from torchmetrics import Metric, MetricCollection

from spike_zoo.methods.sci.features.windows import REACH, STEP, WINDOW
from spike_zoo.metrics import LaplacianNorms, frame_deviation, laplacian_norms
from spike_zoo.metrics.image import MeanOfValues
from spike_zoo.simulation.kinds.takes import simulate_take
from spike_zoo.simulation.scenes.scene import SceneSpec

if TYPE_CHECKING:
    from torch import Tensor

    from spike_zoo.tasks.protocols import Reconstructs

NORMS: Final = LaplacianNorms._fields
AT_REST: Final = SceneSpec(name="at rest", height=64, width=64, planes=97, speed=0, object_speed=0)


def norm_metrics(prefix: str) -> MetricCollection:
    """Return the means of the norms of features' Laplacians, raw and by their own contrast."""
    means: dict[str, Metric | MetricCollection] = {name: MeanOfValues() for name in NORMS}
    return MetricCollection(means, compute_groups=False, prefix=prefix)


def add_norms(metrics: MetricCollection, features: Tensor) -> None:
    """Add the norms of features ``(B, 3, H, W)`` to their means.

    Source: the paper's Table II.
    """
    norms = laplacian_norms(features.float())
    for name, values in norms._asdict().items():
        metrics[name].update(values)


def deviation_at_rest(method: Reconstructs) -> Tensor:
    """Return how much a method's pictures of a still scene flicker, see :func:`frame_deviation`.

    The paper says of the dual pathway that it lowers the deviation of light from frame to frame.
    The scene is simulated, the same for every method: dead leaves, no noise but the camera's own.
    """
    recording = simulate_take(AT_REST, image_stride=AT_REST.planes, margin=0).recording
    margin = WINDOW // 2 + REACH * STEP
    centers = list(range(margin, len(recording) - margin, STEP))
    return frame_deviation(method.reconstruct(recording, centers))
