"""Spike Zoo: train, compare, reproduce and use methods for spike cameras.

Public names and subpackages are imported on first use, so that importing the package is fast.
"""

from __future__ import annotations

import sys

if sys.argv[:1] == ["-m"]:  # python -m spike_zoo

    def _report(*error: Any) -> None:
        """Print an error; one line for Ctrl-C while modules are imported."""
        if error[0] is KeyboardInterrupt:
            sys.stderr.write("interrupted\n")
        else:
            sys.__excepthook__(*error)

    sys.excepthook = _report
    if not sys.flags.safe_path:
        # the working folder comes last: a user's copy.py or typing.py must replace no other module
        sys.path.append(sys.path.pop(0))

import importlib
from typing import TYPE_CHECKING, Any

from spike_zoo.utils.lazy import lazy_attributes
from spike_zoo.utils.torchvision_builds import install_guard

if TYPE_CHECKING:
    from spike_zoo.archive import SpikeArchive
    from spike_zoo.checkpoints.loading import load
    from spike_zoo.errors import SpikeZooError
    from spike_zoo.formats import read_recording, write_recording
    from spike_zoo.spikes import SpikeRecording, Take

__version__ = "0.1.0"

__all__ = [
    "SpikeArchive",
    "SpikeRecording",
    "SpikeZooError",
    "Take",
    "__version__",
    "load",
    "read_recording",
    "write_recording",
]

_SUBPACKAGES = {
    *("archive", "checkpoints", "cli", "coding", "data", "errors", "formats", "media", "methods"),
    *("metrics", "nn", "pages", "simulation", "spikes", "tables", "tasks", "testing", "training"),
    "utils",
}

install_guard()

_public, _ = lazy_attributes(__name__)


def __getattr__(name: str) -> object:
    """Import a public name or a subpackage on first use (PEP 562)."""
    return importlib.import_module(f"{__name__}.{name}") if name in _SUBPACKAGES else _public(name)


def __dir__() -> list[str]:
    """List the public names and the subpackages."""
    return sorted({*__all__, *_SUBPACKAGES})
