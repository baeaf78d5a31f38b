"""Tests of the program: help, unknown commands, exit codes."""

import errno
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import pytest

from spike_zoo.archive import build_archive
from spike_zoo.cli import main as main_module
from spike_zoo.cli.main import COMMANDS, main
from spike_zoo.cli.trainer_commands import TRAINER_VERBS
from spike_zoo.errors import FormatError, MissingFileError
from tests.conftest import ROOT
from tests.helpers.archives import make_take
from tests.helpers.commands import Zoo


def test_help_lists_every_command_on_one_line(zoo: Zoo) -> None:
    lines = zoo("--help").out.splitlines()
    for name in [*TRAINER_VERBS, *COMMANDS]:
        assert sum(line.split()[:1] == [name] for line in lines) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("reconstrcut", "there is no command 'reconstrcut'. Did you mean 'reconstruct'?"),
        ("archive inof", "invalid choice: 'inof' (choose from"),
        ("archive", "{build,info,verify,export}"),
        ("reconstruct a.dat", "error: --out must be given;"),
        ("reconstruct", "error: RECORDING and --out must be given;"),
        ("archive build a", "error: OUT must be given;"),
        ("info a.dat --widht 3", "error: unknown option --widht. Did you mean '--width'?"),
        ("archive build a b.h5 --rate_scal=0.5", "Did you mean '--rate-scale'?"),
    ],
)
def test_unknown_commands_and_missing_arguments_are_named_on_one_line(
    line: str, message: str, zoo: Zoo
) -> None:
    result = zoo(line)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert message in result.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FormatError("x.dat: empty"), 1),
        (MissingFileError("x.dat: not there"), 2),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("oops"), 70),
    ],
)
def test_errors_are_printed_on_one_line_and_set_the_exit_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, zoo: Zoo
) -> None:
    def fail(arguments: list[str]) -> int:
        raise error

    monkeypatch.setattr(main_module, "_dispatch", fail)
    for line in ("info", "info --debug"):
        result = zoo(line)
        assert result.code == code
        assert ("Traceback" in result.err) is ("--debug" in line)


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt, 130), (KeyError, 70)])
def test_an_exception_during_error_handling_is_not_reported_as_a_user_error(
    error: type[BaseException], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(arguments: list[str]) -> int:
        try:
            raise FormatError("x.dat: empty")
        except FormatError:
            raise error  # noqa: B904  (a fault, or Ctrl-C, not a consequence)

    monkeypatch.setattr(main_module, "_dispatch", fail)
    assert main(["info"]) == code


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("test --config classical/tfi", r"runs: cannot be written \(Read-only "),
        ("simulate --size small", r"data: cannot be written \(Read-only "),
    ],
)
def test_a_default_folder_on_a_read_only_file_system_is_a_user_error(
    line: str, message: str, monkeypatch: pytest.MonkeyPatch, zoo: Zoo
) -> None:
    def fail(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "mkdir", fail)
    result = zoo(line)
    assert result.code == 1
    assert re.search(message, result.err)


@pytest.mark.parametrize(("line", "code"), [("doctor", 0), ("archive info none.h5", 2)])
def test_a_command_does_not_change_the_signal_handlers_of_its_caller(
    line: str, code: int, zoo: Zoo
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert zoo(line).code == code
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_command_may_be_called_in_a_thread() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(main, ["archive", "info", "none.h5"]).result() == 2


@pytest.mark.slow
def test_a_terminated_command_leaves_no_partial_files(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    command = [sys.executable, "-m", "spike_zoo", "simulate", "--out", str(folder / "a.h5")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not list(folder.glob("*")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.terminate()
        assert process.wait(60) == 143
    finally:
        process.kill()
        process.wait()
    assert not list(folder.glob("*"))


def hang_up() -> None:
    """Act as a command whose terminal is closed; the signal is sent twice."""
    try:
        signal.raise_signal(signal.SIGHUP)
    finally:
        signal.raise_signal(signal.SIGHUP)


@pytest.mark.parametrize(("handler", "code"), [(signal.SIG_DFL, 129), (signal.SIG_IGN, 0)])
def test_a_closed_terminal_ends_a_command_except_under_nohup(
    handler: signal.Handlers, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(COMMANDS, "wait", f"{__name__}:hang_up")
    before = signal.signal(signal.SIGHUP, handler)
    try:
        assert main(["wait"]) == code
        assert signal.getsignal(signal.SIGHUP) == handler
    finally:
        signal.signal(signal.SIGHUP, before)


def test_only_a_broken_pipe_of_stdout_is_a_success(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(arguments: list[str]) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(main_module, "_dispatch", fail)
    assert main(["info"]) == 70
    reader, writer = os.pipe()
    os.close(reader)
    stdout = os.dup(1)
    try:
        os.dup2(writer, 1)
        assert main(["info"]) == 0
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
        os.close(writer)


class SignalInDestructor:
    """Send SIGTERM in the destructor, whose exceptions Python ignores."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)
        time.sleep(0)  # the handler runs here


def signal_in_destructor(seconds: float = 30.0) -> None:
    """Act as a command that receives SIGTERM in a destructor."""
    objects = [SignalInDestructor()]
    objects.clear()
    time.sleep(seconds)


def error_after_signal() -> None:
    """Act as a command whose removal of unfinished files fails after SIGTERM."""
    try:
        signal.raise_signal(signal.SIGTERM)
    finally:
        raise RuntimeError("the workers are gone")


@pytest.mark.parametrize("command", ["error_after_signal", "signal_in_destructor"])
def test_a_signal_ends_a_command_that_fails_later_or_runs_a_destructor(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(COMMANDS, "wait", f"{__name__}:{command}")
    begin = time.monotonic()
    assert main(["wait"]) == 143
    assert time.monotonic() - begin < 20


@pytest.mark.parametrize("options", ["", "--debug"])
def test_control_characters_in_names_are_escaped(options: str, zoo: Zoo) -> None:
    name = "x\x1b[31m\u202ered.dat"
    Path(name).write_bytes(bytes(7))
    result = zoo(f"info {options}", name)
    assert result.code in (1, 2)
    assert r"error: x\x1b[31m\u202ered.dat: " in result.err
    assert "\x1b" not in result.err
    with h5py.File(build_archive("a.h5", {"a": make_take}), "r+") as file:
        file.move("recordings/a", "recordings/[b]\x1b[31mred")
    for line, code in (("archive info a.h5", 0), ("archive verify a.h5", 1)):
        result = zoo(line)
        assert result.code == code
        assert r"[b]\x1b[31mred" in result.out
        assert "\x1b" not in result.out
