"""Networks are compiled by torch.compile without breaks of the graph."""

import pytest
import torch

from spike_zoo.methods.plain import Plain
from spike_zoo.methods.stir import STIR


@pytest.mark.parametrize("name", ["STIR", "STIR in training", "Plain in training"])
def test_a_pass_is_one_graph_with_the_same_output(name: str) -> None:
    torch.compiler.reset()
    is_stir, is_training = name.startswith("STIR"), name.endswith("training")
    network = STIR(pyramid_levels=3, width=0.34) if is_stir else Plain(channels=8, depth=2)
    compiled = torch.compile(network.train(is_training), backend="eager", fullgraph=True)
    x = torch.rand(1, 61 if is_stir else 57, 36, 20)
    with torch.set_grad_enabled(is_training):
        torch.testing.assert_close(compiled(x), network(x))
