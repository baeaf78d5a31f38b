"""Options of a run beside those of its model, data and trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torchmetrics import Metric, MetricCollection

from spike_zoo.errors import ConfigError, closest
from spike_zoo.runs.libraries import whole_numbers_first

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightning.pytorch.cli import LightningArgumentParser
    from torch import nn

_DEFAULT = "inductor"  # torch's own
_TORCHS = "torch.nn."  # layers and containers, of which alone torch.compile makes nothing


def add_run_options(parser: LightningArgumentParser) -> None:
    """Add folder, initial weights, test and compilation."""
    whole_numbers_first(parser)
    parser.add_argument(
        "--run_dir",
        type=str | None,
        default=None,
        help="Folder of the run; {variant}, {profile}, {seed} and {hash} (of what it computes) "
        "are filled in; by default runs/<configuration>-<UTC time>.",
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
        help="Whether all of these weights must fit; otherwise what does not is left out.",
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
        help="Whether torch.compile translates the networks, or which of its backends does.",
    )


def compile_networks(module: nn.Module, chosen: bool | str) -> None:
    """Let torch.compile translate a module, its networks and their parts at their first call.

    A module may call its network as a whole or method by method, so each is translated for itself;
    inside another one a part is no border. Names of weights stay what they are.

    Args:
        module: Changed in place.
        chosen: Whether, or by which backend of torch.compile; true is inductor.

    Raises:
        ConfigError: If there is no such backend.
    """
    if chosen is False:
        return
    backend = _DEFAULT if chosen is True else chosen
    known = torch.compiler.list_backends(exclude_tags=())
    if backend not in known:
        raise ConfigError(
            f"compile: torch has no backend {backend!r}.{closest(backend, known)} It has "
            f"{', '.join(known)}; true is {_DEFAULT}"
        )
    networks = list(_called(module))
    parts = [part for network in networks for part in _called(network)]
    for one in (module, *networks, *parts):
        one.compile(backend=backend)


def _called(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules inside one that have a forward of their own, less metrics."""
    for child in module.children():
        if type(child).__module__.startswith(_TORCHS):
            yield from _called(child)
        elif not isinstance(child, Metric | MetricCollection):
            yield child
