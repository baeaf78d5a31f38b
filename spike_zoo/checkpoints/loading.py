"""Loading and export of modules (``spike_zoo.load``), and selection of the device."""

import contextvars
import copy
import importlib
import json
from argparse import ArgumentError
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save
from torch import nn

from spike_zoo.checkpoints.artifacts import fetch_artifact, is_artifact
from spike_zoo.checkpoints.hub import fetch_from_hub, is_on_hub
from spike_zoo.checkpoints.published import WEIGHTLESS, located_weights
from spike_zoo.checkpoints.saved_model import (
    SavedModel,
    class_and_arguments,
    plain,
    plain_hyper_parameters,
    read_saved_model,
)
from spike_zoo.checkpoints.state_dicts import differences
from spike_zoo.checkpoints.weight_files import first_invalid, state_digest
from spike_zoo.errors import ConfigError, SpikeZooError, UsageError, WeightsError, first_line
from spike_zoo.utils.files import new_file

PACKAGE = "spike_zoo."
# Errors that a constructor can raise for arguments of a damaged or crafted file.
_UNBUILDABLE = (
    *(ArithmeticError, AttributeError, LookupError, MemoryError),
    *(RuntimeError, TypeError, ValueError, ArgumentError, AssertionError),
)


def load(
    name_or_path: str | Path, *, device: str | torch.device = "cpu", trust: bool = False
) -> nn.Module:
    """Load a module with its weights, in evaluation mode.

    Weights files can name a module for inference, which is returned without importing Lightning:
    ``PlainReconstruction`` for ``"plain"``. Checkpoints return the module that was trained.

    Args:
        name_or_path: A shipped name (``"tfi"``, ``"stir-aligned"``), a checkpoint (``.ckpt``), a
            weights file (``.safetensors``), a folder with ``model.safetensors``, or a method's
            published file (``.pth``). A configuration (``.yaml``) of a method that needs no weights
            or names them itself, as ``configs/external``. Or weights to download once:
            ``"hf:owner/name"`` from the Hub, ``"wandb:entity/project/name:best"`` from a run's W&B
            artefacts.
        device: Device of the module; ``"auto"`` selects an accelerator if it is available.
        trust: Also import and build classes from outside this package, as named in the file.
            Commands set it by their option ``--trust``.

    Raises:
        MissingFileError: If the argument is neither a shipped name nor a file; lists the names.
        WeightsError: If the file is not a checkpoint of a module, its class is not trusted, or the
            file cannot be fetched.
        UsageError: If the device is not usable, a name with ``hf:`` or ``wandb:`` has another form,
            or the extra ``hub`` is not installed.

    Example:
        >>> from spike_zoo.testing import pattern_take
        >>> recording = pattern_take(0).recording
        >>> method = load("tfi")
        >>> method.reconstruct(recording, [30, 40, 50]).shape
        torch.Size([3, 1, 40, 48])
    """
    name = str(name_or_path)
    if not name:
        raise UsageError("the name of the method or of its weights is empty")
    device = pick_device(str(device))
    if name in WEIGHTLESS:
        saved = SavedModel(WEIGHTLESS[name].class_path, {}, {}, name)
    else:
        saved = read_saved_model(located_weights(fetch_weights(name_or_path))).for_inference()
    return _built(saved, trust=trust).to(device).eval()


def rebuild(checkpoint: dict[str, Any]) -> None:
    """Build the module of a checkpoint of this process, if the checkpoint states its class.

    Raises WeightsError if it cannot be built from its arguments, or the weights do not fit it.
    """
    class_path, arguments = class_and_arguments(checkpoint)
    if class_path is not None:
        saved = SavedModel(class_path, arguments, checkpoint["state_dict"], "the new checkpoints")
        _built(saved, trust=True)


