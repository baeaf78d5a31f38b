"""Reader of camera files, which the command ``calibrate`` writes."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spike_zoo.errors import FormatError, GeometryError, MissingFileError
from spike_zoo.formats.arrays import format_errors
from spike_zoo.spikes.pixel_maps import MAPS, PixelMaps
from spike_zoo.utils.locks import file_version
from spike_zoo.utils.yaml_files import read_yaml

if TYPE_CHECKING:
    from spike_zoo.spikes.recording import SpikeRecording


def attach_maps(recording: SpikeRecording, camera: str | Path | None, source: Path) -> None:
    """Set the maps of a recording to those of a camera file; None leaves them as they are.

    The field ``maps`` of the file names the file of the maps beside it. ``source`` is the file of
    the recording, for errors.

    Raises:
        MissingFileError: If a file does not exist.
        FormatError: If a file is not one of ``calibrate``.
        GeometryError: If maps and recording differ in size.
    """
    if camera is None:
        return
    camera = Path(camera)
    if not camera.is_file():
        raise MissingFileError.at(camera, f"there is no such file; it is the camera of {source}")
    content = read_yaml(camera, FormatError)
    name = content.get("maps") if isinstance(content, dict) else None
    if not isinstance(name, str):
        raise FormatError.at(camera, "no field maps; give a camera file of calibrate")
    path = camera.parent / name
    if not path.is_file():
        raise MissingFileError.at(path, f"there is no such file; it has the maps of {camera}")
    try:
        recording.maps = _read(path, file_version(path))
    except GeometryError as error:
        raise GeometryError.at(source, f"{path}: {error}") from error


@lru_cache(maxsize=4)
def _read(path: Path, version: tuple[int, ...]) -> PixelMaps:
    """Read maps once per version of the file; live views open a recording per picture."""
    with (
        format_errors(path),
        path.open("rb") as stream,
        np.load(stream, allow_pickle=False) as file,
    ):
        maps = {name: file[name] for name in MAPS if name in file}
    if len(maps) < len(MAPS):
        raise FormatError.at(path, f"has maps {list(maps)}, expected those of calibrate: {MAPS}")
    try:
        return PixelMaps(**maps)
    except ValueError as error:
        raise FormatError.at(path, f"{error}") from error
