"""Identity of initial weights: digests of checkpoints and of the recipes that made them."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spike_zoo.errors import SpikeZooError, WeightsError
from spike_zoo.training.provenance import (
    argument_defaults,
    digest_of,
    effective_config,
    leaves,
    plain_numbers,
)
from spike_zoo.training.result import RunResult
from spike_zoo.utils.files import weights_file

MODEL = "model.init_args."
CKPT_PATH = "ckpt_path"
INIT_FROM = "init_from"
VALIDATION = "trainer.check_val_every_n_epoch"  # without effect on a test
PACKAGE = "spike_zoo."  # a record must not make us import classes of other packages
SUFFIXES = (".ckpt", ".safetensors", ".pth", ".pt")


def named_checkpoints(config: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """Yield dotted key and file of every existing checkpoint that a configuration names."""
    arguments = (config.get("model") or {}).get("init_args") or {}
    paths = {f"{MODEL}{name}": value for name, value in leaves(arguments)}
    paths |= {key: config.get(key) for key in (CKPT_PATH, INIT_FROM)}
    for key, value in paths.items():
        if isinstance(value, str) and (file := existing_weights(value)) is not None:
            yield key, file


def existing_weights(text: str) -> Path | None:
    """Return the file of weights that a text names; None if the text names no existing file."""
    file = weights_file(text)
    return file if file.suffix in SUFFIXES and file.is_file() else None


def checkpoint_identity(path: Path) -> dict[str, Any]:
    """Return the identity of a checkpoint: ``path``, ``sha256`` of its weights, ``recipe``, seed.

    ``recipe`` is the digest of the record in the folder of the checkpoint's run. Without a record
    it is None, and there is no ``seed``.
    """
    identity: dict[str, Any] = {"path": str(path), "sha256": weights_sha256(path), "recipe": None}
    with contextlib.suppress(SpikeZooError):  # without a valid record only the digest is known
        record = RunResult.read(path.parent.parent)
        identity |= {"recipe": recipe_digest(record), "seed": record.seed}
    return identity


def relative_to_cwd(path: str) -> str:
    """Return a path inside the working folder as a relative path.

    Relative paths keep records valid on other machines. Other paths are returned unchanged.
    """
    absolute = Path(path).resolve()
    return str(absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else path)


def weights_sha256(path: Path) -> str:
    """Return a digest of names and values of the weights in a file, independent of its format.

    For a file that cannot be read as weights it is the digest of the file's bytes.
    """
    from spike_zoo.checkpoints.state_dicts import read_state_dict
    from spike_zoo.checkpoints.weight_files import state_digest

    try:
        return state_digest(read_state_dict(path))
    except WeightsError:  # the error is reported when the weights are loaded
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def recipe_digest(record: RunResult) -> str:
    """Return a digest of :func:`recipe`."""
    return digest_of(recipe(record))


def recipe(record: RunResult) -> dict[str, Any]:
    """Return the :func:`settings` of a run that differ from the defaults.

    Results of runs with equal recipes may be averaged. Without defaults, a recipe is the same
    before and after an option is added.
    """
    defaults = dict(_defaults(record.config))
    return {k: value for k, value in settings(record).items() if value != defaults.get(k)}


def settings(record: RunResult) -> dict[str, Any]:
    """Return the settings that affect a run's numbers, without its seed: dotted key -> value.

    Initial weights are represented by the recipe of the run that trained them, or by their digest
    if the recipe is unknown. Null values are omitted.
    """
    config = {**effective_config(record.config), CKPT_PATH: None, "seed_everything": None}
    values = dict(leaves(plain_numbers(json.loads(json.dumps(config, default=str)))))
    for key, origin in record.begins_with.items():
        values[key] = origin.get("recipe") or origin.get("sha256")
    if not any(name.startswith("train/") for name in record.metrics):
        values.pop(VALIDATION, None)
    return {key: value for key, value in values.items() if value is not None}


def _defaults(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield dotted key and default of the arguments of all classes in a configuration."""
    yield from leaves(argument_defaults("lightning.pytorch.Trainer"), "trainer")
    for part, value in config.items():
        path = str(value.get("class_path", "")) if isinstance(value, dict) else ""
        if path.startswith(PACKAGE):
            yield from leaves(argument_defaults(path), f"{part}.init_args")
