"""The command line: ``python -m spike_zoo`` and the console script ``spike-zoo``."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path


def main() -> int:
    """Run a command and return its exit code.

    The console script adds the working folder to the module search path as ``python -m`` does, so
    that both can import a method from a file in this folder. The options ``-P`` and
    ``PYTHONSAFEPATH`` prevent this.
    """
    folder = str(Path.cwd())
    if not sys.flags.safe_path and folder not in sys.path:
        sys.path.insert(0, folder)
    from spike_zoo.cli.main import main as run  # after the search path is set
    from spike_zoo.utils.signals import SIGNAL_CODES

    code = run()
    if code in SIGNAL_CODES:  # cleaned up already; a normal exit would wait for workers
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    if "triton._C.libtriton" not in sys.modules:  # Triton reports objects that are left at exit
        gc.freeze()  # else Python searches all objects of torch for cycles at exit, 1 to 2 s
    return code


if __name__ == "__main__":
    raise SystemExit(main())
