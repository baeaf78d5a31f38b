"""Reader of state dicts of published weights, and their comparison with a network's."""

from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from spike_zoo.checkpoints.weight_files import read_weights
from spike_zoo.errors import WeightsError

StateDict: TypeAlias = Mapping[str, Tensor]
WeightsSource: TypeAlias = "str | PathLike[str] | StateDict"


def source_name(source: WeightsSource) -> str:
    """Return the name of a source of weights for messages."""
    return "the state dict" if isinstance(source, Mapping) else str(source)


def read_state_dict(source: WeightsSource) -> dict[str, Tensor]:
    """Return the entries of published weights.

    Args:
        source: A file (``.pth``, ``.safetensors``) or its content: a state dict, optionally as the
            entry ``state_dict`` of a mapping, and optionally with a data-parallel wrapper's prefix
            ``module.``.

    Raises:
        WeightsError: If the file cannot be read or contains no state dict.
        MissingFileError: If the file does not exist.
    """
    content: Any = source if isinstance(source, Mapping) else read_weights(Path(source))
    content = content.get("state_dict", content) if isinstance(content, Mapping) else content
    if not isinstance(content, Mapping) or not all(map(torch.is_tensor, content.values())):
        where = source_name(source)
        raise WeightsError.at(where, "no state dict of tensors in it")
    return {str(key).removeprefix("module."): value for key, value in content.items()}


def check_entries(
    state: StateDict,
    expected: StateDict,
    source: WeightsSource,
    network: str,
    *,
    named: Callable[[str], str] = str,
) -> None:
    """Raise WeightsError, with the first of each kind of fault, if weights do not fit a network.

    ``state`` has the network's names; ``named`` maps them to those in the file. ``expected`` is the
    network's state dict, ``source`` and ``network`` are names for the message.
    """
    faults = differences(state, expected, named)
    if faults:
        where = source_name(source)
        raise WeightsError.at(
            where,
            f"not the published weights of {network}: {'; '.join(faults)}. Pass the published "
            "checkpoint of that network.",
        )


def differences(
    state: StateDict, expected: StateDict, named: Callable[[str], str] = str
) -> list[str]:
    """Return how names and shapes of weights differ from a network's, one phrase per kind.

    ``named`` maps the network's names to those in the phrases.
    """
    missing = [key for key in expected if key not in state]
    unexpected = [key for key in state if key not in expected]
    common = [key for key in expected if key in state]
    misshapen = [key for key in common if state[key].shape != expected[key].shape]
    faults = []
    for kind, keys in (("missing", missing), ("unexpected", unexpected)):
        if keys:
            faults.append(f"{len(keys)} {kind}, first {named(keys[0])}")
    if misshapen:
        key = misshapen[0]
        actual, wanted = tuple(state[key].shape), tuple(expected[key].shape)
        faults.append(
            f"{len(misshapen)} of another shape, first {named(key)}: {actual} instead of {wanted}"
        )
    return faults
