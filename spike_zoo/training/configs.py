"""Lookup and checks of configuration files, in the working folder and in the package."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from spike_zoo.errors import ConfigError, MissingFileError, closest
from spike_zoo.utils.yaml_files import read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FOLDER = "configs"  # in a checkout and in the working folder
SHIPPED = Path(__file__).parent.parent / FOLDER
PROFILES = Path(FOLDER) / "profiles"
_OPTIONS = ("-c", "--config")
_SENTENCE = re.compile(r"(?<=[.?!])\s|\s\s")


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
    shipped = shipped_configs().get(_name_of(named))
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
    """Return arguments of a verb in the form that its parser accepts.

    The value of every ``--config`` is replaced by its file. Options without a dot, such as
    ``--run-dir``, are written with underscores.
    """
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
    """Check the file of every ``--config``. Needs no import of PyTorch.

    Raises:
        MissingFileError: If a file does not exist. The message names the nearest configuration of
            the package.
        ConfigError: If a file is not a mapping in YAML, or has a key twice.
    """
    for file in config_files(arguments):
        if not Path(file).is_file():
            near = closest(file.removesuffix(".yaml"), shipped_configs())
            raise MissingFileError(
                f"{file}: there is no such configuration file.{near} 'spike-zoo configs' lists "
                "the configurations of the package",
                path=file,
            )
        content = read_yaml(Path(file))
        if content is None:
            raise ConfigError(
                f"{file}: empty; write its settings, such as 'trainer: {{max_epochs: 3}}'"
            )
        if not isinstance(content, dict):
            raise ConfigError(
                f"{file}: must be a mapping of keys, found {type(content).__name__}", path=file
            )


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


def _name_of(named: str) -> str:
    return named.removeprefix(f"{FOLDER}/").removesuffix(".yaml")
