"""Reader of checkpoints: class path, constructor arguments and weights, without executing code."""

from __future__ import annotations

import io
import json
import operator
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from enum import Enum
from pathlib import Path
from pickle import PickleError
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spike_zoo.checkpoints.published import PUBLISHED
from spike_zoo.checkpoints.state_dicts import read_state_dict
from spike_zoo.checkpoints.weight_files import read_weights, state_digest
from spike_zoo.errors import ConfigError, WeightsError
from spike_zoo.utils.yaml_files import read_yaml

PUBLISHED_SUFFIXES = (".pth", ".pt")
#: Errors of torch for values that it does not write, or does not read without executing code.
_UNREADABLE = (PickleError, AttributeError, RuntimeError, TypeError)
_CLI_ENTRIES = ("_class_path", "_instantiator")


@dataclass(frozen=True)
class SavedModel:
    """Class, arguments and weights from which a module is built."""

    class_path: str  #: import path of the class
    hyper_parameters: dict[str, Any]  #: arguments of its constructor, plain values
    state: dict[str, Tensor]  #: its weights
    source: str  #: name or file of the weights, for messages
    #: whether the weights are a method's published ones, under the names that the ``from_official``
    #: of its class takes
    is_published: bool = False
    #: whether the constructor reads the weights, so that there are none in ``state``
    is_configuration: bool = False
    #: name of the part of the weights that is sufficient for inference (``""``: all), and class and
    #: arguments of the module for it
    inference: Mapping[str, Any] | None = None

    def for_inference(self) -> SavedModel:
        """Return the part of the module that is sufficient for inference, or this model."""
        if not self.inference:
            return self
        prefix = f"{part}." if (part := self.inference["part"]) else ""
        state = {n.removeprefix(prefix): t for n, t in self.state.items() if n.startswith(prefix)}
        arguments = dict(self.inference["hyper_parameters"])
        return SavedModel(self.inference["class_path"], arguments, state, self.source)


def read_saved_model(file: Path) -> SavedModel:
    """Read class, arguments and weights of a module from a file.

    Args:
        file: A checkpoint, a ``.safetensors`` file that this package wrote, published weights, or
            a configuration (``.yaml``) whose model brings its own weights, if any.

    Raises:
        WeightsError: If the file is damaged, contains more than tensors and plain values, or does
            not state its class.
    """
    if file.suffix == ".safetensors":
        return _read_safetensors(file)
    if file.suffix in (".yaml", ".yml"):
        return _read_configuration(file)
    if file.suffix in PUBLISHED_SUFFIXES:
        state = read_state_dict(file)
        class_path = next((path for entry, path in PUBLISHED.items() if entry in state), None)
        if class_path is not None:
            return SavedModel(class_path, {}, state, str(file), is_published=True)
    return _read_checkpoint(file)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint without executing code in it.

    A ``.safetensors`` file of this package is returned as a checkpoint of weights alone. Raises
    WeightsError if the file is damaged, or contains more than tensors and plain values.
    """
    if Path(path).suffix == ".safetensors":
        saved = _read_safetensors(Path(path))
        model = {"class_path": saved.class_path, "hyper_parameters": saved.hyper_parameters}
        return {"state_dict": saved.state, "spike_zoo": model}
    checkpoint = read_weights(path)
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise WeightsError.at(
            path,
            "not a checkpoint of a module (no state_dict). Published weights are loaded with the "
            "method's from_official.",
        )
    _check_content(checkpoint, path)
    return checkpoint


def plain_hyper_parameters(hparams: Any) -> dict[str, Any]:  # noqa: ANN401  (Lightning's mapping)
    """Return hyperparameters as plain values, without those that Lightning's command line adds."""
    return {name: plain(value) for name, value in hparams.items() if name not in _CLI_ENTRIES}


def plain(value: Any) -> Any:  # noqa: ANN401  (any content of a checkpoint)
    """Return a value with numbers of numpy, paths, enumerations and options as plain values.

    A checkpoint with them could not be read without executing code. Containers without such values
    are returned unchanged.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and not value.ndim):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Enum):
        return value.name
    if type(value) in (list, tuple, set):
        changed = type(value)(map(plain, value))
        return value if all(map(operator.is_, value, changed)) else changed
    if isinstance(value, dict):
        pairs = {plain(key): plain(item) for key, item in value.items()}
        is_same = all(map(operator.is_, [*value, *value.values()], [*pairs, *pairs.values()]))
        return value if is_same else pairs
    return value


def read_back(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a checkpoint as it is read from its file.

    Raises WeightsError with the first entry that cannot be read without executing code.
    """
    try:
        return _copy(content)
    except _UNREADABLE as error:
        name, value = _first_unreadable("", content)
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        raise WeightsError(
            f"{name}: a {kind}, with which the checkpoints of this run could not be read. Store "
            "tensors, numbers, texts, and lists, tuples and dictionaries of these"
        ) from error


