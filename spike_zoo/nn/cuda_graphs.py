"""CUDA graphs of functions of a network that are called again with inputs of the same shapes."""

from __future__ import annotations

import threading
import warnings
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any, Final, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

Result = TypeVar("Result")

_EAGER_CALLS: Final = 2  # before the capture: libraries select algorithms and allocate workspaces
_MAX_GRAPHS: Final = 8  # per network

_NETWORKS: WeakKeyDictionary[nn.Module, _Calls] = WeakKeyDictionary()
_LOCK: Final = threading.Lock()  # threads share the inputs and outputs of a graph


class _Graph(NamedTuple):
    """A captured call, which reads and writes these tensors."""

    graph: torch.cuda.CUDAGraph
    inputs: Any
    outputs: Any


class _Calls(NamedTuple):
    """Calls of a network's functions while its weights are in the same memory."""

    state: object  #: of :func:`_state`
    counts: Counter[Hashable]
    graphs: dict[Hashable, _Graph | None]


def replayed(network: nn.Module, function: Callable[..., Result], *inputs: Any) -> Result:
    """Return ``function(*inputs)``; on a GPU as a CUDA graph, from the third call with such inputs.

    A graph launches all kernels by one call. This saves most of the time of small images. The
    result of a graph is that of the function, also after layers or weights are replaced or moved.
    If a function cannot be captured, a warning is issued and the function is called.

    Args:
        network: Network whose weights the function uses.
        function: Function of tensors that neither waits for the GPU nor depends on other state
            that changes. Functions are distinguished by their qualified names.
        inputs: Tensors and tuples of tensors.
    """
    if _is_on_gpu(network) and torch.is_inference_mode_enabled():
        with _LOCK:
            graph = _graph_of(network, function, inputs)
            if graph is not None:
                for held, given in zip(tree_leaves(graph.inputs), tree_leaves(inputs), strict=True):
                    if isinstance(held, Tensor):
                        held.copy_(given)
                graph.graph.replay()
                result: Result = tree_map(_copied, graph.outputs)
                return result
    return function(*inputs)


def _graph_of(
    network: nn.Module, function: Callable[..., Any], inputs: tuple[Any, ...]
) -> _Graph | None:
    """Return the graph of a call, which is captured after some calls; None without a graph."""
    state, calls = _state(network), _NETWORKS.get(network)
    if calls is None or calls.state != state:  # earlier graphs read memory that may be freed
        calls = _NETWORKS[network] = _Calls(state, Counter(), {})
    shapes = tuple((x.shape, x.dtype) if isinstance(x, Tensor) else x for x in tree_leaves(inputs))
    autocast = torch.is_autocast_enabled("cuda") and torch.get_autocast_dtype("cuda")
    stream = torch.cuda.current_stream() if torch.cuda.is_initialized() else None
    key = (function.__qualname__, shapes, autocast, stream)
    if key not in calls.counts and len(calls.counts) == _MAX_GRAPHS:
        return None
    calls.counts[key] += 1
    if calls.counts[key] == _EAGER_CALLS + 1:
        calls.graphs[key] = _capture(function, inputs)
    return calls.graphs.get(key)


def _state(network: nn.Module) -> object:
    """Return what identifies the memory of all weights and buffers, and the modes of all layers."""
    modules = [*network.modules()]
    # network.parameters() and buffers() would take twice as long, in every call
    groups = [group for layer in modules for group in (layer._parameters, layer._buffers)]
    tensors = [x for group in groups for x in group.values() if x is not None]
    return (
        [(type(layer), layer.training) for layer in modules],
        [(x.data_ptr(), x.shape, x.stride(), x.dtype) for x in tensors],
    )


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
