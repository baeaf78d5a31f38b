"""Calls as CUDA graphs, with an imitation of the capture on the CPU."""

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

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


class ImitatedGraph:
    """Computes the captured call again, with the memory of its weights, into the same output."""

    def __init__(self, forward: Any, inputs: tuple[Tensor, ...]) -> None:
        network = forward.__self__
        tensors = (*network.parameters(), *network.buffers())
        self.network = copy.deepcopy(network, {id(x): x.detach() for x in tensors})
        self.inputs, self.output = inputs, self.network(*inputs)

    def replay(self) -> None:
        self.output.copy_(self.network(*self.inputs))


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


class Shifted(nn.Module):
    """A network with two layers, a buffer, and dropout that its mode turns on."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head, self.drop = nn.Linear(3, 3), nn.Linear(3, 2), nn.Dropout(1.0)
        self.register_buffer("shift", torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.drop(self.head(self.first(x))) + self.shift
        return result


def with_new_data(network: Shifted) -> None:
    network.head.weight.data = torch.ones(2, 3)  # another memory, as after network.to()


CHANGES: list[Callable[[Shifted], object]] = [
    lambda network: network.load_state_dict(Shifted().state_dict()),
    with_new_data,
    lambda network: setattr(network, "head", nn.Linear(3, 2)),
    lambda network: setattr(network, "head", nn.Sequential(network.head, nn.Linear(2, 2))),
    lambda network: setattr(network, "drop", nn.Tanh()),
    lambda network: setattr(network, "shift", torch.zeros(2)),
    lambda network: nn.utils.parametrizations.weight_norm(network.head),
    lambda network: network.train(),
    lambda network: network.double().float(),
]


@pytest.mark.usefixtures("captures")
@pytest.mark.parametrize("change", CHANGES)
@torch.inference_mode()
def test_a_changed_network_gives_its_own_results(change: Callable[[Shifted], object]) -> None:
    network, x = Shifted().eval(), torch.rand(1, 3)
    for _ in range(4):
        replayed(network, network.forward, x)
    change(network)
    expected = network(x)
    for _ in range(4):
        assert torch.equal(replayed(network, network.forward, x), expected)


@torch.inference_mode()
def test_graphs_of_replaced_weights_are_dropped(captures: list[torch.Size]) -> None:
    network, x = Shifted().eval(), torch.rand(1, 3)
    for _ in range(12):
        for _ in range(4):
            replayed(network, network.forward, x)
        with_new_data(network)
    assert len(captures) == 12, "the limit of graphs would be reached by graphs that are not used"


def test_threads_that_share_a_network_get_their_own_results(captures: list[torch.Size]) -> None:
    network = Shifted().eval()

    def wrong(value: int) -> int:
        x = torch.full((1, 3), float(value))
        with torch.inference_mode():
            results = [replayed(network, network.forward, x) for _ in range(100)]
            return sum(not torch.equal(result, network(x)) for result in results)

    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(wrong, range(4))] == [0] * 4
    assert len(captures) == 1


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
