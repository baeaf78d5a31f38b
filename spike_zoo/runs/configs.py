"""Configurations by name: those of the working folder, then those that ship with the package."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from spike_zoo.errors import ConfigError, MissingFileError, closest
from spike_zoo.yaml_files import read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FOLDER = "configs"  # of the checkout, and of copies of it
SHIPPED = Path(__file__).parent.parent / FOLDER
PROFILES = Path(FOLDER) / "profiles"
_OPTIONS = ("-c", "--config")
_SENTENCE = re.compile(r"(?<=[.?!])\s|\s\s")


def shipped_configs() -> dict[str, Path]:
    """Return the configurations inside the package: name, as ``"paper/stir"`` -> file."""
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
    """Return the file that a name of a configuration means.

    ``stir``, ``stir.yaml`` and ``configs/stir.yaml`` are the file of that name, else
    ``configs/stir.yaml`` of the working folder, else that of the package. What none of them has is
    returned as it is.
    """
    shipped = shipped_configs().get(_name_of(named))
    if shipped is None or Path(named).is_file():
        return named
    own = Path(recorded_name(str(shipped)))
    return str(own if own.is_file() else shipped)


def recorded_name(file: str) -> str:
    """Return what a record calls a configuration: one of the package as in the checkout."""
    path = Path(file)
    if not path.is_relative_to(SHIPPED):
        return file
    return (FOLDER / path.relative_to(SHIPPED)).as_posix()


def with_files(arguments: Sequence[str]) -> list[str]:
    """Return arguments of a verb as its parser takes them.

    Every ``--config`` names a file, and options of no class, as ``--run-dir``, have underscores.
    """
    found = [_with_underscores(argument) for argument in arguments]
    for position, option, name in _named_configs(arguments):
        found[position] = f"{option}{find_config(name)}"
    return found


def config_files(arguments: Sequence[str]) -> list[str]:
    """Return the files of every ``--config`` on a command line, in order."""
    return [find_config(name) for _, _, name in _named_configs(arguments)]


def _named_configs(arguments: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """Yield where each configuration is named, ``--config=`` if in that argument, and its name."""
    for position, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        if option in _OPTIONS and equals:
            yield position, f"{option}=", value
        elif option in _OPTIONS and position + 1 < len(arguments):
            yield position + 1, "", arguments[position + 1]


def check_configs(arguments: Sequence[str]) -> None:
    """Check the files of every ``--config`` before the libraries that use them are loaded.

    Raises:
        MissingFileError: If a file does not exist; names the nearest configuration that ships.
        ConfigError: If a file is not a mapping in YAML, or has a key twice.
    """
    for file in config_files(arguments):
        if not Path(file).is_file():
            near = closest(file.removesuffix(".yaml"), shipped_configs())
            raise MissingFileError(
                f"{file}: there is no such configuration file.{near} 'spike-zoo configs' lists "
                "those that ship",
                path=file,
            )
        content = read_yaml(Path(file))
        if content is None:
            raise ConfigError(f"{file}: empty; write what it sets, as 'trainer: {{max_epochs: 3}}'")
        if not isinstance(content, dict):
            raise ConfigError(
                f"{file}: must be a mapping of keys, found {type(content).__name__}", path=file
            )


def summary_of(file: Path) -> str:
    """Return the first sentence of the comment that a configuration begins with."""
    lines = file.read_text(encoding="utf-8").splitlines()
    begins = next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return _SENTENCE.split(" ".join(line.lstrip("# ") for line in lines[:begins]))[0]


def _with_underscores(argument: str) -> str:
    name, equals, value = argument.partition("=")
    if not name.startswith("--") or "." in name:
        return argument
    return f"--{name[2:].replace('-', '_')}{equals}{value}"


def _name_of(named: str) -> str:
    return named.removeprefix(f"{FOLDER}/").removesuffix(".yaml")
