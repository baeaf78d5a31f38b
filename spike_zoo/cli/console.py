"""Output of commands: messages, warnings and ``--quiet``."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from typing import IO, TYPE_CHECKING, Any

from spike_zoo.errors import RecordingError

if TYPE_CHECKING:
    from spike_zoo.media.clipping import ClippedPixels
    from spike_zoo.spikes.recording import SpikeRecording

_IS_QUIET = ContextVar("_IS_QUIET", default=False)
_NOTES: ContextVar[list[str] | None] = ContextVar("_NOTES", default=None)
_LOGGERS = ("lightning.pytorch", "lightning.fabric")


def is_quiet() -> bool:
    """Return whether ``--quiet`` is set: only results, warnings and errors are printed."""
    return _IS_QUIET.get()


def echo(text: str, file: IO[str] | None = None) -> None:
    """Print a message about an output or about progress, unless ``--quiet`` is set."""
    if not is_quiet():
        print(text, file=file or sys.stdout)


def note(text: str) -> None:
    """Print on stderr a note on the result of a recording; in a batch it is collected."""
    notes = _NOTES.get()
    if notes is None:
        echo(text, sys.stderr)
    else:
        notes.append(text)


@contextlib.contextmanager
def collected_notes() -> Iterator[list[str]]:
    """Suppress messages and progress bars; collect the notes on the result."""
    notes: list[str] = []
    before = _NOTES.set(notes)
    try:
        with quiet():
            yield notes
    finally:
        _NOTES.reset(before)


def report_clipping(clipped: ClippedPixels) -> None:
    """Print on stderr the share of clipped pixels if it is above 1 %."""
    if clipped.note:
        note(clipped.note)


def warn_of_filters(recording: SpikeRecording, method: str) -> None:
    """Warn that a method ignores the colour filters of a recording, if there are any."""
    if recording.cfa is not None:
        note(
            f"warning: {method} ignores the colour filters {recording.cfa} of the sensor; for "
            "images in colour run reconstruct --method tfi-aligned-colour"
        )


def configure_streams() -> None:
    """Escape characters that the terminal cannot encode."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if sys.stdout is None:
        raise RecordingError("stdout is closed; redirect it to a file, a pipe or /dev/null")


def drop_unwritten() -> None:
    """Discard the buffer of stdout if it cannot be written, so that Python's exit does not fail."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def quiet(*, wanted: bool = True) -> Iterator[None]:
    """Suppress messages and progress bars, but not warnings and errors.

    With ``wanted`` False, progress lines are logged to stderr instead.
    """
    if not wanted:
        with _progress_lines():
            yield
        return
    before = _IS_QUIET.set(True)
    try:
        with contextlib.redirect_stderr(_NonTerminal(sys.stderr)):
            yield
    finally:
        _IS_QUIET.reset(before)


@contextlib.contextmanager
def _progress_lines() -> Iterator[None]:
    """Print log messages of this package of level INFO on stderr."""
    logger, handler = logging.getLogger("spike_zoo"), logging.StreamHandler()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


@contextlib.contextmanager
def silenced_if_quiet() -> Iterator[None]:
    """With ``--quiet``, suppress stdout and log messages of Lightning, which has no such option."""
    if not is_quiet():
        yield
        return
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,  # noqa: PTH123  (no path on Windows)
        contextlib.redirect_stdout(nowhere),
    ):
        try:
            for name in levels:
                logging.getLogger(name).setLevel(logging.WARNING)
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)


class _NonTerminal:
    """A stream that is no terminal, so that no progress bar is drawn."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def isatty(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  (a stream's)
        return getattr(self._stream, name)
