"""A ready module from a shipped name, a checkpoint or an export: ``spike_zoo.load``."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from spike_zoo.errors import MissingFileError, UsageError, WeightsError
from spike_zoo.files import new_file
from spike_zoo.methods.artifacts import fetch_artifact, is_artifact
from spike_zoo.methods.shipped import PUBLISHED, WEIGHTLESS, shipped_names, shipped_weights
from spike_zoo.nn.files import EXPORT_NAME, read_weights, state_digest
from spike_zoo.nn.official import read_state_dict

if TYPE_CHECKING:
    from torch import Tensor

PACKAGE = "spike_zoo."
PUBLISHED_SUFFIXES = (".pth", ".pt")


@dataclass(frozen=True)
class Blueprint:
    """What a file says about the module it holds.

    Attributes:
        class_path: Where the class lives.
        hyper_parameters: Arguments of its constructor, plain values.
        state: Its weights.
    """

    class_path: str
    hyper_parameters: dict[str, Any]
    state: dict[str, Tensor]


def load(
    name_or_path: str | Path, *, device: str | torch.device = "cpu", trust: bool = False
) -> nn.Module:
    """Return a ready module in evaluation mode.

    Args:
        name_or_path: A shipped name (``"tfi"``, ``"stir-small"``), a checkpoint (``.ckpt``), a
            weights file (``.safetensors``), a folder with one named ``model.safetensors``, or a
            method's published file (``.pth``). Or what a run left with W&B, fetched once:
            ``"wandb:entity/project/name:best"``.
        device: Where the module computes.
        trust: Also import and build a class from outside this package; the file chooses which.
            A command that loads methods passes on its switch ``--trust``.

    Raises:
        MissingFileError: If it is neither a name nor a file; lists the names.
        WeightsError: If the file is no checkpoint of a module, or of a class that is not to be
            trusted, or cannot be fetched.
    """
    if is_artifact(name_or_path):
        name_or_path = fetch_artifact(str(name_or_path))
    module = _published(Path(name_or_path))
    if module is None:
        module = _build(_blueprint(name_or_path), str(name_or_path), trust=trust)
    return module.to(device).eval()


def export(module: nn.Module, folder: str | Path, *, half: bool = False) -> Path:
    """Write a module as a folder that :func:`load` takes: weights with everything to build it.

    Args:
        module: The module.
        folder: Made if it is not there.
        half: Store floating-point weights as float16.

    Returns:
        The folder's weights file.
    """
    target = Path(folder) / EXPORT_NAME
    target.parent.mkdir(parents=True, exist_ok=True)
    save_weights(module, target, half=half)
    return target


def save_weights(
    module: nn.Module, path: str | Path, *, half: bool = False, **metadata: str
) -> None:
    """Write a module's weights as safetensors, its class path and arguments beside them.

    Args:
        module: The module.
        path: The file, replaced if it is there.
        half: Store floating-point weights as float16.
        metadata: Further texts to keep, as the recipe the weights were made with.
    """
    state = {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}
    if half:
        state = {n: t.half() if t.is_floating_point() else t for n, t in state.items()}
    state = {name: tensor.contiguous() for name, tensor in state.items()}
    described = {
        **metadata,
        "class_path": f"{type(module).__module__}.{type(module).__qualname__}",
        "hyper_parameters": json.dumps(plain_hyper_parameters(module)),
        "sha256": state_digest(state),
    }
    with new_file(Path(path), overwrite=True) as temporary:
        save_file(state, temporary, metadata=described)


def plain_hyper_parameters(module: nn.Module) -> dict[str, Any]:
    """Return the constructor's arguments that a module was made with."""
    hidden = ("_class_path", "_instantiator")
    hparams: Any = module.hparams
    return {name: value for name, value in hparams.items() if name not in hidden}


def _published(path: Path) -> nn.Module | None:
    """Return the module of a method's published file, None for every other file."""
    if path.suffix not in PUBLISHED_SUFFIXES or not path.is_file():
        return None
    state = read_state_dict(path)
    class_path = next((value for entry, value in PUBLISHED.items() if entry in state), None)
    if class_path is None:
        return None
    module_class: Any = _resolve(class_path, str(path), trust=False)
    return module_class.from_official(path)


