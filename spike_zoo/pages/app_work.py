"""Computations of the app: report and files of an uploaded recording, and error messages."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from spike_zoo.archive import ArchiveWriter, SpikeArchive
from spike_zoo.coding.header import is_bitstream
from spike_zoo.errors import MissingGeometryError, SpikeZooError, UsageError
from spike_zoo.formats import read_recording
from spike_zoo.formats.dat_sizes import ranked_sizes
from spike_zoo.formats.hdf5_recording import is_archive
from spike_zoo.formats.recording import RECORDING_SUFFIXES, detect_format
from spike_zoo.media import render_page
from spike_zoo.pages.choices import Choices
from spike_zoo.pages.report_sources import report_of
from spike_zoo.spikes.rate_scale import rate_scale_of
from spike_zoo.spikes.windows import centers_inside
from spike_zoo.utils.files import link_or_copy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spike_zoo.formats.dat_sizes import StoredSize
    from spike_zoo.spikes import SpikeRecording
    from spike_zoo.spikes.cfa import Cfa

EXAMPLE_FILENAME: Final = "moving-scene.h5"
SUFFIXES: Final = (*RECORDING_SUFFIXES, ".sci")
_MAX_IMAGES: Final = 100  # of a video
#: Option of the commands -> label of the field.
FIELDS: Final = {
    "height": "height (rows)",
    "width": "width (columns)",
    "rate-scale": "spikes per plane at white",
    "cfa": "Bayer filters",
    "name": "recording of the archive",
    "methods": "methods",
    "pictures": "planes reconstructed",
}
_ESCAPED: Final = {"%22": '"', "%0D": " ", "%0A": " "}  # escapes of browsers in file names


@dataclass(frozen=True)
class Source:
    """An uploaded file with the fields of the form; None is a field that is not filled in."""

    path: Path
    name: str | None = None
    height: int | None = None
    width: int | None = None
    rate_scale: float | None = None
    cfa: Cfa | None = None

    def recording(self) -> SpikeRecording:
        """Return the recording."""
        if is_bitstream(self.path):
            raise UsageError(
                "a .sci file contains no spikes; press Show for a report with its pictures"
            )
        name = self.name or next(iter(self.names()), None)
        return read_recording(self.path, name, height=self.height, width=self.width, cfa=self.cfa)

    def is_in_colour(self) -> bool:
        """Return whether the recording states a layout of filters; False if it cannot be read."""
        try:
            return self.recording().cfa is not None
        except SpikeZooError:
            return False

    def names(self) -> list[str]:
        """Return the names in an archive, test split first; an empty list for other files."""
        is_hdf5 = not is_bitstream(self.path) and detect_format(self.path) == "hdf5"
        if not (is_hdf5 and is_archive(self.path)):
            return []
        with SpikeArchive(self.path) as archive:
            first = archive.names("test") if "test" in archive.splits() else []
            return list(dict.fromkeys([*first, *archive.names()]))


def restore_file_name(path: Path) -> Path:
    """Return an uploaded file under its name before the browser escaped characters."""
    name = path.name
    for escaped, plain in _ESCAPED.items():
        name = name.replace(escaped, plain)
    named = path.with_name(name)
    if named != path and not named.exists():
        try:
            link_or_copy(path, named)
        except OSError:  # the file system does not support the name
            return path
    return named


def candidate_sizes(path: Path) -> list[StoredSize] | None:
    """Return the sizes that fit a ``.dat`` file exactly; None if no size has to be chosen."""
    if path.suffix.lower() != ".dat":
        return None
    try:
        read_recording(path)
    except MissingGeometryError:
        fits = ranked_sizes(path).sizes if path.stat().st_size else ()
        return [fit for fit in fits if not fit.options]
    except SpikeZooError:
        return None
    return None


def listed_sizes(sizes: Sequence[StoredSize]) -> str:
    """Return width, height and planes of each size as text."""
    return ", ".join(f"{fit.width} x {fit.height} ({fit.planes} planes)" for fit in sizes)


def error_message(error: Exception, source: Source) -> str:
    """Return an error message with labels of fields for options, and without the upload folder."""
    name = source.path.name
    if isinstance(error, MissingGeometryError):
        sizes = listed_sizes(candidate_sizes(source.path) or [])
        fits = f"Sizes (W x H) that fit: {sizes}" if sizes else "No common size fits its length"
        return (
            f"{name}: a .dat file does not state its size. Fill in '{FIELDS['height']}' and "
            f"'{FIELDS['width']}'. {fits}."
        )
    message = str(error).replace(f"{source.path.parent}{os.sep}", "")
    # the form has no fields for these options
    options = "--(?:allow-partial|offset|bit-order|frame-align)"
    message = re.sub(rf",(?: or)? [^,.]*\({options}[^)]*\)", "", message)
    message = re.sub(rf"[^.]*{options}[^.]*\.", "", message)
    for option, field in FIELDS.items():
        message = re.sub(rf"--{option}(?![\w-])", f"'{field}'", message)
    return message


def example_archive(folder: Path) -> Path:
    """Return an archive with a small simulated scene and its ground truth, created once."""
    from spike_zoo.simulation.defaults import default_scenes
    from spike_zoo.simulation.kinds.takes import simulate_take

    target = folder / EXAMPLE_FILENAME
    if not target.exists():
        spec = default_scenes("test", 2, height=128, width=192, planes=161)[1]
        with ArchiveWriter(target) as writer:
            writer.add(spec.name, simulate_take(spec, image_stride=10, margin=60))
    return target


def report_page(
    source: Source, methods: list[str], pictures: int, *, device: str, trust: bool
) -> str:
    """Return the report of a source as HTML."""
    choices = Choices(
        methods=methods,
        limits_slow=True,
        pictures=pictures,
        name=None if source.name is None else [source.name],
        rate_scale=source.rate_scale,
        dat={"height": source.height, "width": source.width, "cfa": source.cfa},
        device=device,
        trust=trust,
    )
    return render_page(report_of(source.path, choices))


def reconstruct_files(
    source: Source,
    method: str,
    folder: Path,
    *,
    moment: float,
    codec: str,
    device: str,
    trust: bool,
) -> tuple[dict[str, Path], list[str]]:
    """Write a picture, a video and a bitstream of a recording.

    ``moment`` is the time of the picture, from 0 (first plane) to 1 (last plane). Returns the files
    by their suffix, and a list of problems for files that could not be made.
    """
    from spike_zoo.checkpoints.loading import load
    from spike_zoo.media import VideoWriter, save_picture
    from spike_zoo.pages.methods import load_methods
    from spike_zoo.tasks.protocols import codec_from, margin_of

    recording = source.recording()
    scale = rate_scale_of(recording, source.rate_scale).value
    recording.rate_scale = scale
    (named,) = load_methods([method], device=device, trust=trust)
    plane = round(moment * (len(recording) - 1))
    files = {suffix: folder / f"recording{suffix}" for suffix in (".png", ".mp4", ".sci")}
    (image,) = named.module.reconstruct(recording, [plane], rate_scale=scale)
    save_picture(image, files[".png"], overwrite=True, is_result=True)
    stride = max(2, -(-len(recording) // _MAX_IMAGES))
    centers = centers_inside(len(recording), stride, margin_of(named.module))
    with VideoWriter(files[".mp4"], 25.0, overwrite=True) as video:
        for picture in named.module.reconstruct_stream(recording, centers, rate_scale=scale):
            video.write(picture)
    try:
        if recording.cfa is not None:
            raise UsageError("SCI codes grey images, and this recording has Bayer filters")
        coder = codec_from(load(codec, device=device, trust=trust), codec)
        files[".sci"].write_bytes(coder.compress(recording))
    except (SpikeZooError, ValueError) as error:
        del files[".sci"]
        return files, [f"no .sci file: {error}"]
    return files, []
