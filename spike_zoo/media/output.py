"""Output of images as a PNG file, a video or a folder, with progress bars."""

import contextlib
import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, TypeVar

from spike_zoo.errors import ExistingFileError, SpikeZooError, UsageError
from spike_zoo.media.images import ImageArray, save_image
from spike_zoo.utils.files import (
    check_absent,
    check_suffix,
    check_writable,
    remove_leftovers,
    temporary_path,
    write_error,
)

_LOG = logging.getLogger(__name__)
PROGRESS_SECONDS = 60.0  # seconds between progress lines without a terminal

FILES = (".mp4", ".png")  # outputs that are no folder
Kind = Literal["image", "video", "folder"]
Item = TypeVar("Item")


def kind_of(out: str, files: Sequence[str] = FILES) -> Kind:
    """Return the kind of output of ``--out``, for a command that writes ``files`` or folders."""
    if out == "-":
        raise UsageError("--out -: images are not written to stdout; give a file or a folder")
    suffix = Path(out).suffix.lower()
    if suffix == ".png":
        return "image"
    if suffix == ".mp4":
        return "video"
    check_suffix(out, files, option="--out ")
    return "folder"


def check_target(target: Path, kind: Kind, *, overwrite: bool) -> None:
    """Raise ExistingFileError if a target exists, or is a file instead of a folder."""
    check_writable(target)
    if kind != "folder":
        check_absent(target, overwrite=overwrite)
    elif target.exists() and not target.is_dir():
        raise ExistingFileError(f"{target} is a file; give another name for the folder")
    elif target.is_dir() and any(target.iterdir()) and not overwrite:
        raise ExistingFileError(
            f"{target} exists and is not empty; choose another folder, or add --overwrite to "
            "replace images of the same name"
        )


@dataclass(frozen=True)
class Target:
    """Output of the images of a command, checked before any computation."""

    path: Path
    kind: Kind
    fps: float
    overwrite: bool

    @classmethod
    def of(
        cls, out: str, *, fps: float | None = None, overwrite: bool, files: Sequence[str] = FILES
    ) -> Self:
        """Return the target of ``--out``, ``--fps`` and ``--overwrite``."""
        kind = kind_of(out, files)
        if fps is not None and kind != "video":
            raise UsageError(f"--fps {fps:g}: only a video has a frame rate; give --out X.mp4")
        fps = 25.0 if fps is None else fps
        if not 0.001 <= fps <= 1000:
            raise UsageError(f"--fps {fps:g}: must be 0.001 to 1000 images per second")
        check_target(Path(out), kind, overwrite=overwrite)
        return cls(Path(out), kind, fps, overwrite)

    def write(
        self, images: Iterable[tuple[str, ImageArray]], *, count: int, detail: str, doing: str
    ) -> str:
        """Write images from an iterator, show progress, and return a line with path and number.

        Images are pairs of a file name without suffix and ``(C, H, W)`` in [0, 1]; a single image
        is the first one. ``count`` and ``doing`` are number and label of the progress bar;
        ``detail`` describes the images in the line.
        """
        if self.kind == "image":
            image = next(iter(images))[1]
            save_image(image, self.path, overwrite=self.overwrite, is_result=True)
            return f"image: {self.path} ({detail})"
        tracked = with_progress(images, count, doing)
        if self.kind == "video":
            from spike_zoo.media.video import VideoWriter  # slow import

            with VideoWriter(self.path, self.fps, overwrite=self.overwrite) as video:
                for _, image in tracked:
                    video.write(image)
            return f"video: {self.path} ({video.images} images, {detail}; {self.fps:g} a second)"
        written = 0
        with new_folder(self.path) as folder:
            for stem, image in tracked:
                save_image(image, folder / f"{stem}.png", is_result=True)
                written += 1
        return f"images: {self.path} ({written} files, {detail})"


def with_progress(items: Iterable[Item], total: int, doing: str) -> Iterable[Item]:
    """Iterate over items with a progress bar on stderr, or log a line per minute if no terminal."""
    from rich.console import Console  # slow to import, as below
    from rich.progress import track

    console = Console(stderr=True)
    if not console.is_terminal:
        return _logged(items, total, doing)
    return track(items, doing, total=total, console=console, transient=True)


def _logged(items: Iterable[Item], total: int, doing: str) -> Iterator[Item]:
    """Yield items, and log their number and the estimated remaining time."""
    begin = last = time.monotonic()
    for later, item in enumerate(items):
        now = time.monotonic()
        if not later:
            begin = now  # the first item also compiles kernels
        elif now - last >= PROGRESS_SECONDS:
            last = now
            left = (now - begin) * (total - 1 - later) / later
            about = f"{left / 60:.0f} min" if left >= 90 else f"{left:.0f} s"
            _LOG.info("%s: %d of %d, about %s left", doing, later + 1, total, about)
        yield item


@contextlib.contextmanager
def progress_bar(doing: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar if stderr is a terminal; yield its update function (done, total)."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(doing, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder; move its files into ``target`` if the block raises no error.

    Raises:
        RecordingError: If the folder or its files cannot be written.
    """
    remove_leftovers(target)
    temporary = temporary_path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
    except OSError as error:
        raise write_error(target, error) from error
    try:
        yield temporary
        if target.is_dir():
            for file in sorted(temporary.iterdir()):
                file.replace(target / file.name)
        else:
            temporary.replace(target)
    except SpikeZooError as error:
        error.message = error.message.replace(str(temporary), str(target))
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
