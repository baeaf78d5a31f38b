"""Python code in a new process."""

from __future__ import annotations

import subprocess
import sys


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new Python process and return the completed process with its output."""
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
