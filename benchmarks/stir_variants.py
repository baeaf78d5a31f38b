"""Parameters and multiply-accumulates of each row of STIR's ablation.

Run from the root of the checkout: ``python -m benchmarks.stir_variants``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

from spike_zoo.methods.stir import AlignedSTIRModule
from spike_zoo.training.provenance import leaves

VARIANTS = Path(__file__).resolve().parent.parent / "experiments" / "stir" / "variants"
SIDE = 256  # of the image for which multiply-accumulates are counted


class Cost(NamedTuple):
    """One row: a configuration, its changes, and its cost."""

    name: str
    changes: dict[str, Any]
    parameters: int
    macs: int

    def row(self) -> str:
        """Return the row in Markdown."""
        changes = ", ".join(f"`{key}: {value}`" for key, value in self.changes.items())
        return f"| `{self.name}` | {changes} | {self.parameters:,} | {self.macs / 1e9:.2f} |"


def switches(path: Path) -> dict[str, Any]:
    """Return dotted key -> value of the model's arguments in a variant's file."""
    return dict(leaves(_arguments(path)))


def _arguments(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    arguments: dict[str, Any] = content["model"]["init_args"]
    return arguments


def cost(path: Path) -> Cost:
    """Count a variant's parameters and multiply-accumulates without computing anything."""
    stated, published = switches(path), switches(path.with_name("full.yaml"))
    with torch.device("meta"):
        network = AlignedSTIRModule(**_arguments(path)).network.eval()
        spikes = torch.empty(1, 61, SIDE, SIDE)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(spikes)
    return Cost(
        path.stem,
        {key: value for key, value in stated.items() if value != published.get(key)},
        sum(parameter.numel() for parameter in network.parameters()),
        counter.get_total_flops() // 2,
    )


def main() -> None:
    """Print the table, the published network first."""
    print(f"| variant | changes | parameters | GMAC at {SIDE} x {SIDE} |")
    print("|---|---|---:|---:|")
    for path in sorted(VARIANTS.glob("*.yaml"), key=lambda path: (path.stem != "full", path.stem)):
        print(cost(path).row())


if __name__ == "__main__":
    main()
