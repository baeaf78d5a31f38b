"""Notebooks equal their source texts, ran without errors, and are small."""

import ast
import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MAX_BYTES = 500_000  # limit of committed files


def _cells(notebook: Path) -> list[dict[str, Any]]:
    return json.loads(notebook.read_text(encoding="utf-8"))["cells"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_equals_its_source_text(notebook: Path) -> None:
    jupytext = pytest.importorskip("jupytext", reason="of the extra 'notebooks'")
    text = jupytext.read(notebook.with_suffix(".py"))
    pairs = [(cell["cell_type"], cell["source"].strip()) for cell in text.cells]
    cells = [(cell["cell_type"], "".join(cell["source"]).strip()) for cell in _cells(notebook)]
    assert cells == pairs, f"{notebook.name}: make notebooks"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_images_no_errors_and_no_local_paths(notebook: Path) -> None:
    assert notebook.stat().st_size < MAX_BYTES
    outputs = [output for cell in _cells(notebook) for output in cell.get("outputs", ())]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output["output_type"] == "error"]
    printed = "".join(
        "".join(text)
        for output in outputs
        for kind, text in {"text": output.get("text", ()), **output.get("data", {})}.items()
        if kind.startswith("text")
    )
    assert not re.findall(r"(?<![\w.])/(?:home|root|tmp|work|Users)/\S+", printed)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_names_that_a_notebook_imports_exist(notebook: Path) -> None:
    tree = ast.parse(notebook.with_suffix(".py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("spike_zoo"):
            module = importlib.import_module(str(node.module))
            missing = [name.name for name in node.names if not hasattr(module, name.name)]
            assert not missing, f"{node.module}: {missing}"


def test_every_source_text_has_a_notebook() -> None:
    texts = {path.stem for path in (ROOT / "notebooks").glob("*.py")}
    assert texts == {path.stem for path in NOTEBOOKS}
