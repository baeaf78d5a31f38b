"""What the tester of recognition finds wrong, shown on methods that are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spike_zoo.testing import ClassificationTester
from tests.helpers.modules import StripesModule

if TYPE_CHECKING:
    from torch import Tensor

    from spike_zoo.batch import LabelledBatch


class TestStripes(ClassificationTester):
    def make_module(self) -> StripesModule:
        return StripesModule(classes=3, label_names=("upright", "slanted", "flat"))


class _Unsure(StripesModule):
    """Tells twice the probabilities."""

    def predict_step(self, batch: LabelledBatch, batch_idx: int) -> Tensor:
        return 2 * super().predict_step(batch, batch_idx)


class _Compares(StripesModule):
    """Looks at all clips of a batch to judge one."""

    def forward(self, spikes: Tensor, rate_scale: Tensor) -> Tensor:
        logits = super().forward(spikes, rate_scale)
        return logits - logits.mean(dim=0)


def _tester(kind: type[StripesModule]) -> ClassificationTester:
    tester = ClassificationTester()
    tester.make_module = kind  # type: ignore[method-assign]  # one module for each check
    return tester


def test_probabilities_that_are_none_are_found() -> None:
    with pytest.raises(AssertionError):
        _tester(_Unsure).test_takes_any_height_and_width()


def test_a_method_that_compares_the_clips_of_a_batch_is_found() -> None:
    with pytest.raises(AssertionError):
        _tester(_Compares).test_samples_of_a_batch_do_not_know_each_other()
    with pytest.raises(AssertionError):
        _tester(_Compares).test_classifies_a_recording()
