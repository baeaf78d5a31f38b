"""Parts of a module by name: taken from files, let learn, or frozen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spike_zoo.checkpoints.state_dicts import differences, read_state_dict
from spike_zoo.errors import WeightsError
from spike_zoo.files import weights_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import nn


def load_part(
    module: nn.Module, path: str | Path, part: str, *, optional: Sequence[str] = ()
) -> None:
    """Load one part of a file of weights into a module.

    Args:
        module: What takes the weights.
        path: A checkpoint, a ``.safetensors`` file, the folder of an export, or published weights.
        part: Name of the part in the file, as ``"teacher.bsn"``. A file without any entry of that
            name is taken to hold the part alone, as published weights do.
        optional: Parts of the module that the file may lack; they stay as they are.

    Raises:
        MissingFileError: If there is no such file.
        WeightsError: If its entries are not those of the module; names the first of each fault.
    """
    file = weights_file(path)
    state, prefix = read_state_dict(file), f"{part}."
    inside = {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
    expected = module.state_dict()
    kept = {name: tensor for name, tensor in expected.items() if _is_inside(name, optional)}
    found = kept | (inside or state)
    faults = differences(found, expected)
    if faults:
        network = type(module).__name__
        held = f"its part {part} is not {network}"
        if not inside:
            held = f"it has no part {part} and is not {network} by itself"
        raise WeightsError(
            f"{file}: {held}: {'; '.join(faults)}. Give a checkpoint or an export of a module with "
            f"this {network} in it.",
            path=str(file),
        )
    module.load_state_dict(found)


def learn_only(module: nn.Module, parts: Sequence[str]) -> list[nn.Parameter]:
    """Let some parts of a module learn, and freeze all others.

    Args:
        module: What the parts are of.
        parts: Names of submodules or parameters, as ``"codec.motion"``.

    Returns:
        The parameters that learn, in the module's order.

    Raises:
        ValueError: If a part has no parameters; names it.
    """
    names = [name for name, _ in module.named_parameters()]
    unknown = [part for part in parts if not any(_is_inside(name, [part]) for name in names)]
    if unknown:
        known = dict.fromkeys(name.partition(".")[0] for name in names)
        raise ValueError(
            f"{type(module).__name__} has no part {unknown[0]!r} with parameters; it has "
            f"{', '.join(known)}"
        )
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(_is_inside(name, parts))
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def set_frozen_to_eval(module: nn.Module, parts: Sequence[str]) -> None:
    """Put all of a module into evaluation mode but the parts that learn and what holds them.

    A frozen batch norm in training mode would still move its statistics and use those of the
    batch. ``train()`` undoes this, so a module with stages calls it at the end of its own.
    """
    for name, submodule in module.named_modules():
        holds_learning = not name or any(_is_inside(part, [name]) for part in parts)
        if not (holds_learning or _is_inside(name, parts)):
            submodule.training = False


def _is_inside(name: str, parts: Sequence[str]) -> bool:
    """Return whether a name is that of a part or of something in it."""
    return any(name == part or name.startswith(f"{part}.") for part in parts)
