"""The methods whose pictures a page compares: names with settings become modules."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from spike_zoo.checkpoints.loading import load
from spike_zoo.files import shipped_weights
from spike_zoo.reports.choices import split_settings
from spike_zoo.tasks.protocols import Reconstructs, adjusted

if TYPE_CHECKING:
    from collections.abc import Sequence

CLASSICAL: Final = ("tfp", "tfi", "tfi:average=9", "tfstp", "tfi-aligned")
COLOUR: Final = ("tfp-colour", "tfi-colour", "ssl-csc", "tfi-aligned-colour")
#: What readers who are new to spike cameras must know about the methods of a page: name -> text.
EXPLAINED: Final = {
    "tfp": "TFP (texture from playback) averages the spikes of a window of planes: little noise, "
    "but what moves is blurred.",
    "tfi": "TFI (texture from interval) takes one over the time between two spikes of a pixel: "
    "sharp, but noisy; with average=9 it is the mean of nine planes.",
    "tfi-aligned": "tfi-aligned averages TFI along the estimated motion, over 65 planes.",
    "stir": "stir corrects tfi-aligned by a network.",
    "tfi-colour": "tfi-colour and tfp-colour demosaick what TFI (mean of nine) and TFP make.",
    "ssl-csc": "ssl-csc averages the samples of each colour along the motion, without learning.",
    "tfi-aligned-colour": "tfi-aligned-colour averages demosaicked planes along the motion and "
    "adds the residual of the samples.",
}


@dataclass(frozen=True)
class LabelledMethod:
    """A method with its name on a page.

    Attributes:
        name: The name.
        module: The method.
        has_one_picture: Whether it reconstructs only the plane that is shown first, because it
            takes seconds per picture.
    """

    name: str
    module: Reconstructs
    has_one_picture: bool = False


def loaded(
    wanted: Sequence[str],
    *,
    device: str,
    trust: bool,
    limits_slow: bool = False,
    colour: bool = False,
) -> list[LabelledMethod]:
    """Return methods, loaded.

    Args:
        wanted: A name, checkpoint or export folder each; settings may follow, as in
            ``"tfi:average=9"``. If empty, the classical methods and all shipped ones that
            reconstruct; slow ones among them come last and have one picture.
        device: Where they compute.
        trust: Whether classes from outside this package may be imported.
        limits_slow: Whether slow ones come last and have one picture if they are named, too.
        colour: Whether those are meant by default that make pictures in colour.

    Raises:
        UsageError: If one makes no pictures or has no such setting.
        MissingFileError: If a name does not exist.
        WeightsError: See :func:`spike_zoo.load`.
    """
    usual = COLOUR if colour else CLASSICAL
    methods = []
    for each in wanted or usual:
        name, settings = split_settings(each)
        module = adjusted(load(name, device=device, trust=trust), settings, f"--methods {each}")
        methods.append(LabelledMethod(each if settings else called(each), module))
    if not wanted and not colour:
        shipped = [(name, load(name, device=device)) for name in shipped_weights()]
        methods += [
            LabelledMethod(name, one) for name, one in shipped if isinstance(one, Reconstructs)
        ]
    if wanted and not limits_slow:
        return methods
    limited = [
        replace(one, has_one_picture=getattr(one.module, "takes_seconds", False)) for one in methods
    ]
    return sorted(limited, key=lambda one: one.has_one_picture)


def explanations(names: Sequence[str]) -> list[str]:
    """Return what readers must know about methods, given their names or names with settings."""
    bare = {name.partition(":")[0].rstrip("0123456789_").replace("_", "-") for name in names}
    return [text for name, text in EXPLAINED.items() if name in bare]


def called(wanted: str) -> str:
    """Return what a method is called on a page: its name, or of a checkpoint the run it is of."""
    path = Path(wanted)
    if path.suffix != ".ckpt":
        return path.name if path.exists() else wanted
    is_in_run = path.parent.name == "checkpoints"
    return f"{path.resolve().parent.parent.name}, {path.stem}" if is_in_run else path.name
