"""Configuration files in the working folder and in the package, and the options of a run."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spike_zoo.errors import ConfigError, MissingFileError, UsageError, closest
from spike_zoo.training.libraries import whole_numbers_first
from spike_zoo.utils.yaml_files import read_yaml

if TYPE_CHECKING:
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
_TRAINER = "lightning.pytorch.trainer.trainer.Trainer"
#: Part of a configuration -> place of the arguments of its class.
_PARTS = {"trainer": "trainer", "model": "model.init_args", "data": "data.init_args"}
_OF_JSONARGPARSE = {"help", "class_path", "init_args", "dict_kwargs"}
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


def check_options(arguments: Sequence[str]) -> None:
    """Raise an error for the first unknown option of trainer, model or data, without torch.

    The names are read from the sources of the classes, whose import takes seconds. Parsers, which
    know nested options, report options of model and data that resemble no name.
    """
    contents = {file: read_yaml(Path(file)) for file in config_files(arguments)}
    for part, prefix in _PARTS.items():
        parts = {file: content.get(part) for file, content in contents.items()}
        mappings = {file: each for file, each in parts.items() if isinstance(each, dict)}
        known = _known_arguments(part, [*mappings.values()], arguments)
        if known is None:
            continue
        for argument in arguments:
            given = re.split(r"[=+]", argument, maxsplit=1)[0]
            before = prefix if given.startswith(f"--{prefix}.") else part
            name = given.removeprefix(f"--{before}.").partition(".")[0]
            if not given.startswith(f"--{before}.") or name in known | _OF_JSONARGPARSE:
                continue
            if part == "trainer":
                near = closest(f"--trainer.{name}", (f"--trainer.{each}" for each in known))
                raise UsageError(f"unknown option {argument}.{near} --help lists the options")
            if near := closest(name, known):
                raise UsageError(f"{prefix}.{name}: unknown key.{near}")
        for file, mapping in mappings.items():
            keys = mapping if part == prefix else mapping.get("init_args")
            for key in keys if isinstance(keys, dict) else ():
                if key not in known and ((near := closest(key, known)) or part == "trainer"):
                    raise UsageError(f"{file}: {prefix}.{key}: unknown key.{near}")


def _known_arguments(
    part: str, mappings: Sequence[Mapping[str, Any]], arguments: Sequence[str]
) -> set[str] | None:
    """Return the arguments of all classes that are named for a part; None if one is not known."""
    if part == "trainer":
        return class_arguments(_TRAINER)
    paths = [mapping["class_path"] for mapping in mappings if "class_path" in mapping]
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        option, equals, value = argument.partition("=")
        if option in (f"--{part}", f"--{part}.class_path"):
            paths.append(value if equals else following)
    known = [class_arguments(str(path)) for path in paths]
    names = {name for each in known for name in each or ()}
    return None if not known or None in known else names


def class_arguments(class_path: str) -> set[str] | None:
    """Return the arguments of a class of this package, or of the trainer, from its source.

    None for other classes, and if the source does not state all of them.
    """
    module, _, name = class_path.rpartition(".")
    package, *folders = module.split(".")
    if package != _PACKAGE.name and class_path != _TRAINER:
        return None
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed", name=package)
    path = Path(found.origin).parent.joinpath(*folders)
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not file.is_file():
        return None
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for statement in ast.walk(tree):
        if isinstance(statement, ast.ImportFrom) and name in (
            each.name for each in statement.names
        ):
            return class_arguments(f"{statement.module}.{name}")
        if isinstance(statement, ast.ClassDef) and statement.name == name:
            return _arguments_of_definition(statement, module)
    return None


def _arguments_of_definition(definition: ast.ClassDef, module: str) -> set[str] | None:
    names: set[str] = set()
    for statement in definition.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            listed = statement.args
            names = {argument.arg for argument in (*listed.args[1:], *listed.kwonlyargs)}
            if listed.kwarg is None:
                return names
    for base in definition.bases:  # which get the further arguments
        of_base = class_arguments(f"{module}.{ast.unparse(base)}")
        if of_base is None:
            return None
        names |= of_base
    return names


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