def initialise(module: nn.Module, file: Path, *, strict: bool = True) -> list[str]:
    """Load weights into a module that is about to be trained.

    Args:
        module: The module.
        file: A checkpoint, an export, or a method's published file.
        strict: Raise an error unless names and shapes are exactly those of the module. Otherwise
            entries that do not fit are left out.

    Returns:
        Descriptions of the entries left out, one line per kind.

    Raises:
        WeightsError: If the weights do not fit; with ``strict=False`` only if no entry fits.
    """
    saved = read_saved_model(file)
    state, expected = saved.state, module.state_dict()
    if saved.is_published:
        state = _built(saved, trust=False).state_dict()
    fitting = {
        name: tensor
        for name, tensor in state.items()
        if name in expected and tensor.shape == expected[name].shape
    }
    faults = differences(state, expected)
    if faults and (strict or not fitting):
        way_out = ", or leave entries out with --init_strict false" if fitting else ""
        raise WeightsError.at(
            file,
            f"the weights do not fit {type(module).__name__}: {'; '.join(faults)}. "
            f"{_other_arguments(module, saved)}Give the model the same arguments{way_out}.",
        )
    module.load_state_dict(fitting, strict=False)
    _check_finite(module, str(file))
    left_out = {
        "entries of the file are left out": [name for name in state if name not in fitting],
        "entries of the model keep their initial values": [n for n in expected if n not in fitting],
    }
    return [f"{len(names)} {what}: {', '.join(names)}" for what, names in left_out.items() if names]


def _other_arguments(module: nn.Module, saved: SavedModel) -> str:
    """Return a sentence that lists the arguments of the weights that differ from the module's."""
    own = plain_hyper_parameters(module.hparams)
    stored = saved.hyper_parameters.items()
    others = [f"{name}={value}" for name, value in stored if name in own and own[name] != value]
    return f"They were made with {', '.join(others[:8])}. " if others else ""


def fetch_weights(name_or_path: str | Path) -> str | Path:
    """Download weights named ``wandb:`` or ``hf:`` and return their path; return others as is."""
    name = str(name_or_path)
    if is_artifact(name):
        return fetch_artifact(name)
    return fetch_from_hub(name) if is_on_hub(name) else name_or_path


def save_weights(
    module: nn.Module, path: str | Path, *, half: bool = False, **metadata: str
) -> None:
    """Write a module's weights as safetensors, with class path and arguments as metadata.

    Args:
        module: The module.
        path: The file; replaced if it exists.
        half: Store floating-point weights as float16.
        metadata: Further metadata, for example the recipe of the weights.
    """
    if half and hasattr(module, "finalize"):
        module = _rounded(module)
    state = {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}
    if half:
        state = {n: t.half() if t.is_floating_point() else t for n, t in state.items()}
    state = {name: tensor.contiguous() for name, tensor in state.items()}
    described = {
        **metadata,
        "class_path": _class_path(type(module)),
        "hyper_parameters": json.dumps(plain_hyper_parameters(module.hparams)),
        "sha256": state_digest(state),
    }
    if inference_part := getattr(module, "inference_part", None):
        part, part_class, arguments = inference_part()
        inference = {
            "part": part,
            "class_path": _class_path(part_class),
            "hyper_parameters": plain(arguments),
        }
        described["inference"] = json.dumps(inference)
    with new_file(Path(path), overwrite=True) as temporary:
        # Not save_file: write_bytes raises OSError if the disk is full.
        temporary.write_bytes(save(state, metadata=described))


def _class_path(module_class: type) -> str:
    return f"{module_class.__module__}.{module_class.__qualname__}"


def _rounded(module: nn.Module) -> nn.Module:
    """Return a copy with weights rounded to float16, finalised with the rounded weights."""
    copied: Any = copy.deepcopy(module)
    for tensor in (*copied.parameters(), *copied.buffers()):
        if tensor.is_floating_point():
            tensor.data.copy_(tensor.data.half())
    copied.finalize()
    return copied


