"""The checkpoints that a run begins with: which weights, and how they were made."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spike_zoo.errors import SpikeZooError, WeightsError
from spike_zoo.files import weights_file
from spike_zoo.records.provenance import effective_config, leaves, plain_numbers
from spike_zoo.records.result import FILENAME, RunResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MODEL = "model.init_args."
CKPT_PATH = "ckpt_path"
INIT_FROM = "init_from"
SUFFIXES = (".ckpt", ".safetensors", ".pth", ".pt")


def named_checkpoints(config: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """Yield dotted key and file of every checkpoint that a complete configuration names.

    Args:
        config: With ``model``, and ``ckpt_path`` or ``init_from`` where a run starts from one.
    """
    arguments = (config.get("model") or {}).get("init_args") or {}
    named = {f"{MODEL}{name}": value for name, value in arguments.items()}
    named |= {key: config.get(key) for key in (CKPT_PATH, INIT_FROM)}
    for key, value in named.items():
        if isinstance(value, str) and (file := existing_weights(value)) is not None:
            yield key, file


def existing_weights(text: str) -> Path | None:
    """Return the file of weights that a text names, None where it names none that is there."""
    file = weights_file(text)
    return file if file.suffix in SUFFIXES and file.is_file() else None


def checkpoint_identity(path: Path) -> dict[str, Any]:
    """Return what identifies a checkpoint: ``path``, ``sha256`` of its weights, ``recipe``.

    The recipe is that of the run in whose folder it lies, None where there is no such record.
    """
    record = path.parent.parent / FILENAME
    try:
        recipe = recipe_digest(RunResult.read(record)) if record.is_file() else None
    except SpikeZooError:  # damaged: it is only known which weights these are
        recipe = None
    return {"path": str(path), "sha256": weights_sha256(path), "recipe": recipe}


def as_seen_from_here(path: str) -> str:
    """Return a path relative to the working folder where it lies below: records travel."""
    absolute = Path(path).resolve()
    return str(absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else path)


def weights_sha256(path: Path) -> str:
    """Return a digest of names and values of the weights in a file, wherever it was written.

    A file that holds anything else counts by its bytes.
    """
    from spike_zoo.checkpoints.state_dicts import read_state_dict
    from spike_zoo.checkpoints.weight_files import state_digest

    try:
        return state_digest(read_state_dict(path))
    except WeightsError:  # loading them reports what is wrong, if anything is
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def recipe_digest(record: RunResult) -> str:
    """Return a digest of :func:`recipe`."""
    text = json.dumps(recipe(record), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def recipe(record: RunResult) -> dict[str, Any]:
    """Return the settings that decide a run's numbers, without its seed: dotted key -> value.

    Runs with equal recipes repeat each other and may be averaged. Initial weights are compared by
    the recipe of the run that made them, or by their digest where that is unknown; null values are
    left out.
    """
    config = {**effective_config(record.config), CKPT_PATH: None, "seed_everything": None}
    made = dict(leaves(plain_numbers(json.loads(json.dumps(config, default=str)))))
    for key, origin in record.begins_with.items():
        made[key] = origin.get("recipe") or origin.get("sha256")
    return {key: value for key, value in made.items() if value is not None}
