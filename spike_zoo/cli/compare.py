"""``compare``: a run beside methods that need no training, on the very images it was tested on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spike_zoo.cli.table import table
from spike_zoo.cli.telling import is_quiet, silenced, tell
from spike_zoo.errors import MissingFileError, UsageError
from spike_zoo.runs.configs import find_config, shipped_configs
from spike_zoo.runs.trainer import run_trainer
from spike_zoo.tracking.result import FILENAME

_CLASSICAL = "classical/"
_SHARED = ("archive", "test_split", "clip_length", "stride", "rate_scale")  # what decides images


def compare(
    run: str, *, methods: list[str] | None = None, out: str | None = None, json: bool = False
) -> None:
    """Test methods that need no training on the images that a run was tested on; print the table.

    Args:
        run: The folder of a fitted run that reconstructs.
        methods: Names of configurations of configs/classical, or files of one's own; by default
            tfp, tfi and tfi9.
        out: A folder for the other methods' runs and the table; by default the folder beside in
            the run's.
        json: Print the table as JSON instead, and nothing else.
    """
    folder = Path(run)
    data = _data_of(folder)
    target = Path(out) if out else folder / "beside"
    for method in methods or ["tfp", "tfi", "tfi9"]:
        config = _config_of(method)
        options = [f"--data.init_args.{name}={value}" for name, value in data.items()]
        with silenced(wanted=json or is_quiet()):
            run_trainer(
                "test", ["--config", str(config), *options, "--run_dir", str(target / config.stem)]
            )
    table(str(folder), results=[str(target)] if out else None, out=str(target), json=json)
    if not json:
        tell(f"pictures side by side: python -m spike_zoo page {folder} --out {target}/page.html")


def _data_of(folder: Path) -> dict[str, Any]:
    """Return the settings of a run that decide which images are tested."""
    import yaml

    config, result = folder / "config.yaml", folder / FILENAME
    if not config.is_file() or not result.is_file():
        raise MissingFileError(
            f"{folder}: no {config.name if result.is_file() else FILENAME}; name the folder of a "
            "run that was fitted to its end",
            path=str(folder),
        )
    served = (yaml.safe_load(config.read_text(encoding="utf-8")) or {}).get("data") or {}
    settings = served.get("init_args", {})
    if "clip_length" not in settings:
        raise UsageError(
            f"{folder}: its data are {served.get('class_path')}, not clips to reconstruct, so "
            "nothing that needs no training can stand beside it"
        )
    return {name: settings[name] for name in _SHARED if settings.get(name) is not None}


def _config_of(method: str) -> Path:
    """Return the configuration that a name stands for."""
    for path in (Path(method), Path(find_config(f"{_CLASSICAL}{method}"))):
        if path.is_file():
            return path
    names = (name for name in shipped_configs() if name.startswith(_CLASSICAL))
    known = ", ".join(name.removeprefix(_CLASSICAL) for name in names)
    raise MissingFileError(
        f"--methods {method}: no such configuration; by name there are {known}", path=method
    )
