"""Workaround for the import of torchvision if its compiled operators do not fit the torch build."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

    from torch.library import Library

_LIBRARIES: list[Library] = []  # the definitions end when a library is garbage collected


def define_missing_operators(package: Path) -> bool:
    """Define the operators ``nms`` and ``qnms`` if torchvision's library does not load.

    A CUDA build of torchvision with a CPU build of torch fails at import, because these operators
    are registered for a library that is not loaded. ``package`` is the folder of torchvision.
    Returns whether the operators were defined; calls of these operators raise an error.
    """
    import torch

    if _LIBRARIES:
        return True
    for library in sorted(package.glob("_C*.so")):
        try:
            torch.ops.load_library(str(library))
        except OSError:
            continue
        return False
    operators = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _LIBRARIES.append(operators)
    return True


class TorchvisionGuard(MetaPathFinder):
    """Import hook that calls :func:`define_missing_operators` before torchvision is imported.

    The hook removes itself after the first import of torchvision. A spawned process has the hook if
    the main module imports spike_zoo at its top level, because this module is imported before the
    objects sent to the process. An import below ``if __name__ == "__main__":`` is too late.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Define missing operators for torchvision; return None, so that other finders load it."""
        if fullname != "torchvision":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.origin is not None:
            define_missing_operators(Path(spec.origin).parent)
        return None


def install_guard() -> None:
    """Insert the hook as the first finder, once, unless torchvision is already imported."""
    is_needed = "torchvision" not in sys.modules
    if is_needed and not any(isinstance(finder, TorchvisionGuard) for finder in sys.meta_path):
        sys.meta_path.insert(0, TorchvisionGuard())
