"""``export``: a checkpoint as weights that load anywhere with ``spike_zoo.load``."""

from __future__ import annotations

from pathlib import Path

import yaml

from spike_zoo.cli.telling import tell
from spike_zoo.errors import ExistingFileError
from spike_zoo.methods.loading import load, save_weights
from spike_zoo.nn.files import EXPORT_NAME


def export(
    source: str, out: str, *, half: bool = False, trust: bool = False, overwrite: bool = False
) -> None:
    """Write a checkpoint's weights with everything that rebuilds the module, and nothing else.

    The file is safetensors: no code can hide in it. Optimiser states stay behind. Where the
    checkpoint lies in a run's folder, the run's configuration is kept in the file.

    Args:
        source: A checkpoint (.ckpt), weights (.safetensors) or a shipped name.
        out: A .safetensors file, or a folder that gets one.
        half: Store weights as float16, half the size; they are used as float32.
        trust: Import the class that the checkpoint names though it is not of this package.
        overwrite: Replace an existing file.
    """
    target = Path(out) if Path(out).suffix == ".safetensors" else Path(out) / EXPORT_NAME
    if target.exists() and not overwrite:
        raise ExistingFileError(f"{target} exists already; pass --overwrite to replace it")
    module = load(source, trust=trust)
    target.parent.mkdir(parents=True, exist_ok=True)
    save_weights(module, target, half=half, config=_recipe(Path(source)))
    tell(f"weights: {target} ({target.stat().st_size / 1e6:.2f} MB)")


def _recipe(source: Path) -> str:
    """Return the configuration of the run that a checkpoint lies in, less where it lay.

    Only ``<run>/checkpoints/<name>.ckpt`` lies in a run; any other file, and a shipped name, may
    stand beside somebody else's ``config.yaml``.
    """
    folder = source.absolute().parent
    file = folder.parent / "config.yaml"
    if source.suffix != ".ckpt" or folder.name != "checkpoints" or not file.is_file():
        return ""
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    for key in ("run_dir", "ckpt_path", "config"):
        content.pop(key, None)
    content.get("trainer", {}).pop("default_root_dir", None)
    return yaml.safe_dump(content, sort_keys=False)
