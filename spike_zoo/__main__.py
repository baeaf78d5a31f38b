"""The command line: ``python -m spike_zoo`` and the console script ``spike-zoo``."""

import gc
import os
import sys

GC_THRESHOLD = 50_000
"""New objects before a search for cycles; with Python's 700, it takes a fifth of the imports."""
SAFE_PATH, OWN_SAFE_PATH = "PYTHONSAFEPATH", "spike-zoo"


def main() -> int:
    """Run a command and return its exit code."""
    try:
        return _run()
    except KeyboardInterrupt:  # while modules are imported, or at the end
        sys.stderr.write("interrupted\n")
        return 130


def _run() -> int:
    search_working_folder_last()
    gc.set_threshold(GC_THRESHOLD)
    from spike_zoo.cli.main import main as run  # after the search path is set
    from spike_zoo.utils.signals import SIGNAL_CODES

    code = run()
    if code in (*SIGNAL_CODES, 130):  # cleaned up already; a normal exit would wait for workers
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    if "triton._C.libtriton" not in sys.modules:  # Triton reports objects that are left at exit
        gc.freeze()  # else Python searches all objects of torch for cycles at exit, 1 to 2 s
    return code


def search_working_folder_last() -> None:
    """Append the working folder to the module search path, unless ``-P`` or its variable is set.

    A method in a file of this folder can then be imported, but a file such as copy.py or yaml.py
    replaces no other module. Worker processes, which Python starts with their working folder in
    front, get the variable and the path of this process.
    """
    folder = os.getcwd()  # noqa: PTH109  (pathlib imports many modules)
    if sys.flags.safe_path and os.environ.get(SAFE_PATH) != OWN_SAFE_PATH:
        return
    if folder not in sys.path:
        sys.path.append(folder)
    package = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  (as above)
    if os.path.dirname(package) != folder:  # noqa: PTH120  # an uninstalled checkout is needed there
        os.environ.setdefault(SAFE_PATH, OWN_SAFE_PATH)


if __name__ == "__main__":
    raise SystemExit(main())
