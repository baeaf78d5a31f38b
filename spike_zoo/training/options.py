"""Options of a run in addition to model, data and trainer, and compilation of networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torchmetrics import Metric, MetricCollection

from spike_zoo.errors import ConfigError, closest
from spike_zoo.training.libraries import whole_numbers_first

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightning.pytorch.cli import LightningArgumentParser
    from torch import nn

_DEFAULT = "inductor"  # the default of torch.compile
_TORCH_MODULES = "torch.nn."  # layers and containers, which torch.compile skips if compiled alone


def add_run_options(parser: LightningArgumentParser) -> None:
    """Add the options for folder, initial weights, test and compilation."""
    whole_numbers_first(parser)
    parser.add_argument(
        "--run_dir",
        type=str | None,
        default=None,
        help="Folder of the run. {variant}, {profile}, {seed} and {hash} (of the settings that "
        "change the result) are replaced. Default: runs/<configuration>-<UTC time>.",
    )
    parser.add_argument(
        "--init_from",
        type=str | None,
        default=None,
        help="Weights that a new fit starts from, with a new optimiser and schedule: a shipped "
        "name, a checkpoint or an export.",
    )
    parser.add_argument(
        "--init_strict",
        type=bool,
        default=True,
        help="Whether all initial weights must fit the model; false skips those that do not.",
    )
    parser.add_argument(
        "--test_after_fit",
        type=bool,
        default=True,
        help="Whether a fit ends by testing its best checkpoint on one device.",
    )
    parser.add_argument(
        "--compile",
        type=bool | str,
        default=False,
        help="Whether to compile the networks with torch.compile, or the name of its backend.",
    )


def compile_networks(module: nn.Module, chosen: bool | str) -> None:
    """Compile a module, its networks and their parts with torch.compile at their first call.

    Each is compiled separately, because a module may call its network or single parts of the
    network. A part causes no graph break inside a compiled network. Names of weights do not change.

    Args:
        module: Changed in place.
        chosen: Whether to compile, or a backend of torch.compile; True is inductor.

    Raises:
        ConfigError: If there is no such backend.
    """
    if chosen is False:
        return
    backend = _DEFAULT if chosen is True else chosen
    backends = torch.compiler.list_backends(exclude_tags=())
    if backend not in backends:
        raise ConfigError(
            f"compile: torch has no backend {backend!r}.{closest(backend, backends)} It has "
            f"{', '.join(backends)}; true is {_DEFAULT}"
        )
    networks = list(_called(module))
    parts = [part for network in networks for part in _called(network)]
    for part in (module, *networks, *parts):
        part.compile(backend=backend)


def _called(module: nn.Module) -> Iterator[nn.Module]:
    """Yield child modules that are no layers of torch and no metrics; search inside containers."""
    for child in module.children():
        if type(child).__module__.startswith(_TORCH_MODULES):
            yield from _called(child)
        elif not isinstance(child, Metric | MetricCollection):
            yield child
