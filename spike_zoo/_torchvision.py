"""Let torchvision be imported where its compiled operators do not load beside this torch."""

from __future__ import annotations

import importlib.util
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from torch.library import Library

_KEPT: list[Library] = []  # a library's definitions are undone when it is collected


def define_missing_operators(package: Path) -> bool:
    """Define ``nms`` and ``qnms`` if the operators' library in ``package`` does not load.

    A CUDA build of torchvision beside a CPU torch fails at import because these two operators are
    registered against a library that is not there. Nothing is defined where the library loads.

    Args:
        package: Folder of the torchvision package.

    Returns:
        Whether the operators had to be defined; calling them then raises.
    """
    import torch

    if _KEPT:
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
    _KEPT.append(operators)
    return True


class TorchvisionGuard(MetaPathFinder):
    """Repairs torchvision when it is first asked for, then steps out of the way.

    A spawned process has it if the main module's top imports the package, as the program's does:
    that runs before anything that was sent to the process is imported. Below
    ``if __name__ == "__main__":`` the import comes too late.
    """

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return None, so that the usual finders load the package; repair it first."""
        if fullname != "torchvision":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.origin is not None:
            define_missing_operators(Path(spec.origin).parent)
        return None


def install_guard() -> None:
    """Put the guard in front of the finders, once, unless torchvision is already there."""
    is_needed = "torchvision" not in sys.modules
    if is_needed and not any(isinstance(finder, TorchvisionGuard) for finder in sys.meta_path):
        sys.meta_path.insert(0, TorchvisionGuard())