def _blueprint(name_or_path: str | Path) -> Blueprint:
    name = str(name_or_path)
    if name in WEIGHTLESS:
        return Blueprint(WEIGHTLESS[name], {}, {})
    path = shipped_weights().get(name, Path(name_or_path))
    if path.is_dir():
        path = path / EXPORT_NAME
    if not path.is_file():
        raise MissingFileError(
            f"{name}: neither a file nor a shipped method. Shipped are "
            f"{', '.join(shipped_names())}; else give a .ckpt, a .safetensors or an export folder.",
            path=name,
        )
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return _read_checkpoint(path)


def _read_safetensors(path: Path) -> Blueprint:
    state = read_weights(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    if "class_path" not in metadata:
        raise WeightsError(
            f"{path}: its metadata names no class, so it was not written by this package. Load it "
            "with the method's from_official if it holds published weights.",
            path=str(path),
        )
    if metadata.get("sha256", state_digest(state)) != state_digest(state):
        raise WeightsError(
            f"{path}: the weights differ from the checksum written with them; copy the file again",
            code="checksum",
            path=str(path),
        )
    floats = {n: t.float() if t.is_floating_point() else t for n, t in state.items()}
    arguments = json.loads(metadata.get("hyper_parameters", "{}"))
    return Blueprint(metadata["class_path"], arguments, floats)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint without running anything it may hold.

    Raises:
        WeightsError: If it is damaged, or holds more than tensors and plain values.
    """
    checkpoint = read_weights(path)
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise WeightsError(
            f"{path}: not a checkpoint of a module (no state_dict). Published weights are loaded "
            "with the method's from_official.",
            path=str(path),
        )
    return checkpoint


def described(checkpoint: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Return what a checkpoint says of its module: class path and the constructor's arguments."""
    arguments = dict(checkpoint.get("hyper_parameters", {}))
    class_path = arguments.pop("_class_path", None)
    arguments.pop("_instantiator", None)
    noted = checkpoint.get("spike_zoo", {})
    class_path = noted.get("class_path", class_path)
    return class_path, dict(noted.get("hyper_parameters", arguments))


def _read_checkpoint(path: Path) -> Blueprint:
    checkpoint = read_checkpoint(path)
    class_path, arguments = described(checkpoint)
    if class_path is None:
        raise WeightsError(
            f"{path}: does not say which class it belongs to; it was not written by a module of "
            "this package",
            path=str(path),
        )
    return Blueprint(class_path, arguments, checkpoint["state_dict"])


def _build(blueprint: Blueprint, source: str, *, trust: bool) -> nn.Module:
    module_class = _resolve(blueprint.class_path, source, trust=trust)
    try:
        module = module_class(**blueprint.hyper_parameters)
    except TypeError as error:
        raise WeightsError(f"{source}: {blueprint.class_path} was saved otherwise: {error}") from (
            error
        )
    outcome = module.load_state_dict(blueprint.state, strict=False)
    if outcome.missing_keys or outcome.unexpected_keys:
        raise WeightsError(
            f"{source}: the weights do not fit {blueprint.class_path}: first missing "
            f"{next(iter(outcome.missing_keys), 'none')}, first unexpected "
            f"{next(iter(outcome.unexpected_keys), 'none')}"
        )
    return module


def _resolve(class_path: str, source: str, *, trust: bool) -> type[nn.Module]:
    if not class_path.startswith(PACKAGE) and not trust:
        raise WeightsError(
            f"{source}: wants to build {class_path!r}, which is not of this package. Nothing of it "
            f"was imported: add --trust if you trust the file and know the package "
            f"{class_path.partition('.')[0]!r} (from Python: trust=True)",
            code="untrusted",
        )
    module_name, _, class_name = class_path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise WeightsError(
            f"{source}: there is no class {class_path!r} here ({error}). Install its package, or "
            "call where its file lies."
        ) from error
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise WeightsError(f"{source}: {class_path!r} is not a module")
    return found


def pick_device(name: str) -> str:
    """Return the device a user's ``auto``, ``cpu``, ``cuda`` or ``mps`` means on this machine.

    Raises:
        UsageError: If the named device is not there.
    """
    if name == "auto":
        return str(torch.accelerator.current_accelerator() or "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise UsageError(
            f"--device {name}: not usable here ({first}); try --device auto"
        ) from error
    return name
