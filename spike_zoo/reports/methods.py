"""Loading, names and explanations of the methods that a report compares."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from spike_zoo.checkpoints.loading import load
from spike_zoo.reports.choices import split_settings
from spike_zoo.tasks.protocols import Reconstructs, adjusted

if TYPE_CHECKING:
    from collections.abc import Sequence

CLASSICAL: Final = ("tfp", "tfi", "tfi:average=9", "tfstp", "tfi-aligned")
COLOUR: Final = ("tfp-colour", "tfi-colour", "ssl-csc", "tfi-aligned-colour")
#: Methods that a report compares by default, by increasing quality.
DEFAULTS: Final = ("tfp", "tfi:average=9", "plain", "tfi-aligned", "stir")
_SCI: Final = "sci and sci-small are networks of the SCI paper, here without compression."
#: Method -> explanation for readers who are new to spike cameras.
EXPLAINED: Final = {
    "tfp": "TFP (texture from playback) averages the spikes of a window of planes: little noise, "
    "but what moves is blurred.",
    "tfi": "TFI (texture from interval) takes one over the time between two spikes of a pixel: "
    "sharp, but noisy; with average=9 it is the mean of nine planes.",
    "tfstp": "TFSTP models how charge and firing of a pixel adapt over time (short-term plasticity "
    "of synapses), from the planes before the picture.",
    "tfi-aligned": "tfi-aligned averages TFI along the estimated motion, over 65 planes.",
    "plain": "plain corrects TFI by a small network without motion, fast enough for a live view.",
    "stir": "stir corrects tfi-aligned by a network.",
    "stir-small": "stir-small is the network of the STIR paper at half its width.",
    "sci": _SCI,
    "sci-small": _SCI,
    "tfp-colour": "tfp-colour demosaicks the image of TFP.",
    "tfi-colour": "tfi-colour demosaicks the image of TFI, the mean of nine planes.",
    "ssl-csc": "ssl-csc averages the samples of each colour along the motion, without learning.",
    "tfi-aligned-colour": "tfi-aligned-colour averages demosaicked planes along the motion and "
    "adds the residual of the samples.",
}


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
            ``"tfi:average=9"``. If empty, the default methods; slow ones among them come last and
            have one picture.
        device: Device of the methods.
        trust: Whether classes from outside this package may be imported.
        limits_slow: Whether named slow methods also come last and have one picture.
        colour: Whether the default methods are those for colour.

    Raises:
        UsageError: If a method does not reconstruct or does not have a setting.
        MissingFileError: If there is no method of a name.
        WeightsError: As for :func:`spike_zoo.load`.
    """
    defaults = COLOUR if colour else DEFAULTS
    methods = []
    for method in wanted or defaults:
        name, settings = split_settings(method)
        module = adjusted(load(name, device=device, trust=trust), settings, f"--methods {method}")
        methods.append(LabelledMethod(method if settings else method_label(method), module))
    if wanted and not limits_slow:
        return methods
    limited = [
        replace(method, has_one_picture=getattr(method.module, "takes_seconds", False))
        for method in methods
    ]
    return sorted(limited, key=lambda method: method.has_one_picture)


def explanations(names: Sequence[str]) -> list[str]:
    """Return one explanation per method, from their names or names with settings."""
    texts = []
    for name in names:
        bare = name.partition(":")[0]
        known = EXPLAINED.get(bare) or EXPLAINED.get(bare.rstrip("0123456789_").replace("_", "-"))
        texts.append(known or f"{name}: weights from a file or an address of your own.")
    return list(dict.fromkeys(texts))


def method_label(wanted: str) -> str:
    """Return the name of a method in a report: its name, or run and file name of a checkpoint."""
    path = Path(wanted)
    if path.suffix != ".ckpt":
        return path.name if path.exists() else wanted
    is_in_run = path.parent.name == "checkpoints"
    return f"{path.resolve().parent.parent.name}, {path.stem}" if is_in_run else path.name
