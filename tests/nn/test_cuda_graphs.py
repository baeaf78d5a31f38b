"""Calls as CUDA graphs, with an imitation of the capture on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from spike_zoo.methods.plain import PlainModule
from spike_zoo.methods.stir import STIR
from spike_zoo.methods.stir.network import BLOCK_STARTS
from spike_zoo.nn import cuda_graphs
from spike_zoo.nn.cuda_graphs import replayed

if TYPE_CHECKING:
    from collections.abc import Callable


class ImitatedGraph:
    """Computes the captured call again, into the same output."""

    def __init__(self, function: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> None:
        self.function, self.inputs = function, inputs
        self.output = function(*inputs)

    def replay(self) -> None:
        self.output.copy_(self.function(*self.inputs))


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """Shapes of the captured calls."""
    shapes = []

    def capture(function: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> Any:
        held = tuple(x.clone() for x in inputs)
        shapes.append(inputs[0].shape)
        graph = ImitatedGraph(function, held)
        return cuda_graphs._Graph(graph, held, graph.output)  # type: ignore[arg-type]  # imitated

    monkeypatch.setattr(cuda_graphs, "_is_on_gpu", lambda network: True)
    monkeypatch.setattr(cuda_graphs, "_capture", capture)
    return shapes


@torch.inference_mode()
def test_calls_give_the_results_of_the_function_and_are_captured_once_per_shape(
    captures: list[torch.Size],
) -> None:
    network = nn.Linear(3, 2)
    inputs = [torch.rand(1 + count % 2, 3) for count in range(12)]
    results = [replayed(network, network.forward, x) for x in inputs]
    assert captures == [(1, 3), (2, 3)]
    for x, result in zip(inputs, results, strict=True):  # also of earlier calls
        assert torch.equal(result, network(x))


@torch.inference_mode()
def test_changed_weights_are_used(captures: list[torch.Size]) -> None:
    network = nn.Linear(3, 2)
    x = torch.rand(1, 3)
    for _ in range(4):
        replayed(network, network.forward, x)
    network.load_state_dict(nn.Linear(3, 2).state_dict())
    assert torch.equal(replayed(network, network.forward, x), network(x))
    network.weight.data = torch.ones(2, 3)  # another memory, as after network.to()
    assert torch.equal(replayed(network, network.forward, x), network(x))


@torch.inference_mode()
def test_the_number_of_graphs_is_limited(captures: list[torch.Size]) -> None:
    network = nn.Linear(3, 2)
    for _ in range(3):
        for rows in range(1, 20):
            replayed(network, network.forward, torch.rand(rows, 3))
    assert len(captures) == 8


def test_calls_with_gradients_are_not_captured(captures: list[torch.Size]) -> None:
    network = nn.Linear(3, 2)
    for _ in range(4):
        assert replayed(network, network.forward, torch.rand(1, 3)).requires_grad
    assert not captures


class NoTransfer(TorchDispatchMode):
    """Rejects tensors on the CPU; on meta, operations that read values raise by themselves."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves((args, kwargs, result)):
            assert not isinstance(leaf, Tensor) or leaf.is_meta, f"{func}: copied to the device"
        return result


@torch.inference_mode()
def test_stir_and_plain_compute_without_waiting_for_the_device() -> None:
    stir = STIR(pyramid_levels=3, width=0.34).eval().to("meta")
    plain = PlainModule(channels=8).eval().to("meta")
    planes, clip = torch.empty(1, 61, 32, 48), torch.empty(1, 81, 32, 48, dtype=torch.uint8)
    planes, clip, scale = (x.to("meta") for x in (planes, clip, torch.ones(1)))
    with NoTransfer():  # type: ignore[no-untyped-call]  # torch has no hints there
        first, middle, last = (stir.encode(planes[:, start : start + 21]) for start in BLOCK_STARTS)
        assert stir.decode(first, middle, last, planes[:, :1]).shape == (1, 1, 32, 48)
        assert plain(clip, scale).shape == (1, 1, 32, 48)
