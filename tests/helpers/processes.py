"""Processes of their own, in which nothing is imported yet."""

from __future__ import annotations

import subprocess
import sys


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run some lines of Python and return what they printed."""
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
