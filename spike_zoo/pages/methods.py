"""Loading, names and explanations of the methods that a report compares."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from spike_zoo.checkpoints.published import WEIGHTLESS, split_settings, weightless_names
from spike_zoo.tasks.protocols import Reconstructs, load_adjusted, require_ability

#: Methods that a report compares by default, by increasing quality.
DEFAULTS: Final = ("tfp", "tfi:average=9", "plain", "tfi-aligned", "fused", "stir-aligned")
#: Shipped network -> explanation, as :attr:`Weightless.explanation`.
NETWORKS: Final = {
    "plain": "plain corrects TFI by a small network without motion, fast enough for a live view.",
    "fused": "fused combines averages along the motion and at fixed pixels by a small network.",
    "stir-aligned": "stir-aligned corrects tfi-aligned by a network.",
    "stir": "stir is the network of the STIR paper at half its width.",
    "sci": "sci is the network of the SCI paper, here without compression.",
}


@dataclass(frozen=True)
class LabelledMethod:
    """A method with its name in a report.

    Methods that take seconds per image reconstruct only the plane of the first image.
    """

    name: str
    module: Reconstructs
    has_one_image: bool = False


def load_methods(
    wanted: Sequence[str],
    *,
    device: str,
    trust: bool,
    limits_slow: bool = False,
    colour: bool = False,
) -> list[LabelledMethod]:
    """Load methods by name, checkpoint or export folder, with settings as in ``tfi:average=9``.

    Without names, the default methods (``colour``: for recordings with filters) are loaded. Slow
    ones among them, with ``limits_slow`` also named ones, come last and have one image.
    """
    defaults = weightless_names(in_colour=True) if colour else DEFAULTS
    methods = []
    for method in wanted or defaults:
        module = load_adjusted(method, "--methods", device=device, trust=trust)
        require_ability(module, Reconstructs, f"--methods {method}")
        has_settings = bool(split_settings(method)[1])
        methods.append(LabelledMethod(method if has_settings else method_label(method), module))
    if wanted and not limits_slow:
        return methods
    limited = [
        replace(method, has_one_image=getattr(method.module, "takes_seconds", False))
        for method in methods
    ]
    return sorted(limited, key=lambda method: method.has_one_image)


def explanations(names: Sequence[str]) -> list[str]:
    """Return one explanation per method, from their names or names with settings."""
    known = {name: method.explanation for name, method in WEIGHTLESS.items()} | NETWORKS
    own = "{}: weights from a file or an address of your own."
    texts = (known.get(bare_name(name)) or own.format(name) for name in names)
    return list(dict.fromkeys(texts))


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
