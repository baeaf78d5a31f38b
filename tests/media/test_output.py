"""Tests of the output of images: kinds, rejected targets, complete files only."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from spike_zoo.errors import ExistingFileError, RecordingError, UsageError
from spike_zoo.media import load_image
from spike_zoo.media.output import (
    Target,
    check_target,
    kind_of,
    new_folder,
    progress_bar,
    with_progress,
)
from spike_zoo.utils.files import new_file

WRITE_OPTIONS: dict[str, Any] = {"count": 3, "detail": "planes 0 to 2", "doing": "making"}


@pytest.mark.parametrize(
    ("out", "kind"),
    [
        ("a.png", "image"),
        ("A.PNG", "image"),
        ("new/a.mp4", "video"),
        ("images", "folder"),
        ("v1.5/", "folder"),
        ("old.d", "folder"),  # an existing folder
    ],
)
def test_the_name_determines_the_kind_of_output(
    out: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("old.d").mkdir()
    assert kind_of(out) == kind


def test_an_unknown_suffix_is_rejected_with_a_hint_for_folders() -> None:
    with pytest.raises(UsageError, match=r"v1\.5: \.5 is not written here.* slash at its end"):
        kind_of("v1.5")


def test_without_a_terminal_lines_state_the_remaining_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = iter([0, 300, 340, 380, 420, 460, 500])  # seconds: the first item takes longer
    clock = SimpleNamespace(monotonic=lambda: next(now))  # other threads use the real clock
    monkeypatch.setattr("spike_zoo.media.output.time", clock)
    with caplog.at_level("INFO", logger="spike_zoo"):
        assert list(with_progress(range(6), 6, "making")) == [0, 1, 2, 3, 4, 5]
    assert caplog.messages == [
        "making: 2 of 6, about 3 min left",
        "making: 4 of 6, about 80 s left",
        "making: 6 of 6, about 0 s left",
    ]


@pytest.mark.parametrize("fps", [0.0, 1e-4, -1.0, 1000.5, float("nan"), float("inf")])
def test_an_invalid_frame_rate_is_rejected(fps: float, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must be 0\.001 to 1000 images per second"):
        Target.of(str(tmp_path / "a.mp4"), fps=fps, overwrite=False)


def test_existing_targets_are_rejected_before_any_work(tmp_path: Path) -> None:
    file, folder = tmp_path / "a", tmp_path / "b"
    file.write_text("mine")
    with pytest.raises(ExistingFileError, match="a is a file; give another name for the folder"):
        check_target(file, "folder", overwrite=True)
    folder.mkdir()
    check_target(folder, "folder", overwrite=False)  # an empty folder is accepted
    (folder / "notes.txt").write_text("mine")
    message = r"b exists and is not empty.*--overwrite to replace"
    with pytest.raises(ExistingFileError, match=message):
        check_target(folder, "folder", overwrite=False)
    check_target(folder, "folder", overwrite=True)


def _images() -> Iterator[tuple[str, Tensor]]:
    for level in range(3):
        yield f"plane-{level}", torch.full((1, 4, 6), level / 2)


def test_an_image_target_computes_only_the_first_image(tmp_path: Path) -> None:
    images = _images()
    target = Target.of(str(tmp_path / "a.png"), overwrite=False)
    assert target.write(images, **WRITE_OPTIONS) == f"image: {tmp_path / 'a.png'} (planes 0 to 2)"
    assert load_image(tmp_path / "a.png").max() == 0
    assert next(images)[0] == "plane-1"


def test_a_folder_has_a_file_for_every_image(tmp_path: Path) -> None:
    target = Target.of(str(tmp_path / "new" / "images"), overwrite=False)
    message = target.write(_images(), **WRITE_OPTIONS)
    assert message == f"images: {tmp_path / 'new' / 'images'} (3 files, planes 0 to 2)"
    for level in range(3):
        image = load_image(tmp_path / "new" / "images" / f"plane-{level}.png")
        assert image.mean() == pytest.approx(level / 2, abs=0.51 / 255)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["images"]


@pytest.mark.parametrize("exists", [False, True])
def test_an_interrupted_folder_keeps_the_previous_files(exists: bool, tmp_path: Path) -> None:
    target = tmp_path / "images"
    if exists:
        target.mkdir()
        (target / "plane-0.png").write_text("older")

    def images() -> Iterator[tuple[str, Tensor]]:
        yield "plane-0", torch.zeros(1, 2, 2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Target(target, "folder", 25, overwrite=True).write(images(), **WRITE_OPTIONS)
    files = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == ({target / "plane-0.png": "older"} if exists else {})
    assert target.exists() is exists


def test_files_with_other_names_in_an_existing_folder_are_kept(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "plane-0.png").write_text("older")
    with new_folder(tmp_path) as folder:
        (folder / "plane-0.png").write_text("newer")
    texts = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert texts == {"notes.txt": "mine", "plane-0.png": "newer"}


def test_errors_of_a_folder_name_the_target(tmp_path: Path) -> None:
    target = tmp_path / "images"
    error = pytest.raises(RecordingError, match=rf"^{target}/a\.png: cannot be written")
    with error, new_folder(target) as folder, new_file(folder / "a.png"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(RecordingError, match="too long"), new_folder(tmp_path / ("n" * 256) / "a"):
        pass


def test_no_bar_is_drawn_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(with_progress(iter("abc"), 3, "making")) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")
    with progress_bar("making") as report:
        report(1, 3)
    assert capsys.readouterr() == ("", "")


def test_a_progress_bar_is_drawn_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as in a terminal
    with progress_bar("making") as report:
        report(1, 4)
    out, err = capsys.readouterr()
    assert out == ""
    assert "making" in err
    assert "25%" in err
