"""Every measurement as one table: ``python -m benchmarks.report [NAME ...] [--out FILE]``."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console

if TYPE_CHECKING:
    from benchmarks.row import Row

#: Modules of this folder with a function ``rows() -> list[Row]``, in the order of the table.
BENCHMARKS = (
    *("startup", "formats", "archive", "loading", "classical", "simulation"),
    *("coding", "lossless", "stir", "plain", "ssdm", "sci", "sci_codec"),
)
#: Measured only if it is named, because it needs a GPU.
NAMED = ("gpu",)


def render(rows: list[Row]) -> str:
    """Return the measurements as a Markdown table, with limits of the hardware if known."""
    has_limits = any(row.limit is not None for row in rows)
    lines = [
        "| measured | value | reference | value / reference | goal | met |",
        "|---|---:|---:|---:|---:|---|",
    ]
    if has_limits:
        lines = [f"{lines[0]} value / limit of the card |", f"{lines[1]}---:|"]
    for row in rows:
        reference = quotient = goal = ""
        if row.reference is not None:
            reference = f"{row.reference:.4g} {row.unit} ({row.reference_name})"
            quotient = f"{row.figure:.3g}"
        if row.goal is not None:
            goal = f"{'≥' if row.at_least else '≤'} {row.goal:g}"
        met = {None: "", True: "yes", False: "**no**"}[row.is_met]
        value = f"{row.value:.4g} {row.unit}"
        line = f"| {row.name} | {value} | {reference} | {quotient} | {goal} | {met} |"
        ratio = "" if row.limit is None else f"{row.value / row.limit:.1f}"
        lines.append(f"{line} {ratio} |" if has_limits else line)
    return "\n".join(lines)


def main() -> None:
    """Run the named benchmarks, or all, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names", nargs="*", choices=[[], *BENCHMARKS, *NAMED], help="all but gpu if none"
    )
    parser.add_argument("--out", type=Path, help="also write the table to this Markdown file")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    rows: list[Row] = []
    for name in arguments.names or BENCHMARKS:
        with console.status(f"measuring {name}"):
            rows += importlib.import_module(f"benchmarks.{name}").rows()
    gpu = f"{torch.cuda.get_device_name()}, " if torch.cuda.is_available() else ""
    machine = (
        f"{gpu}{platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}; medians of 5 runs or more, "
        "alternating with their references."
    )
    text = f"{render(rows)}\n\n{machine}\n"
    print(text)
    if arguments.out is not None:
        command = " ".join(["python -m benchmarks.report", *arguments.names])
        head = f"# Benchmarks\n\nMade by `{command}` (`make bench`).\n\n"
        arguments.out.write_text(head + text, encoding="utf-8")


if __name__ == "__main__":
    main()
