"""Tests of the program: help, unknown commands, exit codes."""

from __future__ import annotations

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


def test_help_lists_every_command_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in [*TRAINER_VERBS, *COMMANDS]:
        assert sum(line.split()[:1] == [name] for line in lines) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("reconstrcut", "there is no command 'reconstrcut'. Did you mean 'reconstruct'?"),
        ("archive inof", "'inof' is not a choice. Did you mean 'info'?"),
        ("archive", "name one of build, info, verify, export"),
        ("reconstruct a.dat", "error: --out must be given;"),
        ("reconstruct", "error: RECORDING and --out must be given;"),
        ("archive build a", "error: OUT must be given;"),
        ("classify a.dat", "error: --method must be given;"),
    ],
)
def test_unknown_commands_and_missing_arguments_are_named_on_one_line(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments.split()) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


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
    error: BaseException,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(arguments: list[str]) -> int:
        raise error

    monkeypatch.setattr(main_module, "_dispatch", fail)
    assert main(["info"]) == code
    assert "Traceback" not in capsys.readouterr().err
    assert main(["info", "--debug"]) == code
    assert "Traceback" in capsys.readouterr().err


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
    ("call", "message"),
    [
        ("test --config classical/tfi", r"runs: cannot be written \(Read-only .*\(--run_dir\)"),
        ("simulate --size small", r"data: cannot be written \(Read-only .*\(--out\)"),
    ],
)
def test_a_default_folder_on_a_read_only_file_system_is_a_user_error(
    call: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "mkdir", fail)
    assert main(call.split()) == 1
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize(
    ("arguments", "code"), [(["doctor"], 0), (["archive", "info", "none.h5"], 2)]
)
def test_a_command_does_not_change_the_signal_handlers_of_its_caller(
    arguments: list[str], code: int
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert main(arguments) == code
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


def test_a_signal_during_a_destructor_ends_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(COMMANDS, "wait", (f"{__name__}:signal_in_destructor", "wait"))
    begin = time.monotonic()
    assert main(["wait"]) == 143
    assert time.monotonic() - begin < 20


@pytest.mark.parametrize("options", [[], ["--debug"]])
def test_control_characters_in_file_names_are_escaped_in_errors(
    options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "x\x1b[31m\u202ered.dat"
    Path(name).write_bytes(bytes(7))
    assert main(["info", name, *options]) in (1, 2)
    error = capsys.readouterr().err
    assert r"error: x\x1b[31m\u202ered.dat: " in error
    assert "\x1b" not in error


def test_control_characters_in_recording_names_are_escaped_in_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.h5"
    build_archive(path, {"a": make_take})
    with h5py.File(path, "r+") as file:
        file.move("recordings/a", "recordings/[b]\x1b[31mred")
    assert main(["archive", "info", str(path)]) == 0
    assert main(["archive", "verify", str(path)]) == 1
    output = capsys.readouterr().out
    assert output.count(r"[b]\x1b[31mred") >= 2
    assert "\x1b" not in output
