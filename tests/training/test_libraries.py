"""Tests that earlier imports of other libraries do not change warnings and parsing."""

from __future__ import annotations

import warnings
from typing import Any, Union

import pytest
from jsonargparse import ArgumentParser
from lightning.fabric.utilities import warnings as lightning_warnings

from spike_zoo.tables.sweeps.line_reader import LineReader
from spike_zoo.training.libraries import quiet_libraries, whole_numbers_first
from spike_zoo.training.planning import VERBS

# rich uses this order; typing caches it, so Lightning's annotation gets the same order
FLOAT_FIRST: Any = Union[float, int, None]  # noqa: UP007


@pytest.mark.parametrize("text", ["1", "1.0", "0.5", "null", "3"])
def test_integers_are_parsed_as_integers_by_a_type_with_float_first(text: str) -> None:
    parser = ArgumentParser()
    parser.add_argument("--limit", type=FLOAT_FIRST)
    parser.add_argument("--name", type=str)
    whole_numbers_first(parser)
    parsed = parser.parse_args(["--limit", text, "--name", "a"])
    assert repr(parsed.limit) == text.replace("null", "None")
    assert parsed.name == "a"


def test_warnings_of_lightning_are_printed_without_file_and_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Importing Lightning replaces the format of warnings."""
    monkeypatch.setattr(warnings, "formatwarning", lightning_warnings._custom_format_warning)
    quiet_libraries()
    message = warnings.formatwarning("LPIPS is off", UserWarning, "/lib/lightning/cli.py", 555)
    assert message == "warning: LPIPS is off\n"


def test_every_verb_parses_limits_with_integers_first(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[str] = []
    monkeypatch.setattr(
        "spike_zoo.training.options.whole_numbers_first",
        lambda parser: limits.extend(a.dest for a in parser._actions if "limit_val" in a.dest),
    )
    LineReader()
    assert limits == ["trainer.limit_val_batches"] * len(VERBS)
