"""Where a result comes from: code, versions, configuration."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import spike_zoo

PACKAGES = ("torch", "lightning", "torchmetrics", "kornia", "numpy", "h5py")
#: Keys of a configuration that say where or how a run is watched, not what it computes.
INCIDENTAL = ("run_dir", "config", "ckpt_path", "verbose", "test_after_fit", "weights_only")
INCIDENTAL_TRAINER = (
    "logger",
    "default_root_dir",
    "enable_checkpointing",
    "enable_progress_bar",
    "enable_model_summary",
    "log_every_n_steps",
)


def versions() -> dict[str, str]:
    """Return the versions of this package, Python and the libraries that decide numbers."""
    found = {"spike_zoo": spike_zoo.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "missing"
    return found


def commit() -> str | None:
    """Return the commit of this package's checkout, ``-dirty`` where files differ; else None."""
    root = Path(spike_zoo.__file__).resolve().parent.parent
    described = _git(root, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    return described or None


def computed_part(config: dict[str, Any]) -> dict[str, Any]:
    """Return what of a configuration decides the numbers, without names and ways to watch."""
    kept = {key: value for key, value in config.items() if key not in INCIDENTAL}
    if isinstance(kept.get("trainer"), dict):
        kept["trainer"] = {
            key: value for key, value in kept["trainer"].items() if key not in INCIDENTAL_TRAINER
        }
    return kept


def config_hash(config: dict[str, Any]) -> str:
    """Return a digest of what a configuration computes, whatever its run is called."""
    text = json.dumps(computed_part(config), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _git(root: Path, *arguments: str) -> str:
    if not (root / ".git").exists():
        return ""
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
