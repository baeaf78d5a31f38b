"""Dry runs of ``experiments/run.py`` in this process."""

import contextlib
import importlib.util
import io
from pathlib import Path

from tests.conftest import ROOT


def dry_run(folder: Path, *arguments: str) -> str:
    """Return the output of a dry run of a job in a folder; errors are raised as SystemExit."""
    spec = importlib.util.spec_from_file_location("run", ROOT / "experiments" / "run.py")
    assert spec is not None
    assert spec.loader is not None
    run = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run)
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.chdir(folder):
        assert run.main(["--dry-run", *arguments]) == 0
    return printed.getvalue()
