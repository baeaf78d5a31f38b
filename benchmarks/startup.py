"""How long a person waits before anything happens: importing the package, and --help."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from benchmarks.row import Row, alternate


def _run(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


def rows() -> list[Row]:
    """Measure whole processes, the interpreter's own start beside them."""
    bare, imported, helped = alternate(
        [
            partial(_run, "-c", "pass"),
            partial(_run, "-c", "import spike_zoo"),
            partial(_run, "-m", "spike_zoo", "--help"),
        ],
        repeats=9,
    )
    return [
        Row("import spike_zoo, beyond python's start", imported - bare, "s", goal=0.3),
        Row("python -m spike_zoo --help, whole process", helped, "s", goal=1.0),
    ]
