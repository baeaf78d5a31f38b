"""Imitation of a GPU of Apple: tensors that compute on the CPU and reject what mps rejects."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from lightning.pytorch.accelerators import MPSAccelerator
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("mps:0")
_ON_DEVICE = ("mps", "meta")  # "meta" where autograd makes a tensor
_DOUBLE = (torch.float64, torch.complex128)
_COPIES = (
    torch.ops.aten.copy_.default,
    torch.ops.aten._to_copy.default,
    torch.ops.aten.to.dtype_layout,
)
#: Operators without a kernel for 64-bit integers.
_SCATTERS = ("aten::scatter", "aten::index_add", "aten::bincount", "aten::histc")


class DeviceTensor(Tensor):
    """A tensor on the imitated device."""

    on_cpu: Tensor

    @staticmethod
    def __new__(cls: type[DeviceTensor], on_cpu: Tensor) -> DeviceTensor:
        made = Tensor._make_wrapper_subclass(
            cls,
            on_cpu.size(),
            strides=on_cpu.stride(),
            storage_offset=on_cpu.storage_offset(),
            dtype=on_cpu.dtype,
            device=torch.device("meta"),  # autograd needs a device of this build
        )
        made.on_cpu = on_cpu
        return made

    device = property(lambda self: DEVICE)
    is_meta = property(lambda self: False)

    def tolist(self) -> Any:
        return self.on_cpu.tolist()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.on_cpu.__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # a method in torch
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _run(func, args, kwargs or {})


class ImitatedDevice(TorchDispatchMode):
    """Mode in which ``"mps:0"`` is the imitated device."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __enter__(self) -> Any:
        torch._C._set_only_lift_cpu_tensors(True)  # so that torch.tensor(.., device=..) calls it
        return super().__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        torch._C._set_only_lift_cpu_tensors(False)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


@contextlib.contextmanager
def imitated_mac(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make Lightning and this package take the imitated device by default."""
    monkeypatch.setattr(MPSAccelerator, "is_available", staticmethod(lambda: True))
    fabric = "lightning.fabric.accelerators.mps"
    monkeypatch.setattr(f"{fabric}.MPSAccelerator.is_available", lambda: True)
    monkeypatch.setattr(f"{fabric}._get_all_available_mps_gpus", lambda: [0])
    # tensors of an inference mode have no version counter, which detach needs here
    monkeypatch.setattr(torch, "inference_mode", lambda mode=True: torch.no_grad())
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda *_: None)
    with ImitatedDevice():
        yield


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    """Run an operator on the CPU; the result is on the device if an operand or the target is."""
    given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    target = None if kwargs.get("device") is None else torch.device(kwargs["device"]).type
    is_on_device = target in _ON_DEVICE or any(isinstance(x, DeviceTensor) for x in given)
    if func in _COPIES:
        is_on_device = target in _ON_DEVICE or (not target and isinstance(args[0], DeviceTensor))
    elif is_on_device:
        _check(func, given)
    if target in _ON_DEVICE:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    result = func(*tree_map(_on_cpu, args), **tree_map(_on_cpu, kwargs))
    owners = {id(_on_cpu(x)): x for x in given}  # operators in place return their operand
    return tree_map(lambda x: _wrapped(x, owners, is_on_device), result)


def _check(func: Any, given: list[Tensor]) -> None:
    in_backward = torch._C._current_graph_task_id() != -1  # its zeros are made on the CPU
    if not in_backward and any(x.dim() and not isinstance(x, DeviceTensor) for x in given):
        raise RuntimeError(f"{func}: expected all tensors to be on the same device, mps and cpu")
    if func.name().startswith(_SCATTERS) and given[0].dtype == torch.int64:
        raise RuntimeError(f"{func}: not implemented for int64 on mps")
    if not func.name().startswith(("aten::", "prims::", "profiler::")):
        raise NotImplementedError(f"{func}: no kernel for mps")


def _on_cpu(value: Any) -> Any:
    return value.on_cpu if isinstance(value, DeviceTensor) else value


def _wrapped(value: Any, owners: dict[int, Tensor], is_on_device: bool) -> Any:
    if not isinstance(value, Tensor) or isinstance(value, DeviceTensor):
        return value
    if id(value) in owners:
        return owners[id(value)]
    if is_on_device and value.dtype in _DOUBLE:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype: mps has no float64")
    return DeviceTensor(value) if is_on_device else value
