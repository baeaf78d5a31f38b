"""Pairs of neighbouring features with the true motion between them: stage ``motion``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric, MetricCollection

from spike_zoo.errors import ConfigError
from spike_zoo.media.flow import flow_picture, longest
from spike_zoo.methods.sci.fem import WINDOW
from spike_zoo.methods.sci.motion import FACTORS
from spike_zoo.metrics.image import MeanPerImage
from spike_zoo.metrics.motion import end_point_error, still_error
from spike_zoo.nn.padding import centred_padding, pad_to_multiple
from spike_zoo.tasks.evaluation import Evaluation, Measured, Origin, Shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spike_zoo.batch import SceneBatch
    from spike_zoo.methods.sci.network import SCICodec

JUDGED = ("medium", "fast")
LARGEST_RATIO = 0.4
"""Error over that of no motion above which the stage has failed, on medium and fast scenes."""


class Pairs(NamedTuple):
    """Features of neighbouring times, from all scenes of a batch.

    Shape:
        - current, reference: ``(P, 3, H, W)``, a feature and the one before it.
        - truth: ``(P, 2, H, W)``, backward motion in pixels, NaN where unknown; None without any.

    Attributes:
        origins: Recording and plane of each.
        rate_scales: Spikes per plane at white.
    """

    current: Tensor
    reference: Tensor
    truth: Tensor | None
    origins: list[Origin]
    rate_scales: list[float]


def feature_pairs(codec: SCICodec, batch: SceneBatch) -> Pairs:
    """Return the pairs of neighbouring features of a batch of scenes, made by the frozen FEM.

    Raises:
        ConfigError: If the batch holds single clips, or scenes of one image.
    """
    if "planes" not in batch or batch["planes"].shape[1] < 2:
        raise ConfigError(
            "stage motion learns from pairs of neighbouring images: give data.class_path "
            "spike_zoo.data.SceneDataModule with images: 2 and all splits in whole"
        )
    planes, half = batch["planes"], WINDOW // 2
    windows = torch.stack(
        [
            torch.stack([spikes[plane - half : plane + half + 1] for plane in row])
            for spikes, row in zip(batch["spikes"], planes.tolist(), strict=True)
        ]
    )
    count = planes.shape[1]
    with torch.no_grad():
        scales = batch["rate_scale"].repeat_interleave(count)
        features = codec.feature(windows.flatten(0, 1), scales).unflatten(0, windows.shape[:2])
    truth = batch["motion"][:, 1:].flatten(0, 1) if "motion" in batch else None
    return Pairs(
        features[:, 1:].flatten(0, 1),
        features[:, :-1].flatten(0, 1),
        truth,
        pair_origins(batch),
        batch["rate_scale"].repeat_interleave(count - 1).tolist(),
    )


def pair_origins(batch: SceneBatch) -> list[Origin]:
    """Return recording and later plane of each pair of a batch."""
    named = zip(batch["name"], batch["planes"][:, 1:].tolist(), strict=True)
    return [Origin(name, plane) for name, row in named for plane in row]


def padded_truth(pairs: Pairs) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return both features and the truth at the size at which motion is estimated."""
    factor = FACTORS[0]
    current, reference = (pad_to_multiple(x, factor) for x in (pairs.current, pairs.reference))
    if pairs.truth is None:
        return current, reference, None
    rows, columns = (centred_padding(side, factor) for side in pairs.truth.shape[-2:])
    return current, reference, F.pad(pairs.truth, (*columns, *rows), value=torch.nan)


def motion_metrics() -> MetricCollection:
    """Return the end-point errors of the motion and of no motion, means over pairs in pixels."""
    metrics: dict[str, Metric | MetricCollection] = {
        "epe": MeanPerImage(end_point_error),
        "epe_still": MeanPerImage(still_error),
    }
    return MetricCollection(metrics, compute_groups=False)


def failed_motion(ratios: Mapping[str, Tensor]) -> str:
    """Return in words on which scenes motion was not learned; empty where it was.

    Args:
        ratios: Of errors, see :func:`error_ratios`.
    """
    missed = {
        pace: float(value)
        for name, value in ratios.items()
        for pace in JUDGED
        if name.endswith(f"epe_ratio_{pace}") and value > LARGEST_RATIO
    }
    told = " and ".join(f"{ratio:.2f} on {pace} scenes" for pace, ratio in missed.items())
    return told and (
        f"motion is not learned well enough: its error is {told} of that of no motion, above "
        f"{LARGEST_RATIO}; what warps along it will gain little. Train longer"
    )


def error_ratios(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the ratio of the mean errors of the motion and of no motion, of all and by pace.

    Args:
        values: What was measured, as ``val/epe`` and ``val/epe_still_fast``.

    Returns:
        As ``val/epe_ratio`` and ``val/epe_ratio_fast``.
    """
    ratios = {}
    for name, still in values.items():
        stem, found, pace = name.partition("epe_still")
        if found and f"{stem}epe{pace}" in values and still > 0:
            ratios[f"{stem}epe_ratio{pace}"] = values[f"{stem}epe{pace}"] / still
    return ratios


def evaluate_pairs(
    pairs: Pairs,
    found: Tensor,
    measure: Callable[[Sequence[str], Tensor, Tensor], dict[str, Tensor]],
) -> Evaluation:
    """Measure motions where the truth is known anywhere, and show them.

    Args:
        pairs: The pairs.
        found: Their motions, ``(P, 2, H, W)``.
        measure: Adds motions and truths of recordings, whose names come first, to the metrics and
            returns their single values.

    Raises:
        ConfigError: If the data have no true motion.
    """
    if pairs.truth is None:
        raise ConfigError(
            "stage motion is measured against the true motion, and the archive has none: make one "
            "with 'python -m spike_zoo simulate --kind sequence'"
        )
    known = torch.isfinite(pairs.truth).all(dim=1).flatten(1).any(dim=1)
    places = known.nonzero()[:, 0].tolist()
    if not places:
        return Evaluation(())
    names = [pairs.origins[place].name for place in places]
    values = measure(names, found[known], pairs.truth[known])
    shown, measured = [], []
    for place in places:
        origin, truth = pairs.origins[place], pairs.truth[place]
        largest = longest(truth)
        pictures = {
            "feature before": pairs.reference[place],
            "feature": pairs.current[place],
            f"motion, up to {largest:.1f} px": flow_picture(found[place], largest),
            "true motion": flow_picture(truth, largest),
        }
        shown.append(Shown(origin, pictures, f"{origin.name}-plane{origin.plane}"))
        measured.append(Measured(origin, origin.plane, pairs.rate_scales[place]))
    return Evaluation(shown, measured, values)
