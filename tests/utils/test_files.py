"""Atomic writing of files, removal of leftovers, and checks of output paths."""

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import spike_zoo
from spike_zoo.errors import ExistingFileError, RecordingError, UsageError
from spike_zoo.formats import read_recording, write_recording
from spike_zoo.spikes.packing import pack_bits
from spike_zoo.utils.files import (
    _MACHINE,
    check_absent,
    check_suffix,
    check_writable,
    content_sha256,
    entries_below,
    folder_entries,
    link_or_copy,
    lock,
    memory_map,
    natural_order,
    new_file,
    plain_name,
    synchronise,
    temporary_path,
)
from tests.helpers.streams import random_spikes


def test_the_file_appears_only_when_its_block_has_ended(tmp_path: Path) -> None:
    target = tmp_path / "clip.dat"
    with new_file(target) as temporary:
        temporary.write_bytes(b"spikes")
        assert not target.exists()
        assert temporary.parent == tmp_path
    assert target.read_bytes() == b"spikes"
    assert list(tmp_path.iterdir()) == [target]


def write_and_fail(target: Path, fault: type[BaseException]) -> None:
    with new_file(target, overwrite=True) as temporary:
        temporary.write_bytes(b"half")
        raise fault


def _failing(number: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP])
def test_files_are_written_where_modes_cannot_be_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "chmod", _failing(number))
    with new_file(tmp_path / "clip.dat") as temporary:
        temporary.unlink()
        os.close(os.open(temporary, os.O_CREAT, 0o600))  # with another mode
    assert [path.name for path in tmp_path.iterdir()] == ["clip.dat"]


def test_only_an_unsupported_synchronisation_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "file").open("wb") as file:
        monkeypatch.setattr(os, "fsync", _failing(errno.EINVAL))
        synchronise(file)
        monkeypatch.setattr(os, "fsync", _failing(errno.EIO))
        with pytest.raises(OSError, match="Input/output error"):
            synchronise(file)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, None])
def test_without_locks_files_are_used_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    if number is None:  # Windows
        monkeypatch.setitem(sys.modules, "fcntl", None)
    else:
        monkeypatch.setattr("fcntl.flock", _failing(number))
    with (tmp_path / ".lock").open("ab") as file, pytest.warns(UserWarning, match="cannot be lock"):
        assert lock(file)


def test_a_lock_is_held_until_its_file_is_closed(tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("ab") as first, (tmp_path / ".lock").open("ab") as second:
        assert lock(first)
        assert not lock(second)
        first.close()
        assert lock(second)


def test_without_hard_links_a_file_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"weights")
    monkeypatch.setattr(os, "link", _failing(errno.EPERM))
    link_or_copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"weights"


@pytest.mark.parametrize("suffix", [".dat", ".h5", ".spl"])
def test_recordings_are_read_where_files_cannot_be_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    spikes = random_spikes(20, 8, 16)
    path = write_recording(spikes, tmp_path / f"clip{suffix}", with_sidecar=suffix == ".dat")
    monkeypatch.setattr("mmap.mmap", _failing(errno.ENODEV))
    with path.open("rb") as file:
        assert memory_map(file.fileno()) is None
    recording = read_recording(path)
    np.testing.assert_array_equal(recording[:], spikes)
    np.testing.assert_array_equal(recording.packed, pack_bits(spikes))


