"""The enlarging network: its published shape and what never learns."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from spike_zoo.errors import WeightsError
from spike_zoo.methods.ssdm import EDSR
from tests.methods.ssdm.conftest import Entries


def test_names_shapes_and_sizes_are_the_published_ones(
    official_entries: dict[str, Entries],
) -> None:
    network = EDSR()
    ours = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert ours == dict(official_entries["SR"])
    assert sum(value.numel() for value in network.parameters()) == 1_515_269
    trained = [value for value in network.parameters() if value.requires_grad]
    assert sum(value.numel() for value in trained) == 1_515_265


@pytest.mark.parametrize(("height", "width", "expected"), [(64, 64, 8.043), (180, 320, 113.1)])
def test_costs_the_published_multiply_accumulates(height: int, width: int, expected: float) -> None:
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        EDSR()(torch.zeros(1, 1, height, width))
    assert counter.get_total_flops() / 2e9 == pytest.approx(expected, rel=1e-3)


def test_without_learned_layers_the_mean_is_left() -> None:
    network = EDSR()
    for parameter in network.tail.parameters():
        torch.nn.init.zeros_(parameter)
    image = network(torch.rand(2, 1, 3, 5))
    torch.testing.assert_close(image, torch.full((2, 1, 12, 20), 0.446))


def test_files_without_the_fixed_shifts_load_and_keep_them(sr_weights: dict[str, Tensor]) -> None:
    network = EDSR.from_official(sr_weights)
    state = network.state_dict()
    assert state["sub_mean.bias"].item() == pytest.approx(-0.446)
    assert EDSR.from_official(state).state_dict().keys() == state.keys()


def test_weights_with_an_entry_less_are_refused(sr_weights: dict[str, Tensor]) -> None:
    cut = {name: value for name, value in sr_weights.items() if name != "body.7.body.2.bias"}
    with pytest.raises(WeightsError, match=r"EDSR: 1 missing, first body\.7\.body\.2\.bias"):
        EDSR.from_official(cut)
