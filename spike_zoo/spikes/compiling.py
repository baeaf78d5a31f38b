"""Compile loops for the processor: what all kernels of the package share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numba

if TYPE_CHECKING:
    from collections.abc import Callable

    Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function, *, inline: bool = False) -> Function:
    """Compile without Python's lock, so that plain threads share the pixels out.

    Plain threads and not numba's own: those may neither be forked nor, in one of their forms, be
    entered twice. Compiled code is kept on disk where any folder for it can be written.
    """
    kernel: Any
    try:
        kernel = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=inline)(
            function
        )
    except RuntimeError:  # nowhere to keep it
        kernel = numba.njit(nogil=True, error_model="numpy", forceinline=inline)(function)
    return kernel


def compiled_inline(function: Function) -> Function:
    """Compile into the body of every caller."""
    return compiled(function, inline=True)
