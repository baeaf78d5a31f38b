"""Configuration files in the working folder and in the package, and the options of a run."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spike_zoo.errors import ConfigError, MissingFileError, UsageError, closest
from spike_zoo.training.libraries import whole_numbers_first
from spike_zoo.utils.yaml_files import read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lightning.pytorch.cli import LightningArgumentParser
    from torch import nn

FOLDER = "configs"  # in an installed package, at the root of a checkout and in the working folder
_PACKAGE = Path(__file__).parent.parent
SHIPPED = next(
    (folder for folder in (_PACKAGE / FOLDER, _PACKAGE.parent / FOLDER) if folder.is_dir()),
    _PACKAGE / FOLDER,
)
PROFILES = Path(FOLDER) / "profiles"
_OPTIONS = ("-c", "--config")
_SENTENCE = re.compile(r"(?<=[.?!])\s|\s\s")
#: Option of a run, in addition to model, data and trainer -> its help text.
_RUN_OPTIONS = {
    "run_dir": "Folder of the run. {variant}, {profile}, {seed} and {hash} (of the settings that "
    "change the result) are replaced. Default: runs/<configuration>-<UTC time>.",
    "init_from": "Weights that a new fit starts from, with a new optimiser and schedule, or that "
    "are evaluated: a shipped name, a checkpoint or an export.",
    "init_strict": "Whether all initial weights must fit the model; false skips those that do not.",
    "test_after_fit": "Whether a fit ends by testing its best checkpoint on one device.",
    "compile": "Whether to compile the networks with torch.compile, or the name of its backend.",
}
_COMPILER = "inductor"  # the default of torch.compile
_TORCH_MODULES = "torch.nn."  # layers and containers, which torch.compile skips if compiled alone


def shipped_configs() -> dict[str, Path]:
    """Return the configurations of the package: name, such as ``"paper/stir"`` -> file."""
    return {
        path.relative_to(SHIPPED).with_suffix("").as_posix(): path
        for path in sorted(SHIPPED.rglob("*.yaml"))
    }


def known_profiles() -> list[str]:
    """Return the names of the profiles in the working folder and in the package."""
    stems = [path.stem for path in PROFILES.glob("*.yaml")]
    stems += [path.stem for path in shipped_configs().values() if path.parent.name == PROFILES.name]
    return sorted(set(stems))


def find_config(named: str) -> str:
    """Return the file of a configuration.

    ``stir``, ``stir.yaml`` and ``configs/stir.yaml`` name an existing file of that name, else
    ``configs/stir.yaml`` in the working folder, else the configuration of the package. Any other
    name is returned unchanged.
    """
    shipped = shipped_configs().get(named.removeprefix(f"{FOLDER}/").removesuffix(".yaml"))
    if shipped is None or Path(named).is_file():
        return named
    local = Path(recorded_name(str(shipped)))
    return str(local if local.is_file() else shipped)


def recorded_name(file: str) -> str:
    """Return the name of a configuration in records: ``configs/...`` for files of the package."""
    path = Path(file)
    if not path.is_relative_to(SHIPPED):
        return file
    return (FOLDER / path.relative_to(SHIPPED)).as_posix()


def with_files(arguments: Sequence[str]) -> list[str]:
    """Return arguments with the file of every ``--config``, and ``--run-dir`` as ``--run_dir``."""
    parsed = [_with_underscores(argument) for argument in arguments]
    for position, option, name in _named_configs(arguments):
        parsed[position] = f"{option}{find_config(name)}"
    return parsed


def config_files(arguments: Sequence[str]) -> list[str]:
    """Return the files of every ``--config`` on a command line, in order."""
    return [find_config(name) for _, _, name in _named_configs(arguments)]


def _named_configs(arguments: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """Yield position, prefix (``--config=`` or nothing) and name of each configuration."""
    for position, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        if option in _OPTIONS and equals:
            yield position, f"{option}=", value
        elif option in _OPTIONS and position + 1 < len(arguments):
            yield position + 1, "", arguments[position + 1]


def check_configs(arguments: Sequence[str]) -> None:
    """Raise an error unless the file of every ``--config`` is a mapping; needs no PyTorch."""
    for file in config_files(arguments):
        if not Path(file).is_file():
            near = closest(file.removesuffix(".yaml"), shipped_configs())
            raise MissingFileError.at(
                file,
                f"there is no such configuration file.{near} 'spike-zoo configs' lists the "
                "configurations of the package",
            )
        if not isinstance(content := read_yaml(Path(file)), dict):
            raise ConfigError.at(
                file,
                "must be a mapping, such as 'trainer: {max_epochs: 3}', found "
                f"{type(content).__name__}",
            )


def check_trainer_options(arguments: Sequence[str]) -> None:
    """Raise an error for the first unknown option of the trainer, before torch is imported.

    The names are read from Lightning's source, whose import takes seconds.
    """
    known = [f"trainer.{name}" for name in _trainer_arguments()]
    for argument in arguments:
        given = re.split(r"[=+]", argument, maxsplit=1)[0]
        name = ".".join(given.split(".")[:2]).removeprefix("--")
        if given.startswith("--trainer.") and name not in (*known, "trainer.help"):
            options = (f"--{option}" for option in known)
            near = closest(f"--{name}", options)
            raise UsageError(f"unknown option {argument}.{near} --help lists the options")
    for file in config_files(arguments):
        trainer = read_yaml(Path(file)).get("trainer")
        for key in trainer if isinstance(trainer, dict) else ():
            if f"trainer.{key}" not in known:
                near = closest(f"trainer.{key}", known)
                raise UsageError(f"{file}: trainer.{key}: unknown key.{near}")


def _trainer_arguments() -> list[str]:
    """Return the arguments of Lightning's trainer."""
    package = importlib.util.find_spec("lightning")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("lightning is not installed", name="lightning")
    source = Path(Path(package.origin).parent, "pytorch", "trainer", "trainer.py").read_text(
        encoding="utf-8"
    )
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    (trainer,) = (node for node in classes if node.name == "Trainer")
    methods = (node for node in trainer.body if isinstance(node, ast.FunctionDef))
    made = next(node for node in methods if node.name == "__init__")
    return [argument.arg for argument in (*made.args.args[1:], *made.args.kwonlyargs)]


