"""Write every method's page and public name as web pages: ``python docs/build.py [FOLDER]``."""

from __future__ import annotations

import importlib
import sys
import warnings
from pathlib import Path

import pdoc
from rich.console import Console

ROOMS = (
    "spikes", "simulation", "archive", "data", "batch", "errors", "nn", "metrics", "media",
    "methods", "methods.base", "methods.loading", "methods.classical", "methods.stir",
    "methods.ssdm", "methods.sci", "tasks", "tracking", "tables", "testing",
)  # fmt: skip


def main(folder: Path) -> None:
    """Write one page for each room, and an index."""
    names = [f"spike_zoo.{room}" for room in ROOMS]
    for name in names:
        room = importlib.import_module(name)
        page = Path(room.__file__ or "").with_name("README.md")
        if page.is_file():
            room.__doc__ = page.read_text(encoding="utf-8")
        for public in getattr(room, "__all__", ()):  # some load on first use, unseen by pdoc
            setattr(room, public, getattr(room, public))
    pdoc.render.configure(docformat="google", math=True, footer_text="Spike Zoo")
    # names that only type checkers import stay as they are written
    warnings.filterwarnings("ignore", message="Error parsing type annotation")
    pdoc.pdoc(*names, output_directory=folder)
    Console(highlight=False, soft_wrap=True).print(f"{folder / 'index.html'}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/api"))
