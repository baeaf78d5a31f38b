"""The names, commands and digests of docs/stability.md are those of the package."""

import importlib
import re

import pytest
from safetensors import safe_open

from spike_zoo.cli.main import COMMANDS
from spike_zoo.cli.trainer_commands import TRAINER_VERBS
from spike_zoo.utils.files import shipped_weights
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "stability.md").read_text(encoding="utf-8")
PROMISED = [
    (module, name)
    for module, names in re.findall(r"^\| `(spike_zoo[\w.]*)` \| (.*) \|$", PAGE, re.MULTILINE)
    for name in re.findall(r"`(\w+)`", names)
]


def test_the_page_names_the_central_classes() -> None:
    assert {("spike_zoo", "load"), ("spike_zoo.methods.stir", "STIR")} <= set(PROMISED)


@pytest.mark.parametrize(("module", "name"), PROMISED)
def test_a_promised_name_is_in_the_package(module: str, name: str) -> None:
    assert hasattr(importlib.import_module(module), name)


def test_every_command_is_promised() -> None:
    (listed,) = re.findall(r"^Commands, .*?exit codes.*?: (.*?)\.$", PAGE, re.DOTALL | re.MULTILINE)
    assert re.findall(r"`(\w+)`", listed) == [*TRAINER_VERBS, *COMMANDS]


def test_digests_are_those_of_the_shipped_weights() -> None:
    listed = dict(re.findall(r"^\| `([\w-]+)` \| `([0-9a-f]{12})` \|$", PAGE, re.MULTILINE))
    digests = {}
    for name, path in shipped_weights().items():
        with safe_open(path, framework="pt") as file:
            digests[name] = file.metadata()["sha256"][:12]
    assert listed == digests, "a name keeps its weights within a minor version"
