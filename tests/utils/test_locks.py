"""Files that several programs change lose no change, with and without locks."""

import errno
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from spike_zoo.errors import RecordingError
from spike_zoo.utils.locks import changed_file

ADD = """
import sys
from pathlib import Path
from spike_zoo.utils.locks import changed_file
path = Path("list.txt")
for number in range(20):
    with changed_file(path) as part:
        before = path.read_text() if path.is_file() else ""
        part.write_text(f"{before}{sys.argv[1]}-{number}\\n")
"""


def test_no_change_of_several_processes_is_lost(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ADD]
    processes = [subprocess.Popen([*command, str(n)], cwd=tmp_path) for n in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    expected = {f"{n}-{number}" for n in range(3) for number in range(20)}
    assert set((tmp_path / "list.txt").read_text().splitlines()) == expected
    assert [path.name for path in tmp_path.iterdir()] == ["list.txt"], "locks are removed"


def _change(path: Path, text: str, meanwhile: Callable[[], object]) -> None:
    with changed_file(path) as part:
        part.write_text(text)
        meanwhile()


def test_a_change_inside_of_another_one_is_kept_and_the_outer_one_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    inner = partial(_change, path, "of the inner block", list)
    with pytest.raises(RecordingError, match=r"a\.txt: was changed by another program meanwhile"):
        _change(path, "of the outer block", inner)
    assert path.read_text() == "of the inner block"


@pytest.mark.filterwarnings("ignore:files cannot be locked here")
def test_without_locks_a_lost_change_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", fail)
    path = tmp_path / "a.txt"
    _change(path, "alone", list)
    with pytest.raises(RecordingError, match="run the command again"):
        _change(path, "lost", lambda: path.write_text("of another program"))
    assert path.read_text() == "of another program"


def test_readers_do_not_wait_and_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="disk"):
        _change(tmp_path / "new" / "a.txt", "lost", _fail)
    assert not list(tmp_path.iterdir())
    path = tmp_path / "a.txt"
    path.write_text("old")
    with changed_file(path) as part:
        part.write_text("new")
        read = [sys.executable, "-c", "print(open('a.txt').read())"]
        assert subprocess.check_output(read, cwd=tmp_path, timeout=60) == b"old\n"


def _fail() -> None:
    raise OSError(errno.EIO, "disk")
