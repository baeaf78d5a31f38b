"""Evaluator of optical flow that a method estimates besides its images."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from spike_zoo.metrics.flow import error_ratios, field_errors
from spike_zoo.tasks.batch import Split
from spike_zoo.tasks.evaluators.base import Evaluator


class FlowEvaluator(Evaluator[Any, Any]):
    """Measure end-point errors of flow, and their ratios to those of zero flow.

    If the names of recordings state their speed, errors are also averaged per speed.
    """

    def add_fields(
        self, split: Split, names: Sequence[str], fields: Sequence[Tensor], truth: Tensor
    ) -> None:
        """Add the errors of fields, see :func:`field_errors`, of the images with known flow."""
        errors = field_errors(fields, truth)
        known = (~torch.isnan(errors["epe_still"])).nonzero()[:, 0].tolist()
        if known:
            errors = {name: values[known] for name, values in errors.items()}
            self.add_errors(split, [names[index] for index in known], errors)

    def add_errors(self, split: Split, names: Sequence[str], errors: Mapping[str, Tensor]) -> None:
        """Add errors of images by name, ``epe`` and ``epe_still`` among them."""
        self.add_means(split, errors)
        self.add_speeds(split, names, errors)

    def split_means(self, split: Split) -> dict[str, Tensor]:
        """Return the mean errors, and their ratios to those of zero flow; reset them."""
        means = super().split_means(split)
        return {**means, **error_ratios(means)}