def _copy(content: Any) -> Any:  # noqa: ANN401  (any content of a checkpoint)
    file = io.BytesIO()
    torch.save(content, file)
    file.seek(0)
    return torch.load(file, map_location="cpu", weights_only=True)


def _first_unreadable(name: str, value: Any) -> tuple[str, Any]:  # noqa: ANN401  (any content)
    """Return the name and the value of the innermost entry that cannot be read back."""
    is_list = isinstance(value, list | tuple)
    children = enumerate(value) if is_list else value.items() if isinstance(value, dict) else ()
    for key, child in children:
        try:
            _copy(child)
        except _UNREADABLE:
            return _first_unreadable(f"{name}.{key}" if name else str(key), child)
    return name, value


def class_and_arguments(checkpoint: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Return the class path and the constructor's arguments of a checkpoint."""
    arguments = dict(checkpoint.get("hyper_parameters", {}))
    class_path = arguments.pop("_class_path", None)
    arguments.pop("_instantiator", None)
    model = checkpoint.get("spike_zoo", {})
    class_path = model.get("class_path", class_path)
    return class_path, dict(model.get("hyper_parameters", arguments))


def _check_content(checkpoint: dict[str, Any], path: str | Path) -> None:
    """Raise WeightsError unless a checkpoint holds tensors by name and plain values."""
    model = checkpoint.get("spike_zoo", {})
    parts = {"state_dict": checkpoint["state_dict"], "spike_zoo": model}
    parts["hyper_parameters"] = checkpoint.get("hyper_parameters", {})
    if isinstance(model, dict):
        parts["spike_zoo.hyper_parameters"] = model.get("hyper_parameters", {})
    for name, part in parts.items():
        if not isinstance(part, Mapping) or not all(isinstance(key, str) for key in part):
            raise _damaged(path, f"{name} is not a mapping with names as keys")
    if not isinstance(class_and_arguments(checkpoint)[0], str | None):
        raise _damaged(path, "its class path is not a text")
    _check_tensors(checkpoint["state_dict"], path)


def _damaged(path: str | Path, what: str) -> WeightsError:
    return WeightsError.at(path, f"{what}; the file is damaged")


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


def _read_configuration(path: Path) -> SavedModel:
    """Read class and arguments of ``model``, or of a file with ``class_path`` and ``init_args``."""
    content = read_yaml(path)
    model = content.get("model", content) if isinstance(content, dict) else None
    if not (isinstance(model, dict) and isinstance(model.get("class_path"), str)):
        raise ConfigError.at(path, "no class_path of a method in it, nor in its entry model")
    arguments = model.get("init_args") or {}
    if not isinstance(arguments, dict):
        raise ConfigError.at(path, f"init_args: expected a mapping, got {arguments!r}")
    return SavedModel(model["class_path"], arguments, {}, str(path), is_configuration=True)


def _read_safetensors(path: Path) -> SavedModel:
    state = read_weights(path)
    content = path.read_bytes()  # a JSON header after its length in 8 bytes, valid by now
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    metadata = header.get("__metadata__", {})
    if "class_path" not in metadata:
        raise WeightsError.at(
            path,
            "its metadata names no class, so it was not written by this package. Load it with the "
            "method's from_official if it holds published weights.",
        )
    recorded_sha256 = metadata.get("sha256")
    if recorded_sha256 is not None and recorded_sha256 != state_digest(state):
        raise WeightsError.at(
            path,
            "the weights differ from the checksum written with them; copy the file again",
            code="checksum",
        )
    _check_tensors(state, path)
    floats = {n: t.float() if t.is_floating_point() else t for n, t in state.items()}
    arguments, inference = (
        _json_object(path, metadata, name) for name in ("hyper_parameters", "inference")
    )
    if inference and {"part", "class_path", "hyper_parameters"} - inference.keys():
        raise _damaged(path, "inference in its metadata lacks part, class_path or hyper_parameters")
    return SavedModel(metadata["class_path"], arguments, floats, str(path), inference=inference)


def _json_object(path: Path, metadata: Mapping[str, str], name: str) -> dict[str, Any]:
    try:
        value = json.loads(metadata.get(name, "{}"))
    except json.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise _damaged(path, f"{name} in its metadata is not a JSON object")
    return value


def _read_checkpoint(path: Path) -> SavedModel:
    checkpoint = read_checkpoint(path)
    class_path, arguments = class_and_arguments(checkpoint)
    if class_path is None:
        raise WeightsError.at(
            path, "does not state its class; it was not written by a module of this package"
        )
    return SavedModel(class_path, arguments, checkpoint["state_dict"], str(path))