@pytest.mark.parametrize("fault", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_neither_file_nor_folder(
    tmp_path: Path, fault: type[BaseException]
) -> None:
    with pytest.raises(fault):
        write_and_fail(tmp_path / "a" / "b" / "clip.dat", fault)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_does_not_change_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "clip.dat"
    target.write_bytes(b"old")
    with pytest.raises(RuntimeError):
        write_and_fail(target, RuntimeError)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_existing_target_is_rejected_before_any_work(tmp_path: Path) -> None:
    target = tmp_path / "clip.dat"
    target.write_bytes(b"old")
    with pytest.raises(ExistingFileError, match=r"clip\.dat exists"), new_file(target):
        pytest.fail("the block must not run")


def test_the_target_of_a_symbolic_link_is_written(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    for name in ("old.bin", "new.bin"):  # of an existing and of a missing file
        link = tmp_path / name
        link.symlink_to(f"disk/{name}")
    (tmp_path / "disk/old.bin").write_bytes(b"old")
    with (
        pytest.raises(ExistingFileError, match=r"old\.bin exists"),
        new_file(tmp_path / "old.bin"),
    ):
        pytest.fail("the block must not run")
    for name in ("old.bin", "new.bin"):
        with new_file(tmp_path / name, overwrite=name == "old.bin") as temporary:
            temporary.write_bytes(b"new")
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / "disk" / name).read_bytes() == b"new"
    assert sorted(path.name for path in (tmp_path / "disk").iterdir()) == ["new.bin", "old.bin"]


def test_a_target_that_appeared_meanwhile_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "clip.dat"
    with pytest.raises(ExistingFileError), new_file(target):
        target.write_bytes(b"theirs")
    assert target.read_bytes() == b"theirs"


def test_a_folder_is_never_replaced(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"), new_file(tmp_path, overwrite=True):
        pytest.fail("the block must not run")


def test_a_parent_that_is_not_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    target = tmp_path / "file" / "clip.dat"
    with pytest.raises(RecordingError, match=r"clip\.dat: cannot be written"), new_file(target):
        pytest.fail("the block must not run")


def test_a_folder_that_another_process_makes_meanwhile_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Path.mkdir

    def make_concurrently(folder: Path) -> None:
        make(folder)
        make(folder)

    monkeypatch.setattr(Path, "mkdir", make_concurrently)
    with new_file(tmp_path / "made" / "file") as temporary:
        temporary.write_text("content")
    assert (tmp_path / "made" / "file").read_text() == "content"


def test_a_read_only_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(*_: object, **__: object) -> int:  # permissions do not bind the root user
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", deny)
    with pytest.raises(RecordingError, match="cannot be written"), new_file(tmp_path / "clip.dat"):
        pytest.fail("the block must not run")


def test_a_full_disk_raises_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="No space left"), new_file(tmp_path / "clip.dat"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


def test_the_permissions_of_the_file_follow_the_umask(tmp_path: Path) -> None:
    target = tmp_path / "clip.dat"
    with new_file(target) as temporary:
        temporary.unlink()  # like libraries that replace the file
        temporary.touch(mode=0o600)
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    assert target.stat().st_mode == plain.stat().st_mode


def ended_process() -> int:
    """Process number of an ended process."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_only_temporary_files_of_ended_processes_for_the_target_are_removed(tmp_path: Path) -> None:
    ended, living = ended_process(), os.getpid()
    stale = [
        f".clip.dat.{ended}-0123abcd@{_MACHINE}.part",
        f".clip.dat.{ended}-00000000@{_MACHINE}.part",
    ]
    remaining = [
        f".clip.dat.{living}-0123abcd@{_MACHINE}.part",  # of a running process
        f".clip.dat.x.{ended}-0123abcd@{_MACHINE}.part",  # of another target
        f".a.clip.dat.{ended}-0123abcd@{_MACHINE}.part",
        f".clip_dat.{ended}-0123abcd@{_MACHINE}.part",
        f".clip.dat.{ended}-notes.part",  # of another program
        f".clip.dat.{ended}-0123abcd@elsewhere.part",  # of a machine that shares the folder
        f"clip.dat.{ended}-0123abcd@{_MACHINE}.part",
    ]
    for name in [*remaining, stale[0]]:
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / stale[1] / "deep").mkdir(parents=True)
    warned = pytest.warns(UserWarning, match="removed; process")
    with warned, new_file(tmp_path / "clip.dat") as temporary:
        temporary.write_bytes(b"spikes")
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([*remaining, "clip.dat"])
    assert {str(warning.message) for warning in warned} == {
        f"{tmp_path / name}: removed; process {ended} left it when it was killed" for name in stale
    }


@pytest.mark.parametrize("letter", ["n", "\u8857"])
def test_files_with_the_longest_names_are_written_and_cleaned_up(
    letter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / (letter * (255 // len(letter.encode())))
    monkeypatch.setattr(os, "getpid", ended_process)
    temporary_path(target).touch()
    temporary_path(target.with_name(target.name[:-1])).touch()  # of another target
    with pytest.warns(UserWarning, match="removed; process"), new_file(target) as temporary:
        temporary.write_bytes(b"spikes")
    assert len(list(tmp_path.iterdir())) == 2
    too_long = tmp_path / (letter * 256)
    with pytest.raises(RecordingError, match="choose a shorter name"), new_file(too_long):
        pytest.fail("the block must not run")


@pytest.mark.parametrize("out", ["clips", "a.npz", "v1.5/", "there.d", "down/clips"])
def test_files_with_a_known_suffix_and_folders_are_accepted(
    out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.d").mkdir()
    check_suffix(out, [".npz"])


@pytest.mark.parametrize("out", ["a.txt", "v1.5", "a.NPZ", "v1.5/a.txt"])
def test_another_suffix_is_rejected_with_advice(out: str) -> None:
    message = r"is not written here; give X\.npz or a folder .*slash at its end"
    with pytest.raises(UsageError, match=message):
        check_suffix(out, [".npz"])


@given(numbers=st.lists(st.integers(0, 10**6), unique=True), after=st.sampled_from(["", ".png"]))
def test_numbers_in_names_are_ordered_by_their_value(numbers: list[int], after: str) -> None:
    names = [f"clips 2/frame-{number}{after}" for number in numbers]
    expected = [f"clips 2/frame-{number}{after}" for number in sorted(numbers)]
    assert sorted(names, key=natural_order) == expected


def test_companion_files_and_folders_are_not_listed(tmp_path: Path) -> None:
    kept = ["2.png", "10.png", "day 1/a.dat", "day 1/b.dat"]
    companions = ["._2.png", ".DS_Store", "Thumbs.db", "desktop.ini", "2.png~", ".2.png.swp"]
    companions += ["__MACOSX/day 1/a.dat", "@eaDir/2.png/thumb.png", ".snapshot/2.png"]
    for name in (*kept, *companions):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    names = [str(path.relative_to(tmp_path)) for path in entries_below(tmp_path)]
    assert names == [*kept[:2], "day 1", *kept[2:]]
    assert folder_entries(tmp_path, "*.png") == [tmp_path / "2.png", tmp_path / "10.png"]
    assert folder_entries(tmp_path, "*/*.dat") == [
        tmp_path / "day 1" / name for name in ("a.dat", "b.dat")
    ]
    assert folder_entries(tmp_path / "none") == []


def test_folders_of_users_are_listed_by_one_function() -> None:
    """Files of users are sequences that companions would shift; own output needs no order."""
    package = Path(spike_zoo.__file__).parent
    own = {"output.py", "remote.py"}
    listing = re.compile(r"\.iterdir\(|(?<!glob)\.r?glob\(|listdir\(")
    rooms = ("archive", "simulation", "media", "cli", "pages", "data", "formats")
    files = [file for room in rooms for file in sorted((package / room).rglob("*.py"))]
    assert [f.name for f in files if f.name not in own and listing.search(f.read_text())] == []


def test_a_checksum_covers_names_and_contents(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("same")
    first, second = tmp_path / "a", tmp_path / "b"
    before = content_sha256([first])
    assert content_sha256([second]) != before
    first.write_text("else")
    assert content_sha256([first]) != before


def test_an_output_that_cannot_be_written_is_rejected_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(RecordingError, match=r"notes\.txt/new/a\.png: cannot be written \(Not a"):
        check_absent(tmp_path / "notes.txt" / "new" / "a.png")
    for name in ("made", "new/deep/made"):
        check_absent(tmp_path / name)
        check_writable(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


_UNSAFE = [
    *(
        "..",
        ".",
        "",
        "...",
        "/",
        "a/../../b",
        "/etc/passwd",
        "..\\..\\a",
        "C:\\a",
        "C:a",
        "\\\\host\\a",
    ),
    *("a\0b", "a.", "a..", ".ssh", " ", "con\n", "-", "a" * 300, "." * 130 + "a", "a" * 119 + ".."),
]


@given(st.one_of(st.sampled_from(_UNSAFE), st.text(), st.text("./\\:a\0~")))
def test_a_plain_name_is_one_part_of_a_path_on_every_system(text: str) -> None:
    name = plain_name(text)
    for system in (PurePosixPath, PureWindowsPath):
        path = system("out") / name
        assert (path.parent, path.name) == (system("out"), name)
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,120}", name)
    assert not name.startswith(".")
    assert not name.endswith(".")
    assert plain_name(name) == name


def test_pipes_and_devices_are_not_replaced_by_files(tmp_path: Path) -> None:
    pipe = tmp_path / "a.png"
    os.mkfifo(pipe)
    for target in (pipe, Path(os.devnull)):
        with pytest.raises(UsageError, match="device, pipe or socket"):
            check_absent(target, overwrite=True)
        with (
            pytest.raises(UsageError, match="device, pipe or socket"),
            new_file(target, overwrite=True),
        ):
            pass
    assert pipe.is_fifo()
