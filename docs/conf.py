"""Configuration of the documentation: ``sphinx-build -c docs . site`` (``make docs``).

The source folder is the repository, so that pages of methods, rendered tables, notebooks and the
changelog are pages without being copied, and relative links work here and on the web.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

import spike_zoo

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent

project = "Spike Zoo"
copyright = "The Spike Zoo developers"
version = release = spike_zoo.__version__
root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "spike_zoo/methods/*/README.md",
    "experiments/README.md",
    "experiments/NOTES.md",
    "experiments/*/NOTES.md",
    "experiments/*/results/*.md",
    "benchmarks/results.md",
    "benchmarks/results_gpu.md",
    "experiments/gpu/README.md",
    "notebooks/*.ipynb",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
]
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
templates_path: list[str] = []

html_theme = "furo"
html_static_path = ["static"]
html_js_files = ["sort.js"]
html_title = "Spike Zoo"
html_theme_options = {"source_directory": "", "navigation_with_keys": True}
html_show_sphinx = False
html_copy_source = False

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 4
# names in annotations for type checkers are unqualified, so two modules may define them
suppress_warnings = ["ref.python"]
nb_execution_mode = "off"  # the outputs are committed; 'make notebooks' runs them

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_use_ivar = True
napoleon_custom_sections = ["Shape"]


def with_tables(name: str, text: str) -> str:
    """Append the rendered tables to the page of a method; return other pages unchanged."""
    method = re.fullmatch(r"spike_zoo/methods/(\w+)/README", name)
    tables = sorted(ROOT.glob(f"experiments/{method[1]}/results/*.md")) if method else []
    if not tables:
        return text
    options = ":heading-offset: 1\n:relative-docs: .."
    steps = "\n\n".join(
        f"```{{include}} /{table.relative_to(ROOT).as_posix()}\n{options}\n```" for table in tables
    )
    heading = "## Tables that ran here\n\n[Where they come from](/experiments/README.md)."
    return f"{text}\n{heading}\n\n{steps}\n"


def with_commands(name: str, text: str) -> str:
    """Append the help text of every command to the page of commands."""
    if name != "docs/reference/commands":
        return text
    from spike_zoo.cli.main import COMMANDS, GROUPS

    sections, summaries = [text], {n: t for group in GROUPS.values() for n, t in group.items()}
    for command, target in COMMANDS.items():
        summary = summaries[command]
        sections.append(f"## {command}\n\n{summary[0].upper()}{summary[1:]}.\n")
        deeper = [[command, verb] for verb in target] if isinstance(target, dict) else [[command]]
        sections += [f"```text\n{_help_of(words)}\n```\n" for words in deeper]
    return "\n".join(sections)


def _help_of(words: list[str]) -> str:
    from spike_zoo.cli.main import main

    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        code = main([*words, "--help"])
    if code:
        raise RuntimeError(f"{' '.join(words)} --help ended with {code}")
    return output.getvalue().replace("\b", "").strip()  # jsonargparse's help contains backspaces


def _read(app: Sphinx, name: str, source: list[str]) -> None:
    source[0] = with_commands(name, with_tables(name, source[0]))


def _load_lazy_names(app: Sphinx) -> None:
    """Load public names that are imported lazily, so that autodoc finds them."""
    for page in (ROOT / "docs" / "reference").glob("*.md"):
        for name in re.findall(r"automodule:: (\S+)", page.read_text(encoding="utf-8")):
            module = importlib.import_module(name)
            for public in getattr(module, "__all__", ()):
                setattr(module, public, getattr(module, public))


def _write_redirect(app: Sphinx, error: Exception | None) -> None:
    """Write an ``index.html`` that redirects to the first page."""
    if error is None and app.builder.format == "html":
        target = posixpath.join(*root_doc.split("/")) + ".html"
        page = f'<!doctype html><meta http-equiv="refresh" content="0; url={target}">\n'
        (Path(app.outdir) / "index.html").write_text(page, encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Connect the functions above to the events of Sphinx."""
    app.connect("builder-inited", _load_lazy_names)
    app.connect("source-read", _read)
    app.connect("build-finished", _write_redirect)
