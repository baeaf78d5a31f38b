"""Fixtures every test may use; importing the package first lets torchvision load everywhere."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

import spike_zoo  # noqa: F401  (its guard must run before lightning and torchmetrics)

ROOT = Path(__file__).resolve().parent.parent
collect_ignore = ["outside"]  # somebody else's package; test_outside.py installs it elsewhere

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A job in a shell's background ignores Ctrl-C, and with it the processes that tests stop.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of the reference figures that belong to the tests."""
    return ROOT / "tests" / "golden"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of sample clips and weights that are not part of the project."""
    folder = Path(os.environ.get("SPIKE_ZOO_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"the sample clips are not here ({folder}); set SPIKE_ZOO_SHARED")
    return folder
