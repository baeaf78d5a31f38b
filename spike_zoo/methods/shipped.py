"""The names that ``spike_zoo.load`` knows: methods without weights and weights that ship."""

from __future__ import annotations

from pathlib import Path

WEIGHTS_FOLDER = Path(__file__).resolve().parent.parent / "weights"

#: Methods that need no weights: name -> class path.
WEIGHTLESS = {
    "tfp": "spike_zoo.methods.classical.TFPModule",
    "tfi": "spike_zoo.methods.classical.TFIModule",
    "tfstp": "spike_zoo.methods.classical.TFSTPModule",
}


def shipped_weights() -> dict[str, Path]:
    """Return the weights inside the package: name -> file."""
    return {path.stem: path for path in sorted(WEIGHTS_FOLDER.glob("*.safetensors"))}


def shipped_names() -> list[str]:
    """Return every name that needs no path."""
    return [*WEIGHTLESS, *shipped_weights()]
