"""Where pictures of a command go: one file, a video or a folder, whole or not at all."""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, TypeVar

from rich.console import Console
from rich.progress import Progress, track

from spike_zoo.errors import ExistingFileError, UsageError
from spike_zoo.files import check_absent, check_suffix, remove_leftovers, temporary_path
from spike_zoo.media.pictures import save_picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from spike_zoo.media.pictures import Picture

_LOG = logging.getLogger(__name__)
EVERY = 60.0  # seconds from one line to the next where no terminal shows a bar

FILES = (".mp4", ".png")  # beside a folder
Kind = Literal["picture", "video", "folder"]
Item = TypeVar("Item")


def kind_of(out: str, files: Sequence[str] = FILES) -> Kind:
    """Return what a user's ``--out`` means.

    Args:
        out: What was given.
        files: Suffixes of those that the command writes, for the message.

    Raises:
        UsageError: If it ends in the suffix of something else.
    """
    suffix = Path(out).suffix.lower()
    if suffix == ".png":
        return "picture"
    if suffix == ".mp4":
        return "video"
    check_suffix(out, files, option="--out ")
    return "folder"


def check_target(target: Path, kind: Kind, *, overwrite: bool) -> None:
    """Raise ExistingFileError for a target that is there or of the wrong sort, before any work."""
    if kind != "folder":
        check_absent(target, overwrite=overwrite)
    elif target.exists() and not target.is_dir():
        raise ExistingFileError(f"{target} is a file; give another name for the folder")
    elif target.is_dir() and any(target.iterdir()) and not overwrite:
        raise ExistingFileError(
            f"{target} exists and is not empty; choose another folder, or add --overwrite true to "
            "replace pictures of the same name"
        )


@dataclass(frozen=True)
class Target:
    """Where the images of a command go, known to be free before any work is done.

    Attributes:
        path: The file or folder.
        kind: What it is.
        fps: Images per second of a video.
        overwrite: Replace files that are there.
    """

    path: Path
    kind: Kind
    fps: float
    overwrite: bool

    @classmethod
    def of(cls, out: str, *, fps: float, overwrite: bool, files: Sequence[str] = FILES) -> Self:
        """Return what ``--out``, ``--fps`` and ``--overwrite`` mean; see :func:`kind_of`.

        Raises:
            UsageError: If the suffix is that of something else, or no video has such a speed.
            ExistingFileError: See :func:`check_target`.
        """
        kind = kind_of(out, files)
        if not 0 < fps <= 1000:
            raise UsageError(f"--fps {fps:g}: a video has above 0 and up to 1000 images a second")
        check_target(Path(out), kind, overwrite=overwrite)
        return cls(Path(out), kind, fps, overwrite)

    def write(
        self, images: Iterable[tuple[str, Picture]], *, count: int, detail: str, doing: str
    ) -> str:
        """Write images that are made while they are asked for, and show how far that is.

        Args:
            images: What a file of a folder is called, without suffix, and the image,
                ``(C, H, W)`` in [0, 1]; a single picture is the first.
            count: How many there should be, for the bar.
            detail: What they show, in words.
            doing: What the bar says.

        Returns:
            One line that says where they are.
        """
        if self.kind == "picture":
            save_picture(next(iter(images))[1], self.path, overwrite=self.overwrite)
            return f"picture: {self.path} ({detail})"
        shown = with_progress(images, count, doing)
        if self.kind == "video":
            from spike_zoo.media.video import VideoWriter  # its encoder takes a while to load

            with VideoWriter(self.path, self.fps, overwrite=self.overwrite) as video:
                for _, image in shown:
                    video.write(image)
            return f"video: {self.path} ({video.images} images, {self.fps:g} a second)"
        written = 0
        with new_folder(self.path) as folder:
            for stem, image in shown:
                save_picture(image, folder / f"{stem}.png")
                written += 1
        return f"pictures: {self.path} ({written} files, {detail})"


def with_progress(items: Iterable[Item], total: int, doing: str) -> Iterable[Item]:
    """Show a bar with the time left on stderr while they are made, or log a line a minute."""
    console = Console(stderr=True)
    if not console.is_terminal:
        return _logged(items, total, doing)
    return track(items, doing, total=total, console=console, transient=True)


def _logged(items: Iterable[Item], total: int, doing: str) -> Iterator[Item]:
    """Yield items, and log how many there are and about how long the others take."""
    begin = last = time.monotonic()
    for later, item in enumerate(items):
        now = time.monotonic()
        if not later:
            begin = now  # the first item also compiles kernels
        elif now - last >= EVERY:
            last = now
            left = (now - begin) * (total - 1 - later) / later
            about = f"{left / 60:.0f} min" if left >= 90 else f"{left:.0f} s"
            _LOG.info("%s: %d of %d, about %s left", doing, later + 1, total, about)
        yield item


@contextlib.contextmanager
def progress_bar(doing: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on stderr if it is a terminal; yield the function to call with (done, total)."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(doing, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder whose files move into ``target`` when all went well."""
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target)
    temporary = temporary_path(target)
    temporary.mkdir()
    try:
        yield temporary
        if target.is_dir():
            for file in sorted(temporary.iterdir()):
                file.replace(target / file.name)
        else:
            temporary.replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
