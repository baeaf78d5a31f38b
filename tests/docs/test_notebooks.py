"""Notebooks are those of their text, ran without an error, and are small enough to be read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LARGEST = 500_000  # bytes; the limit of what is committed


def _cells(notebook: Path) -> list[dict[str, Any]]:
    return json.loads(notebook.read_text(encoding="utf-8"))["cells"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_that_of_its_text(notebook: Path) -> None:
    jupytext = pytest.importorskip("jupytext", reason="of the extra 'notebooks'")
    text = jupytext.read(notebook.with_suffix(".py"))
    pairs = [(cell["cell_type"], cell["source"].strip()) for cell in text.cells]
    found = [(cell["cell_type"], "".join(cell["source"]).strip()) for cell in _cells(notebook)]
    assert found == pairs, f"{notebook.name}: make notebooks"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_shows_what_it_does_and_where_nothing_lies(notebook: Path) -> None:
    assert notebook.stat().st_size < LARGEST
    outputs = [output for cell in _cells(notebook) for output in cell.get("outputs", ())]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output["output_type"] == "error"]
    written = "".join(
        "".join(text)
        for output in outputs
        for kind, text in {"text": output.get("text", ()), **output.get("data", {})}.items()
        if kind.startswith("text")
    )
    assert not re.findall(r"(?<![\w.])/(?:home|root|tmp|work|Users)/\S+", written)


def test_every_text_has_its_notebook() -> None:
    texts = {path.stem for path in (ROOT / "notebooks").glob("*.py")}
    assert texts == {path.stem for path in NOTEBOOKS}
