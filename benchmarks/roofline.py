"""Shortest time of a call on a card: its operations and bytes over the card's peak rates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch._ops import OpOverload


class Peak(NamedTuple):
    """Peak rates of a card, from its data sheet, without sparsity.

    Attributes:
        operations: Floating-point operations a second, in TF32 and in bf16 or float16.
        bandwidth: Bytes a second.
    """

    operations: dict[torch.dtype, float]
    bandwidth: float


_TENSOR_CORES: Final = {torch.float32: 494e12, torch.bfloat16: 989e12, torch.float16: 989e12}
#: Part of the name of a card -> its peak rates.
PEAKS: Final = {"H100": Peak(_TENSOR_CORES, 3.35e12), "H200": Peak(_TENSOR_CORES, 4.8e12)}


class _CountedBytes(TorchDispatchMode):
    """Counts the bytes that operations read and write; views read and write none."""

    total = 0

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            leaves = tree_leaves((args, kwargs, result))
            self.total += sum(x.nbytes for x in leaves if isinstance(x, Tensor))
        return result


def counted(call: Callable[[], object]) -> tuple[int, int]:
    """Return the floating-point operations of a call, and the bytes that it reads and writes.

    Each operation of torch reads its inputs from memory and writes its output there.
    """
    with FlopCounterMode(display=False) as operations, _CountedBytes() as moved:  # type: ignore[no-untyped-call]  # as in torch
        call()
    return operations.get_total_flops(), moved.total


def shortest_time(call: Callable[[], object], dtype: torch.dtype, card: str) -> float | None:
    """Return the seconds of a call at the peak rates of a card; None for other cards."""
    peak = next((peak for name, peak in PEAKS.items() if name in card), None)
    if peak is None:
        return None
    operations, moved = counted(call)
    return max(operations / peak.operations[dtype], moved / peak.bandwidth)
