"""The methods whose pictures stand beside each other: names with settings become modules."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from spike_zoo.errors import UsageError
from spike_zoo.files import shipped_weights
from spike_zoo.methods.loading import load
from spike_zoo.reports.choices import split_settings
from spike_zoo.tasks.abilities import Adjustable, Reconstructs, able

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

CLASSICAL: Final = ("tfp", "tfi", "tfi:average=9", "tfstp")


@dataclass(frozen=True)
class Named:
    """A method with what it is called on a page."""

    name: str
    module: Reconstructs


def loaded(wanted: Sequence[str], *, device: str, trust: bool) -> list[Named]:
    """Return methods, loaded.

    Args:
        wanted: A name, checkpoint or export folder each; settings may follow, as in
            ``"tfi:average=9"``. None at all stands for the classical ones and all that ship, but
            for those that take seconds a picture.
        device: Where they compute.
        trust: Whether classes from outside this package may be imported.

    Raises:
        UsageError: If one makes no pictures or has no such setting.
        MissingFileError: If there is none of a name.
        WeightsError: See :func:`spike_zoo.load`.
    """
    if wanted:
        return [_one(each, device=device, trust=trust) for each in wanted]
    classical = [_one(each, device=device, trust=trust) for each in CLASSICAL]
    shipped = [(name, load(name, device=device)) for name in shipped_weights()]
    learned = [Named(name, one) for name, one in shipped if isinstance(one, Reconstructs)]
    quick = [one for one in learned if not getattr(one.module, "takes_seconds", False)]
    return [*classical, *quick]


def _one(wanted: str, *, device: str, trust: bool) -> Named:
    name, settings = split_settings(wanted)
    module = load(name, device=device, trust=trust)
    if not settings:
        return Named(called(wanted), able(module, Reconstructs, f"--methods {wanted}"))
    return Named(wanted, _adjusted(module, wanted, settings))


def _adjusted(module: nn.Module, wanted: str, settings: dict[str, int]) -> Reconstructs:
    for setting in settings:
        if not isinstance(module, Adjustable) or setting not in module.hparams:
            raise UsageError(f"--methods {wanted}: there is no setting {setting!r} to change")
    try:
        adjusted: Reconstructs = module.adjusted(**settings)  # type: ignore[operator]  # checked
    except ValueError as error:
        raise UsageError(f"--methods {wanted}: {error}") from error
    return adjusted


def called(wanted: str) -> str:
    """Return what a method is called on a page: its name, or of a checkpoint the run it is of."""
    path = Path(wanted)
    if path.suffix != ".ckpt":
        return path.name if path.exists() else wanted
    is_in_run = path.parent.name == "checkpoints"
    return f"{path.resolve().parent.parent.name}, {path.stem}" if is_in_run else path.name