def summary_of(file: Path) -> str:
    """Return the first sentence of the comment at the start of a configuration."""
    lines = file.read_text(encoding="utf-8").splitlines()
    end = next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return _SENTENCE.split(" ".join(line.lstrip("# ") for line in lines[:end]))[0]


def _with_underscores(argument: str) -> str:
    name, equals, value = argument.partition("=")
    if not name.startswith("--") or "." in name:
        return argument
    return f"--{name[2:].replace('-', '_')}{equals}{value}"


def add_run_options(parser: LightningArgumentParser) -> None:
    """Add the options for folder, initial weights, test and compilation."""
    whole_numbers_first(parser)
    for name, text in _RUN_OPTIONS.items():
        kind: Any = str | None
        default: Any = None
        if name in ("init_strict", "test_after_fit"):
            kind, default = bool, True
        elif name == "compile":
            kind, default = bool | str, False
        parser.add_argument(f"--{name}", type=kind, default=default, help=text)


def compile_networks(module: nn.Module, chosen: bool | str) -> None:
    """Compile a module, its networks and their parts with torch.compile at their first call.

    Each is compiled separately, because a module may call its network or single parts of the
    network. A part causes no graph break inside a compiled network. Names of weights do not change.
    """
    if chosen is False:
        return
    import torch

    backend = _COMPILER if chosen is True else chosen
    backends = torch.compiler.list_backends(exclude_tags=())
    if backend not in backends:
        raise ConfigError(
            f"compile: torch has no backend {backend!r}.{closest(backend, backends)} It has "
            f"{', '.join(backends)}; true is {_COMPILER}"
        )
    networks = list(_called(module))
    parts = [part for network in networks for part in _called(network)]
    for part in (module, *networks, *parts):
        part.compile(backend=backend)


def _called(module: nn.Module) -> Iterator[nn.Module]:
    """Yield child modules that are no layers of torch and no metrics; search inside containers."""
    from torchmetrics import Metric, MetricCollection

    for child in module.children():
        if type(child).__module__.startswith(_TORCH_MODULES):
            yield from _called(child)
        elif not isinstance(child, Metric | MetricCollection):
            yield child
