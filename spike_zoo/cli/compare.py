"""``compare``: a run beside methods that need no training, on the very images it was tested on."""

from __future__ import annotations

from pathlib import Path

from spike_zoo.cli.console import echo, is_quiet, silenced
from spike_zoo.cli.table import table
from spike_zoo.errors import MissingFileError, UsageError
from spike_zoo.records.result import FILENAME, RunResult, variant_and_profile
from spike_zoo.runs.configs import find_config, shipped_configs

_CLASSICAL = "classical/"
_DEFAULT = ("tfp", "tfi", "tfi9", "tfi_aligned")
#: What decides which images are tested, of the data; with limit_test_batches the batch does too.
_SHARED = ("archive", "test_split", "clip_length", "stride", "rate_scale", "eval_batch_size")
#: What of a profile is about the machine that trained, which need not be this one.
_HERE = ("--trainer.accelerator=auto", "--trainer.devices=1", "--trainer.precision=32-true")


def compare(
    run: str, *, methods: list[str] | None = None, out: str | None = None, json: bool = False
) -> None:
    """Test methods that need no training on the images that a run was tested on; print the table.

    Args:
        run: The folder of a fitted run that reconstructs.
        methods: Names of configurations of configs/classical, or files of one's own; by default
            tfp, tfi, tfi9 and tfi_aligned.
        out: A folder for the other methods' runs and the table; by default the folder beside in
            the run's.
        json: Print the table as JSON instead, and nothing else.
    """
    folder = Path(run)
    configs = [_config_of(method) for method in methods or _DEFAULT]
    options = _options_of(folder)
    target = Path(out) if out else folder / "beside"
    from spike_zoo.runs.trainer import run_trainer  # loads torch: after cheap checks

    for config in configs:
        with silenced(wanted=json or is_quiet()):
            run_trainer(
                "test", ["--config", str(config), *options, "--run_dir", str(target / config.stem)]
            )
    table(str(folder), results=[str(target)] if out else None, out=str(target), json=json)
    if not json:
        echo(f"pictures side by side: python -m spike_zoo report {folder} --out {target}/page.html")


def _options_of(folder: Path) -> list[str]:
    """Return what makes a test see the images that a run was tested on, under its profile."""
    import yaml

    config, result = folder / "config.yaml", folder / FILENAME
    if not config.is_file() or not result.is_file():
        raise MissingFileError(
            f"{folder}: no {config.name if result.is_file() else FILENAME}; name the folder of a "
            "run that was fitted to its end",
            path=str(folder),
        )
    content = yaml.safe_load(config.read_text(encoding="utf-8")) or {}
    served = content.get("data") or {}
    settings = served.get("init_args", {})
    if "clip_length" not in settings:
        raise UsageError(
            f"{folder}: its data are {served.get('class_path')}, not clips to reconstruct, so "
            "nothing that needs no training can stand beside it"
        )
    given = {f"data.init_args.{name}": settings.get(name) for name in _SHARED}
    given["trainer.limit_test_batches"] = (content.get("trainer") or {}).get("limit_test_batches")
    options = [f"--{name}={value}" for name, value in given.items() if value is not None]
    return [*_profile_of(RunResult.read(result)), *options]


def _profile_of(record: RunResult) -> list[str]:
    """Return the options of the profile that a run was stacked with, where it is still found."""
    stacked = [config for config in record.configs if variant_and_profile([config])[1]]
    files = [find_config(config) for config in stacked[-1:]]
    return [part for file in files if Path(file).is_file() for part in ("--config", file, *_HERE)]


def _config_of(method: str) -> Path:
    """Return the configuration that a name means."""
    for path in (Path(method), Path(find_config(f"{_CLASSICAL}{method}"))):
        if path.is_file():
            return path
    names = (name for name in shipped_configs() if name.startswith(_CLASSICAL))
    known = ", ".join(name.removeprefix(_CLASSICAL) for name in names)
    raise MissingFileError(
        f"--methods {method}: no such configuration; by name there are {known}", path=method
    )