def _built(saved: SavedModel, *, trust: bool) -> nn.Module:
    source = saved.source
    module_class: Any = _resolve(saved.class_path, source, trust=trust)
    # Lightning's command line keeps the arguments of the module it builds in a context variable. A
    # module built inside it would save those as its hyperparameters, hence the empty context.
    empty = contextvars.Context()
    if saved.is_published:
        module = cast("nn.Module", empty.run(module_class.from_official, source))
        _check_finite(module, source)
        return module
    try:
        module = empty.run(_construct, module_class, saved)
    except SpikeZooError:
        raise
    except _UNBUILDABLE as error:
        if saved.is_configuration:
            raise ConfigError(
                f"{source}: init_args do not fit {saved.class_path}: {first_line(error)}"
            ) from error
        raise WeightsError(
            f"{source}: {saved.class_path} cannot be built with the arguments in the file "
            f"({first_line(error)}); the file is damaged, or another version wrote it"
        ) from error
    if saved.is_configuration:
        if module.state_dict() and not getattr(module, "has_own_weights", False):
            raise ConfigError(
                f"{source}: {saved.class_path} would be untrained; name a checkpoint of it, as "
                "runs/RUN/checkpoints/best.ckpt"
            )
    else:
        faults = differences(saved.state, module.state_dict())
        if faults:
            raise WeightsError(
                f"{source}: the weights do not fit {saved.class_path}: {'; '.join(faults)}"
            )
        module.load_state_dict(saved.state)
    _check_finite(module, source)
    return module


def _construct(module_class: Any, saved: SavedModel) -> nn.Module:  # noqa: ANN401  (a class)
    """Call the constructor with the arguments of a file.

    Classes of other packages, which the user trusts, get them as the command line passes them:
    converted by the hints of the constructor, so that lists become tuples, and networks that are
    arguments are built. The classes of this package take plain values.
    """
    values = saved.hyper_parameters
    if saved.class_path.startswith(PACKAGE):
        return module_class(**values)
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(module_class, fail_untyped=False)
    arguments = parser.instantiate(parser.parse_object(values, defaults=False))
    module: nn.Module = module_class(**vars(arguments))
    stored = getattr(module, "hparams", {})  # of a LightningModule; an export stores plain values
    stored.update({name: values[name] for name in stored if name in values})
    return module


def _check_finite(module: nn.Module, source: str) -> None:
    if (name := first_invalid(module)) is not None:
        raise WeightsError(f"{source}: the weights {name} are not finite; use another checkpoint")


def _resolve(class_path: str, source: str, *, trust: bool) -> type[nn.Module]:
    if not class_path.startswith(PACKAGE) and not trust:
        raise WeightsError(
            f"{source}: needs the class {class_path!r}, which is not part of this package. Nothing "
            f"of it was imported: add --trust if you trust the file and know the package "
            f"{class_path.partition('.')[0]!r} (from Python: trust=True)",
            code="untrusted",
        )
    module_name, _, class_name = class_path.rpartition(".")
    try:
        module_class = getattr(importlib.import_module(module_name or class_path), class_name)
    except (ImportError, AttributeError) as error:
        raise WeightsError(
            f"{source}: the class {class_path!r} cannot be imported ({error}). Install its "
            "package, or run the command in the folder of its file."
        ) from error
    if not (isinstance(module_class, type) and issubclass(module_class, nn.Module)):
        raise WeightsError(f"{source}: {class_path!r} is not a module")
    return module_class


def pick_device(name: str) -> str:
    """Return the device that ``auto``, ``cpu``, ``cuda`` or ``mps`` selects on this machine.

    ``auto`` selects an accelerator only if it is available: a CUDA build of torch also runs on
    machines without a GPU or driver.

    Raises:
        UsageError: If the named device is not available.
    """
    if name == "auto":
        has_accelerator = torch.accelerator.is_available()
        return str(torch.accelerator.current_accelerator()) if has_accelerator else "cpu"
    if problem := device_problem(name):
        raise UsageError(f"--device {name}: not usable here ({problem}); try --device auto")
    return name


def device_problem(name: str) -> str:
    """Return torch's reason why a device is not usable, or an empty string if it is usable."""
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        return first_line(error)
    return ""
