"""Networks are compiled by torch.compile without breaks of the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from spike_zoo.methods.plain import Plain
from spike_zoo.methods.stir import STIR

if TYPE_CHECKING:
    from torch import nn


@pytest.mark.parametrize(
    ("network", "planes"),
    [(STIR(pyramid_levels=3, width=0.34), 61), (Plain(channels=8, depth=2), 57)],
    ids=["STIR", "Plain"],
)
def test_a_training_pass_is_one_graph(network: nn.Module, planes: int) -> None:
    torch.compiler.reset()
    explained = torch._dynamo.explain(network)(torch.rand(1, planes, 32, 32))
    assert explained.graph_count == 1, explained.break_reasons
