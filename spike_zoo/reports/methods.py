"""Loading, names and explanations of the methods that a report compares."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from spike_zoo.checkpoints.loading import load
from spike_zoo.checkpoints.published import WEIGHTLESS, weightless_names
from spike_zoo.files import shipped_weights
from spike_zoo.reports.choices import split_settings
from spike_zoo.tasks.protocols import Reconstructs, adjusted

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Shipped network -> explanation, as :attr:`Weightless.explanation`.
_NETWORKS: Final = {"stir": "stir corrects tfi-aligned by a network."}


@dataclass(frozen=True)
class LabelledMethod:
    """A method with its name in a report.

    Attributes:
        name: The name.
        module: The method.
        has_one_picture: Whether the method reconstructs only the plane of the first picture,
            because it takes seconds per picture.
    """

    name: str
    module: Reconstructs
    has_one_picture: bool = False


def load_methods(
    wanted: Sequence[str],
    *,
    device: str,
    trust: bool,
    limits_slow: bool = False,
    colour: bool = False,
) -> list[LabelledMethod]:
    """Load methods.

    Args:
        wanted: Names, checkpoints or export folders, with optional settings such as
            ``"tfi:average=9"``. If empty, the classical methods and all shipped methods that
            reconstruct; slow ones among them come last and have one picture.
        device: Device of the methods.
        trust: Whether classes from outside this package may be imported.
        limits_slow: Whether named slow methods also come last and have one picture.
        colour: Whether the default methods are those for colour.

    Raises:
        UsageError: If a method does not reconstruct or does not have a setting.
        MissingFileError: If there is no method of a name.
        WeightsError: As for :func:`spike_zoo.load`.
    """
    methods = []
    for method in wanted or weightless_names(in_colour=colour):
        name, settings = split_settings(method)
        module = adjusted(load(name, device=device, trust=trust), settings, f"--methods {method}")
        methods.append(LabelledMethod(method if settings else method_label(method), module))
    if not wanted and not colour:
        shipped = [(name, load(name, device=device)) for name in shipped_weights()]
        methods += [
            LabelledMethod(name, module)
            for name, module in shipped
            if isinstance(module, Reconstructs)
        ]
    if wanted and not limits_slow:
        return methods
    limited = [
        replace(method, has_one_picture=getattr(method.module, "takes_seconds", False))
        for method in methods
    ]
    return sorted(limited, key=lambda method: method.has_one_picture)


def explanations(names: Sequence[str]) -> list[str]:
    """Return the explanations of methods, from their names or names with settings."""
    explained = {name: method.explanation for name, method in WEIGHTLESS.items()} | _NETWORKS
    bare = {bare_name(name) for name in names}
    return [text for name, text in explained.items() if name in bare]


def bare_name(name: str) -> str:
    """Return the method of a name with settings or of a variant, such as ``tfi`` of ``tfi_9``."""
    return name.partition(":")[0].rstrip("0123456789_").replace("_", "-")


def method_label(wanted: str) -> str:
    """Return the name of a method in a report: its name, or run and file name of a checkpoint."""
    path = Path(wanted)
    if path.suffix != ".ckpt":
        return path.name if path.exists() else wanted
    is_in_run = path.parent.name == "checkpoints"
    return f"{path.resolve().parent.parent.name}, {path.stem}" if is_in_run else path.name
