"""Loading, training and freezing of parts of a module, selected by name."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from spike_zoo.checkpoints.state_dicts import differences, read_state_dict
from spike_zoo.errors import WeightsError
from spike_zoo.utils.files import weights_file


def load_part(
    module: nn.Module, path: str | Path, part: str, *, optional: Sequence[str] = ()
) -> None:
    """Load one part of a file of weights into a module.

    Args:
        module: Module that receives the weights.
        path: A checkpoint, a ``.safetensors`` file, the folder of an export, or published weights.
        part: Name of the part in the file, as ``"teacher.bsn"``. If no entry has this prefix, the
            file is assumed to contain the part alone, as published weights do.
        optional: Parts of the module that the file may lack; they keep their values.

    Raises:
        MissingFileError: If the file does not exist.
        WeightsError: If the entries do not match the module; names the first of each kind of
            fault.
    """
    file = weights_file(path)
    state, prefix = read_state_dict(file), f"{part}."
    inside = {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
    expected = module.state_dict()
    optional_tensors = {
        name: tensor for name, tensor in expected.items() if _is_inside(name, optional)
    }
    loaded = optional_tensors | (inside or state)
    faults = differences(loaded, expected)
    if faults:
        network = type(module).__name__
        held = f"its part {part} is not {network}"
        if not inside:
            held = f"it has no part {part} and is not {network} by itself"
        raise WeightsError.at(
            file,
            f"{held}: {'; '.join(faults)}. Give a checkpoint or an export of a module with this "
            f"{network} in it.",
        )
    module.load_state_dict(loaded)


def learn_only(module: nn.Module, parts: Sequence[str]) -> list[nn.Parameter]:
    """Freeze a module except for some parts; return the trainable parameters in the module's order.

    ``parts`` are names of submodules or parameters, as ``"codec.motion"``. A part without
    parameters is a ValueError.
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
    """Put a module into evaluation mode, except the trained parts and the modules around them.

    A frozen batch norm in training mode would still update its statistics and use those of the
    batch. ``train()`` undoes this, so modules with stages call it at the end of their ``train``.
    """
    for name, submodule in module.named_modules():
        holds_trained = not name or any(_is_inside(part, [name]) for part in parts)
        if not (holds_trained or _is_inside(name, parts)):
            submodule.training = False


def _is_inside(name: str, parts: Sequence[str]) -> bool:
    """Return whether a name is one of the parts or has one of them as a prefix."""
    return any(name == part or name.startswith(f"{part}.") for part in parts)
