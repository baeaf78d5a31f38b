"""Exit on SIGTERM and SIGHUP by an exception, so that files are removed; closed streams."""

from __future__ import annotations

import contextlib
import functools
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

#: Signals of schedulers and of closed terminals; Windows has no SIGHUP.
_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
_INTERRUPTED = threading.Event()
SIGNAL_CODES = [128 + number for number in _SIGNALS]  # their exit codes


def signal_code(error: BaseException | None) -> int:
    """Return the exit code of an error that a signal raised; 0 for other errors."""
    code = error.code if isinstance(error, SystemExit) else 0
    return code if isinstance(code, int) and code in SIGNAL_CODES else 0


@contextlib.contextmanager
def noted_interrupts() -> Iterator[None]:
    """Let :func:`was_interrupted` report Ctrl-C during a block, unless a caller handles it."""
    _INTERRUPTED.clear()
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def was_interrupted() -> bool:
    """Return whether Ctrl-C was pressed; libraries turn it into other errors while they load."""
    return _INTERRUPTED.is_set()


def _interrupt(number: int, frame: FrameType | None) -> None:
    _INTERRUPTED.set()
    signal.default_int_handler(number, frame)


def handled_signals() -> list[signal.Signals]:
    """Return SIGTERM and SIGHUP without ignored ones, such as SIGHUP under ``nohup``."""
    return [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]


def is_closed(stream: int) -> bool:
    """Return whether the other end of a pipe or terminal is closed, from its file descriptor."""
    poll = select.poll()
    poll.register(stream, 0)  # no events: only errors
    return bool(poll.poll(0))


def drop_closed_streams() -> None:
    """Replace a closed stdout or stderr by the null device, so that a cleanup can print."""
    for stream in (1, 2):
        if is_closed(stream):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)


@contextlib.contextmanager
def exit_on_signals() -> Iterator[None]:
    """Raise SystemExit on the first SIGTERM or SIGHUP; further ones do not interrupt the cleanup.

    An ignored signal stays ignored. The previous handlers are restored afterwards: processes of a
    caller that inherited ours could ignore the signals.
    """
    if threading.current_thread() is not threading.main_thread():  # only it may set handlers
        yield
        return
    hook = sys.unraisablehook
    before = {number: signal.signal(number, _exit) for number in handled_signals()}
    sys.unraisablehook = functools.partial(_exit_again, hook)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: a handler outside Python


def _exit(number: int, frame: FrameType | None) -> None:
    drop_closed_streams()
    for each in _SIGNALS:  # terminals and ``timeout`` send a signal twice
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)


def _exit_again(
    hook: Callable[[sys.UnraisableHookArgs], object], lost: sys.UnraisableHookArgs, /
) -> None:
    """Send a signal again if its exception was raised in a destructor, where Python ignores it."""
    if not signal_code(lost.exc_value):
        hook(lost)
        return
    number = signal_code(lost.exc_value) - 128
    signal.signal(number, _exit)
    main_thread = threading.main_thread().ident
    threading.Timer(0.1, signal.pthread_kill, (main_thread, number)).start()
