"""Where the fast ways apply; elsewhere every layer here is PyTorch's own."""

from __future__ import annotations

import torch
from torch import Tensor


def is_eager_cpu(x: Tensor) -> bool:
    """Return whether what is computed of ``x`` is computed on a CPU, operation by operation.

    A compiler finds better ways by itself, and accelerators have none of the CPU's weak spots.
    """
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def only_makes_pictures(x: Tensor) -> bool:
    """Return whether what is computed of ``x`` is not learned from either.

    Then layers may write over their input and take weights together that are learned apart.
    """
    return is_eager_cpu(x) and not torch.is_grad_enabled()
