"""Decorators that compile kernels with numba."""

import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numba
from numba.core import event

Function = TypeVar("Function", bound=Callable[..., object])


_LOG = logging.getLogger(__name__)


class _CompilationNotice(event.Listener):
    """Log once that kernels are compiled, if a person may be waiting."""

    is_logged = False

    def on_start(self, event: event.Event) -> None:
        """Log the first compilation; kernels from the cache on disk are not compiled."""
        if not self.is_logged and sys.stderr.isatty():
            _LOG.info("compiling kernels, once on this machine; this takes some seconds")
        self.is_logged = True

    def on_end(self, event: event.Event) -> None:
        """Do nothing."""


_NOTICE = _CompilationNotice()
event.register("numba:compile", _NOTICE)  # type: ignore[no-untyped-call]  # numba's


def compiled(function: Function, *, inline: bool = False, fastmath: Sequence[str] = ()) -> Function:
    """Compile a kernel that releases the GIL, so that Python threads can run it in parallel.

    Numba's own threads are not used: they cannot be forked, and one of their backends is not
    reentrant. Compiled code is cached on disk if the cache folder is writable.

    Kernels use indexed loops: assigning an array to a slice, or a reduction such as ``max()``,
    compiles texts and exceptions of numba for seconds.

    Args:
        function: The kernel.
        inline: Inline the kernel into every caller.
        fastmath: Flags of LLVM, such as ``"nnan"``.
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
    """Compile a kernel that is inlined into every caller."""
    return compiled(function, inline=True)
