"""CUDA graphs of functions of a network that are called again with inputs of the same shapes."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from torch import nn

    Result = TypeVar("Result")

_EAGER_CALLS: Final = 2  # before the capture: libraries select algorithms and allocate workspaces
_MAX_GRAPHS: Final = 8  # per network

_NETWORKS: WeakKeyDictionary[nn.Module, dict[Hashable, _Calls]] = WeakKeyDictionary()


class _Graph(NamedTuple):
    """A captured call, which reads and writes these tensors."""

    graph: torch.cuda.CUDAGraph
    inputs: Any
    outputs: Any


class _Calls:
    """Calls of a function with inputs of the same shapes."""

    def __init__(self) -> None:
        self.count = 0
        self.graph: _Graph | None = None


def replayed(network: nn.Module, function: Callable[..., Result], *inputs: Any) -> Result:
    """Return ``function(*inputs)``; on a GPU as a CUDA graph, from the third call with such inputs.

    A graph launches all kernels by one call. This saves most of the time of small images. The
    result of a graph is that of the function. If a function cannot be captured, a warning is issued
    and the function is called.

    Args:
        network: Network whose weights the function uses.
        function: Function of tensors that neither waits for the GPU nor depends on other state
            that changes. Functions are distinguished by their qualified names.
        inputs: Tensors and tuples of tensors.
    """
    if not (_is_on_gpu(network) and torch.is_inference_mode_enabled()):
        return function(*inputs)
    leaves = tree_leaves(inputs)
    shapes = tuple((x.shape, x.dtype) if isinstance(x, Tensor) else x for x in leaves)
    weights = next(network.parameters()).data_ptr()  # changes if the network is moved
    key = (function.__qualname__, shapes, weights, torch.is_autocast_enabled("cuda"))
    known = _NETWORKS.setdefault(network, {})
    if key not in known and len(known) == _MAX_GRAPHS:
        return function(*inputs)
    calls = known.setdefault(key, _Calls())
    calls.count += 1
    if calls.count == _EAGER_CALLS + 1:
        calls.graph = _capture(function, inputs)
    if calls.graph is None:
        return function(*inputs)
    for held, given in zip(tree_leaves(calls.graph.inputs), leaves, strict=True):
        if isinstance(held, Tensor):
            held.copy_(given)
    calls.graph.graph.replay()
    result: Result = tree_map(_copied, calls.graph.outputs)
    return result


def _is_on_gpu(network: nn.Module) -> bool:
    return any(weight.is_cuda for weight in network.parameters())


def _capture(function: Callable[..., Any], inputs: tuple[Any, ...]) -> _Graph | None:
    """Capture a call; return None with a warning if it cannot be captured."""
    held = tree_map(_copied, inputs)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            outputs = function(*held)
    except RuntimeError as error:
        warnings.warn(f"computed without a CUDA graph, which is slower: {error}", stacklevel=3)
        return None
    return _Graph(graph, held, outputs)


def _copied(value: Any) -> Any:  # noqa: ANN401  (tensors and other arguments)
    return value.clone() if isinstance(value, Tensor) else value
