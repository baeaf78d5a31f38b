"""Tests of the Lightning modules of the classical methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from spike_zoo.checkpoints.loading import load
from spike_zoo.methods.classical import AlignedTFIModule, TFIModule, TFPModule, TFSTPModule
from spike_zoo.testing import ReconstructionTester

if TYPE_CHECKING:
    from spike_zoo.methods.classical.module import ClassicalModule
    from spike_zoo.tasks import ReconstructionModule


class TestTFIModule(ReconstructionTester):
    def make_module(self) -> ReconstructionModule:
        return TFIModule(average=5, clip_length=31)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (TFPModule, "tfp"),
        (TFIModule, "tfi"),
        (TFSTPModule, "tfstp"),
        (AlignedTFIModule, "tfi-aligned"),
    ],
)
def test_a_row_of_a_table_has_the_options_of_reconstruct_by_default(
    kind: type[ClassicalModule], name: str
) -> None:
    of_command: Any = load(name)
    method = kind().method
    assert isinstance(method, type(of_command))
    assert method.hparams == of_command.hparams
