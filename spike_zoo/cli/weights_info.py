"""Facts of weights for the command ``info``, without loading them."""

import math
from pathlib import Path
from typing import Any

import yaml

from spike_zoo.errors import WeightsError
from spike_zoo.utils.files import WEIGHTS_FOLDER, shipped_weights


def weights_facts(name: str, path: Path) -> dict[str, Any]:
    """Return class, size, digest and training of weights, and the card of shipped ones.

    Raises WeightsError if the file is damaged or was not written by this package.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            shapes = [file.get_slice(key).get_shape() for key in file.keys()]  # noqa: SIM118  (no iterator)
    except (SafetensorError, OSError) as error:
        raise WeightsError.at(path, f"damaged: {error}") from error
    if "class_path" not in metadata:
        raise WeightsError.at(path, "it does not state its class, so this package did not write it")
    facts = {"path": str(path), "format": "safetensors", "bytes": path.stat().st_size}
    facts |= {key: metadata.get(key) for key in ("class_path", "sha256", "config")}
    facts["values"] = sum(map(math.prod, shapes))
    return facts | ({"licence": "MIT"} | weight_cards()[name] if name in shipped_weights() else {})


def weights_lines(facts: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """Return the kind of a file of weights, and its facts as labels and text."""
    lines = {
        "class": str(facts["class_path"]).rpartition(".")[2],
        "values": f"{facts['values']:,}",
        "sha256": str(facts["sha256"]),
    }
    fields = ("licence", "task", "training", "data", "scores", "failures")
    return "weights", lines | {key: facts[key] for key in fields if key in facts}


def weight_cards() -> dict[str, dict[str, str]]:
    """Return what is known of the shipped weights, by name."""
    cards: dict[str, dict[str, str]] = yaml.safe_load(
        (WEIGHTS_FOLDER / "cards.yaml").read_text(encoding="utf-8")
    )
    return cards
