"""Compile loops for the processor: what all kernels of the package share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numba

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Function = TypeVar("Function", bound=Callable[..., object])


#: Allows the compiler to vectorise sums and comparisons of numbers that are finite.
FINITE = ("nnan", "ninf", "nsz", "arcp", "contract", "reassoc")


def compiled(function: Function, *, inline: bool = False, fastmath: Sequence[str] = ()) -> Function:
    """Compile without Python's lock, so that plain threads can share rows.

    Plain threads and not numba's own: those may neither be forked nor, in one of their forms, be
    entered twice. Compiled code is cached on disk where a folder for it is writable.

    Args:
        function: The kernel.
        inline: Compile it into the body of every caller.
        fastmath: Flags of LLVM, as :data:`FINITE`.
    """
    options: dict[str, Any] = {
        **{"nogil": True, "error_model": "numpy", "forceinline": inline},
        "fastmath": set(fastmath),
    }
    kernel: Any
    try:
        kernel = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no writable folder
        kernel = numba.njit(**options)(function)
    return kernel


def compiled_inline(function: Function) -> Function:
    """Compile into the body of every caller."""
    return compiled(function, inline=True)
