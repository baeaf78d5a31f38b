"""Command ``compare``: a run and methods without training, tested on the same images."""

import shlex
from pathlib import Path

from spike_zoo.cli.console import echo, silenced_if_quiet
from spike_zoo.cli.table import table
from spike_zoo.errors import MissingFileError, UsageError
from spike_zoo.training.configs import find_config, shipped_configs
from spike_zoo.training.result import FILENAME, RunResult, variant_and_profile
from spike_zoo.utils.yaml_files import read_yaml

_CLASSICAL = "classical/"
_DEFAULT = ("tfp", "tfi", "tfi9", "tfi_aligned")
#: Settings of the data that select the tested images. With limit_test_batches the batch size does.
_SHARED = ("archive", "test_split", "clip_length", "stride", "rate_scale", "eval_batch_size")
#: Options that replace those of a profile for the machine of the training.
_HERE = ("--trainer.accelerator=auto", "--trainer.devices=1", "--trainer.precision=32-true")


def compare(run: str, *, methods: list[str] | None = None) -> None:
    """Test methods without training on the images that a run was tested on; print a table.

    The runs of these methods and the table are written to the folder RUN/compared.

    Args:
        run: The folder of a fitted run that reconstructs.
        methods: Names of configurations in configs/classical, or configuration files. Default: tfp,
            tfi, tfi9 and tfi_aligned.
    """
    folder = Path(run)
    configs = [_config_of(method) for method in methods or _DEFAULT]
    options = _options_of(folder)
    target = folder / "compared"
    from spike_zoo.training.trainer import run_trainer  # loads torch: after cheap checks

    for config in configs:
        (target / config.stem / "test" / FILENAME).unlink(missing_ok=True)  # may be of other images
        with silenced_if_quiet():
            run_trainer(
                "test", ["--config", str(config), *options, "--run_dir", str(target / config.stem)]
            )
    table(str(folder), out=str(target))
    page = shlex.join([str(folder), "--out", str(target / "page.html")])
    echo(f"images side by side: python -m spike_zoo report {page}")


def _options_of(folder: Path) -> list[str]:
    """Return the options to test on the same images and with the same profile as a run."""
    config, result = folder / "config.yaml", folder / FILENAME
    if not config.is_file() or not result.is_file():
        raise MissingFileError.at(
            folder,
            f"no {config.name if result.is_file() else FILENAME}; name the folder of a "
            "finished fit",
        )
    content = read_yaml(config) or {}
    data = content.get("data") or {}
    settings = data.get("init_args", {})
    if "clip_length" not in settings:
        raise UsageError(
            f"{folder}: its data are {data.get('class_path')}, not clips to reconstruct, so "
            "methods without training cannot be tested on them"
        )
    shared = {f"data.init_args.{name}": settings.get(name) for name in _SHARED}
    shared["trainer.limit_test_batches"] = (content.get("trainer") or {}).get("limit_test_batches")
    options = [f"--{name}={value}" for name, value in shared.items() if value is not None]
    return [*_profile_of(RunResult.read(result)), *options]


def _profile_of(record: RunResult) -> list[str]:
    """Return the options of the profile of a run, if its file exists."""
    stacked = [config for config in record.configs if variant_and_profile([config])[1]]
    files = [find_config(config) for config in stacked[-1:]]
    return [part for file in files if Path(file).is_file() for part in ("--config", file, *_HERE)]


def _config_of(method: str) -> Path:
    for path in (Path(method), Path(find_config(f"{_CLASSICAL}{method}"))):
        if path.is_file():
            return path
    names = (name for name in shipped_configs() if name.startswith(_CLASSICAL))
    known = ", ".join(name.removeprefix(_CLASSICAL) for name in names)
    raise MissingFileError(
        f"--methods {method}: no such configuration; known names are {known}", path=method
    )
