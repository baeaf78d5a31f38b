"""What the app does with a recording, without any of its looks: pages and files to take away."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from spike_zoo.archive import ArchiveWriter, SpikeArchive
from spike_zoo.coding.header import is_bitstream
from spike_zoo.errors import SpikeZooError, UsageError
from spike_zoo.formats import read_recording
from spike_zoo.formats.hdf5_plain import is_archive
from spike_zoo.formats.recording import RECORDING_SUFFIXES, detect_format
from spike_zoo.media import render_page
from spike_zoo.reports import Choices, report_of
from spike_zoo.spikes import centers_with_stride

if TYPE_CHECKING:
    from spike_zoo.spikes import SpikeRecording

BUILT_IN: Final = "moving-scene.h5"
SUFFIXES: Final = (*RECORDING_SUFFIXES, ".sci")
_MOST_IMAGES: Final = 100  # of a video


@dataclass(frozen=True)
class Source:
    """What was dropped, and what had to be said about it.

    Attributes:
        path: The file.
        name: The recording of an archive; by default the one that a report shows first.
        height: Rows of a ``.dat`` file.
        width: Columns of a ``.dat`` file.
        rate_scale: Spikes per plane at white, where the recording does not tell.
    """

    path: Path
    name: str | None = None
    height: int | None = None
    width: int | None = None
    rate_scale: float | None = None

    def recording(self) -> SpikeRecording:
        """Return the recording.

        Raises:
            UsageError: If it is a bitstream, which holds none.
            SpikeZooError: If it cannot be read.
        """
        if is_bitstream(self.path):
            raise UsageError("a .sci file holds no spikes any more: its page shows its pictures")
        name = self.name or next(iter(self.names()), None)
        return read_recording(self.path, name, height=self.height, width=self.width)

    def names(self) -> list[str]:
        """Return the recordings of an archive, those of its test split first; else nothing."""
        if is_bitstream(self.path) or detect_format(self.path) != "hdf5":
            return []
        if not is_archive(self.path):
            return []
        with SpikeArchive(self.path) as archive:
            first = archive.names("test") if "test" in archive.splits() else []
            return list(dict.fromkeys([*first, *archive.names()]))


def built_in(folder: Path) -> Path:
    """Return an archive with a small simulated scene and its truth; it is made once."""
    from spike_zoo.simulation.defaults import default_scenes
    from spike_zoo.simulation.takes import simulate_take

    target = folder / BUILT_IN
    if not target.exists():
        spec = default_scenes("test", 2, height=128, width=192, planes=161)[1]
        with ArchiveWriter(target) as writer:
            writer.add(spec.name, simulate_take(spec, image_stride=10, margin=60))
    return target


def page_of(source: Source, methods: list[str], pictures: int, *, device: str, trust: bool) -> str:
    """Return the report of a source as HTML, see :func:`spike_zoo.reports.report_of`."""
    choices = Choices(
        methods=tuple(methods),
        pictures=pictures,
        names=() if source.name is None else (source.name,),
        height=source.height,
        width=source.width,
        rate_scale=source.rate_scale,
        device=device,
        trust=trust,
    )
    return render_page(report_of(source.path, source.name, choices))


def files_of(
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

    Args:
        source: What was dropped.
        method: What reconstructs.
        folder: Where the files go.
        moment: What the picture shows, from 0, the first plane, to 1, the last.
        codec: What compresses.
        device: Where both compute.
        trust: Whether classes from outside this package may be imported.

    Returns:
        Suffix -> file, and what could not be made and why.

    Raises:
        SpikeZooError: If the source cannot be read.
    """
    from spike_zoo.media import VideoWriter, save_picture
    from spike_zoo.methods.loading import load
    from spike_zoo.reports.methods import loaded
    from spike_zoo.reports.scene import Scene
    from spike_zoo.tasks.abilities import codec_of

    recording = source.recording()
    scale, _ = Scene(method, recording).rate_scale(Choices(rate_scale=source.rate_scale))
    (named,) = loaded([method], device=device, trust=trust)
    plane = round(moment * (len(recording) - 1))
    files = {suffix: folder / f"recording{suffix}" for suffix in (".png", ".mp4", ".sci")}
    (image,) = named.module.reconstruct(recording, [plane], rate_scale=scale)
    save_picture(image, files[".png"], overwrite=True)
    stride = max(2, -(-len(recording) // _MOST_IMAGES))
    centers = centers_with_stride(len(recording), stride)
    with VideoWriter(files[".mp4"], 25.0, overwrite=True) as video:
        for one in named.module.reconstruct_stream(recording, centers, rate_scale=scale):
            video.write(one)
    try:
        coder = codec_of(load(codec, device=device, trust=trust), codec)
        files[".sci"].write_bytes(coder.compress(recording))
    except (SpikeZooError, ValueError) as error:
        del files[".sci"]
        return files, [f"no .sci file: {error}"]
    return files, []
