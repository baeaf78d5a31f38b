"""What a file of weights says about the module that it is of, read without running anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open

from spike_zoo.checkpoints.state_dicts import read_state_dict
from spike_zoo.checkpoints.weight_files import read_weights, state_digest
from spike_zoo.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

PUBLISHED_SUFFIXES = (".pth", ".pt")


@dataclass(frozen=True)
class SavedModel:
    """What is needed to build a module.

    Attributes:
        class_path: Where the class lives.
        hyper_parameters: Arguments of its constructor, plain values.
        state: Its weights.
        source: Name or file that says so, for messages.
        is_published: Whether the weights are a method's published ones, under the names that its
            class's ``from_official`` takes.
    """

    class_path: str
    hyper_parameters: dict[str, Any]
    state: dict[str, Tensor]
    source: str
    is_published: bool = False


def read_saved_model(file: Path, published: Mapping[str, str]) -> SavedModel:
    """Return what a file says about its module.

    Args:
        file: A checkpoint, a ``.safetensors`` file that this package wrote, or published weights.
        published: An entry that only the published weights of a method have -> their class path.

    Raises:
        WeightsError: If it is damaged, holds more than tensors and plain values, or does not say
            which class it is of.
    """
    if file.suffix == ".safetensors":
        return _read_safetensors(file)
    if file.suffix in PUBLISHED_SUFFIXES:
        state = read_state_dict(file)
        class_path = next((one for entry, one in published.items() if entry in state), None)
        if class_path is not None:
            return SavedModel(class_path, {}, state, str(file), is_published=True)
    return _read_checkpoint(file)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint without running anything it may hold.

    A ``.safetensors`` file that this package wrote is one that holds weights alone.

    Raises:
        WeightsError: If it is damaged, or holds more than tensors and plain values.
    """
    if Path(path).suffix == ".safetensors":
        blueprint = _read_safetensors(Path(path))
        said = {"class_path": blueprint.class_path, "hyper_parameters": blueprint.hyper_parameters}
        return {"state_dict": blueprint.state, "spike_zoo": said}
    checkpoint = read_weights(path)
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise WeightsError(
            f"{path}: not a checkpoint of a module (no state_dict). Published weights are loaded "
            "with the method's from_official.",
            path=str(path),
        )
    _check_content(checkpoint, path)
    return checkpoint


def described(checkpoint: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Return the class path and the constructor's arguments that a read checkpoint holds."""
    arguments = dict(checkpoint.get("hyper_parameters", {}))
    class_path = arguments.pop("_class_path", None)
    arguments.pop("_instantiator", None)
    noted = checkpoint.get("spike_zoo", {})
    class_path = noted.get("class_path", class_path)
    return class_path, dict(noted.get("hyper_parameters", arguments))


def _check_content(checkpoint: dict[str, Any], path: str | Path) -> None:
    """Raise WeightsError unless a checkpoint holds tensors by name and plain values."""
    noted = checkpoint.get("spike_zoo", {})
    parts = {"state_dict": checkpoint["state_dict"], "spike_zoo": noted}
    parts["hyper_parameters"] = checkpoint.get("hyper_parameters", {})
    if isinstance(noted, dict):
        parts["spike_zoo.hyper_parameters"] = noted.get("hyper_parameters", {})
    for name, part in parts.items():
        if not isinstance(part, Mapping) or not all(isinstance(key, str) for key in part):
            raise _damaged(path, f"{name} is not a mapping with names as keys")
    if not isinstance(described(checkpoint)[0], str | None):
        raise _damaged(path, "its class path is not a text")
    _check_tensors(checkpoint["state_dict"], path)


def _damaged(path: str | Path, what: str) -> WeightsError:
    return WeightsError(f"{path}: {what}; the file is damaged", path=str(path))


def _check_tensors(state: Mapping[str, Any], path: str | Path) -> None:
    for name, tensor in state.items():
        if not _is_plain_tensor(tensor):
            raise _damaged(path, f"state_dict[{name!r}] is not a dense tensor of real numbers")


def _is_plain_tensor(value: Any) -> bool:  # noqa: ANN401  (any value of a checkpoint)
    if not isinstance(value, torch.Tensor) or value.is_complex() or value.is_meta:
        return False
    if value.layout != torch.strided:
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def _read_safetensors(path: Path) -> SavedModel:
    state = read_weights(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    if "class_path" not in metadata:
        raise WeightsError(
            f"{path}: its metadata names no class, so it was not written by this package. Load it "
            "with the method's from_official if it holds published weights.",
            path=str(path),
        )
    stated = metadata.get("sha256")
    if stated is not None and stated != state_digest(state):
        raise WeightsError(
            f"{path}: the weights differ from the checksum written with them; copy the file again",
            code="checksum",
            path=str(path),
        )
    _check_tensors(state, path)
    floats = {n: t.float() if t.is_floating_point() else t for n, t in state.items()}
    try:
        arguments = json.loads(metadata.get("hyper_parameters", "{}"))
    except json.JSONDecodeError:
        arguments = None
    if not isinstance(arguments, dict):
        raise _damaged(path, "hyper_parameters in its metadata is not a JSON object")
    return SavedModel(metadata["class_path"], arguments, floats, str(path))


def _read_checkpoint(path: Path) -> SavedModel:
    checkpoint = read_checkpoint(path)
    class_path, arguments = described(checkpoint)
    if class_path is None:
        raise WeightsError(
            f"{path}: does not say which class it belongs to; it was not written by a module of "
            "this package",
            path=str(path),
        )
    return SavedModel(class_path, arguments, checkpoint["state_dict"], str(path))
