"""Safe reader of weights files: no code in them is executed."""

import hashlib
import pickle
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from spike_zoo.errors import MissingFileError, WeightsError, first_line
from spike_zoo.utils.files import how_to_make

#: Ends of the names of buffers that are updated in training, of all batch norms.
_STATISTICS = ("running_mean", "running_var")
# Errors that reading a damaged or crafted file can raise.
_DAMAGED = (
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)


def read_weights(path: str | Path) -> Any:  # noqa: ANN401  (any content of a file)
    """Return the tensors and plain values of a file of safetensors or ``torch.save``, on the CPU.

    Raises:
        MissingFileError: If the file does not exist.
        WeightsError: If the file is damaged, or contains more than tensors and plain values.
    """
    file = Path(path)
    if not file.is_file():
        advice = f". {command}" if (command := how_to_make(file)) else ""
        raise MissingFileError.at(file, f"there is no such file of weights{advice}")
    try:
        if file.suffix == ".safetensors":
            return load(file.read_bytes())  # load_file maps the file; some file systems cannot
        return torch.load(file, map_location="cpu", weights_only=True)
    except _DAMAGED as error:
        raise WeightsError.at(
            file, f"not a file of weights that can be read safely ({first_line(error)})"
        ) from error


def state_digest(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over names and values of a state dict."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(state[name].contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def first_not_finite(tensors: Iterable[tuple[str, Tensor]]) -> str | None:
    """Return the name of the first tensor that holds NaN or infinity, None if all are finite."""
    return next((name for name, x in tensors if not torch.isfinite(x.detach()).all()), None)


def first_invalid(module: nn.Module) -> str | None:
    """Return the name of a module's first invalid parameter or buffer, None if all are valid.

    Parameters and running statistics must be finite. Other buffers may hold infinity, as attention
    masks do, but not NaN.
    """
    buffers = list(module.named_buffers())
    statistics = [(name, x) for name, x in buffers if name.endswith(_STATISTICS)]
    name = first_not_finite(module.named_parameters()) or first_not_finite(statistics)
    return name or next((name for name, x in buffers if torch.isnan(x).any()), None)
