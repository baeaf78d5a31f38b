"""Errors of optical flow: end-point error, and its ratio to that of zero flow."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from spike_zoo.nn.precision import exact_device


def end_point_error(flows: Tensor, truths: Tensor) -> Tensor:
    """Return the mean end-point error of each flow in pixels, over the pixels with known flow.

    Shape:
        - flows: ``(B, 2, H, W)``.
        - truths: ``(B, 2, H, W)``, NaN where unknown; at least one pixel per sample is known.
        - Output: ``(B,)``.
    """
    known = torch.isfinite(truths).all(dim=1)
    distances = torch.linalg.vector_norm(flows - truths.nan_to_num(), dim=1)
    return (distances * known).sum(dim=(1, 2)) / known.sum(dim=(1, 2))


def still_error(flows: Tensor, truths: Tensor) -> Tensor:
    """Return the end-point error of zero flow, that is the mean true displacement.

    Shape:
        - flows: ``(B, 2, H, W)``, only for its shape.
        - truths: ``(B, 2, H, W)``, NaN where unknown.
        - Output: ``(B,)``.
    """
    return end_point_error(torch.zeros_like(flows), truths)


def flow_spread(flows: Tensor) -> Tensor:
    """Return the isotropy of vectors ``(B, 2, H, W)``: 0 if all are collinear, at most 1.

    It is 1 if the vectors spread equally in all directions. The output is a scalar over all
    samples: the ratio of the root mean squares along the two principal axes of the vectors.
    """
    vectors = flows.to(exact_device(flows.device)).double().transpose(0, 1).flatten(1)
    smaller, larger = torch.linalg.eigvalsh(vectors @ vectors.T / vectors.shape[1])
    return (smaller.clamp(min=0) / larger.clamp(min=1e-12)).sqrt().float()


def error_ratios(values: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the ratios of mean flow errors to those of zero flow, over all images and per speed.

    From ``val/epe`` and ``val/epe_still_fast``, for example, it makes ``val/epe_ratio_fast``.
    """
    ratios = {}
    for name, still in values.items():
        stem, separator, speed = name.partition("epe_still")
        if separator and f"{stem}epe{speed}" in values and still > 0:
            ratios[f"{stem}epe_ratio{speed}"] = values[f"{stem}epe{speed}"] / still
    return ratios


def field_errors(fields: Sequence[Tensor], truth: Tensor) -> dict[str, Tensor]:
    """Return the end-point errors of flow fields and of zero flow, means over both directions.

    Args:
        fields: At least one, each ``(B, 2, 2, H, W)``: from the image to an earlier and to a later
            plane, (dx, dy) in pixels, right and down.
        truth: ``(B, 2, 2, H, W)``, NaN where unknown.

    Returns:
        ``epe`` of the first field, ``epe_field_2`` and so on of further fields, ``epe_still`` of
        zero flow; each ``(B,)`` in pixels, NaN for an image without known flow.
    """
    errors = {"epe_still": _both_ways(still_error, fields[0], truth)}
    for number, field in enumerate(fields, start=1):
        name = "epe" if number == 1 else f"epe_field_{number}"
        errors[name] = _both_ways(end_point_error, field, truth)
    return errors


def _both_ways(measure: Callable[[Tensor, Tensor], Tensor], field: Tensor, truth: Tensor) -> Tensor:
    errors = [measure(field[:, direction], truth[:, direction]) for direction in range(2)]
    return torch.stack(errors).nanmean(dim=0)


end_point_error.higher_is_better = False  # type: ignore[attr-defined]
still_error.higher_is_better = False  # type: ignore[attr-defined]
