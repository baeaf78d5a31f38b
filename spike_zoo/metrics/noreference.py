"""No-reference image quality by NIQE and BRISQUE of deepinv."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from spike_zoo.errors import MissingFileError, UsageError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor

MIN_SIDE: Final = 192
"""Least height and width of an image: NIQE compares at least four patches of 96 x 96."""


def no_reference_metrics(
    niqe: str | None = None, brisque: str | None = None
) -> dict[str, Callable[[Tensor], Tensor]]:
    """Return NIQE and BRISQUE with parameters from local files; lower is better.

    Args:
        niqe: File of NIQE's parameters, as ``deepinv.loss.metric.NIQE.create_weights`` writes it.
        brisque: File of BRISQUE's parameters for deepinv: a dictionary with ``support_vectors``,
            ``dual_coef``, ``rho`` and ``gamma``.

    Returns:
        ``"niqe"`` and ``"brisque"``, each if its file is given -> function that maps
        ``(B, 1, H, W)`` in 0 to 255 to ``(B,)``.

    Raises:
        UsageError: If neither file is given, or the extra ``iqa`` is not installed.
        MissingFileError: If a file does not exist.
        WeightsError: If a file does not contain such parameters.
    """
    given = (("niqe", niqe), ("brisque", brisque))
    # Absolute paths: deepinv would take the name "download" as a request to download.
    files = {name: Path(file).absolute() for name, file in given if file}
    if not files:
        raise UsageError(
            "give --niqe FILE or --brisque FILE, the parameters of the metrics: niqe_weights.pt "
            "or brisque_weights.pt of https://huggingface.co/deepinv/demo"
        )
    for file in files.values():
        if not file.is_file():
            raise MissingFileError.at(file, "there is no such file of parameters")
    try:
        from deepinv.loss import metric
    except ImportError as error:
        raise UsageError("NIQE and BRISQUE need: pip install 'spike-zoo[iqa]'") from error
    makers = {
        "niqe": lambda file: metric.NIQE(weights_path=file),
        "brisque": lambda file: metric.BRISQUE(weights_path=file, max_pixel=255.0),
    }
    return {name: _made(makers[name], name, file) for name, file in files.items()}


def _made(make: Callable[[Path], Any], name: str, file: Path) -> Callable[[Tensor], Tensor]:
    try:
        metric = make(file)
    except (
        *(pickle.UnpicklingError, KeyError, RuntimeError, TypeError, ValueError),
        *(AttributeError, EOFError, OSError),
    ) as error:
        raise WeightsError.at(
            file, f"not a file of parameters of {name.upper()} for deepinv ({type(error).__name__})"
        ) from error
    return lambda images: metric(x_net=images)
