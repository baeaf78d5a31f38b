"""Tests that earlier imports of other libraries do not change warnings and parsing."""

from __future__ import annotations

import warnings
from typing import Any, Union

import pytest
from jsonargparse import ArgumentParser
from lightning.fabric.utilities import warnings as lightnings

from spike_zoo.runs.libraries import quiet_libraries, whole_numbers_first
from spike_zoo.runs.planning import VERBS
from spike_zoo.sweeps.line_reader import LineReader

# as rich asks for it, and as typing then remembers Lightning's own
FLIPPED: Any = Union[float, int, None]  # noqa: UP007


@pytest.mark.parametrize("given", ["1", "1.0", "0.5", "null", "3"])
def test_one_is_a_whole_number_whatever_was_imported_before(given: str) -> None:
    parser = ArgumentParser()
    parser.add_argument("--limit", type=FLIPPED)
    parser.add_argument("--name", type=str)
    whole_numbers_first(parser)
    found = parser.parse_args(["--limit", given, "--name", "a"])
    assert repr(found.limit) == given.replace("null", "None")
    assert found.name == "a"


def test_warnings_in_lightnings_code_show_no_place_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing Lightning replaces the format of warnings."""
    monkeypatch.setattr(warnings, "formatwarning", lightnings._custom_format_warning)
    quiet_libraries()
    said = warnings.formatwarning("LPIPS is off", UserWarning, "/lib/lightning/cli.py", 555)
    assert said == "warning: LPIPS is off\n"


def test_every_verb_parses_limits_so(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(
        "spike_zoo.runs.options.whole_numbers_first",
        lambda parser: seen.extend(a.dest for a in parser._actions if "limit_val" in a.dest),
    )
    LineReader()
    assert seen == ["trainer.limit_val_batches"] * len(VERBS)
