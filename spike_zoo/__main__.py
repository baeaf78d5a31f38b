"""The command line: ``python -m spike_zoo`` and the console script ``spike-zoo``."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> int:
    """Run a command and return its exit code.

    The console script finds modules in the working folder as ``python -m`` does, so that both take
    a method in a file there; neither does under ``-P`` or ``PYTHONSAFEPATH``.
    """
    here = str(Path.cwd())
    if not sys.flags.safe_path and here not in sys.path:
        sys.path.insert(0, here)
    from spike_zoo.cli.main import TERMINATED
    from spike_zoo.cli.main import main as run  # which looks up modules

    code = run()
    if code == TERMINATED:  # all is cleaned up; Python would wait for what its workers are doing
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
