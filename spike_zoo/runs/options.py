"""Options of a run beside those of its model, data and trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spike_zoo.runs.libraries import whole_numbers_first

if TYPE_CHECKING:
    from lightning.pytorch.cli import LightningArgumentParser


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
