"""Reader of camera files, which the command ``calibrate`` writes."""

import warnings
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spike_zoo.errors import FormatError, GeometryError, MissingFileError
from spike_zoo.formats.arrays import format_errors
from spike_zoo.formats.sidecar import ROTATIONS
from spike_zoo.spikes.cfa import LAYOUTS
from spike_zoo.spikes.pixel_maps import MAPS, PixelMaps
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.utils.locks import file_version
from spike_zoo.utils.yaml_files import read_yaml

_ORIENTATION: Final = ("flip", "mirror", "rotate")


def sensor_facts(recording: SpikeRecording) -> dict[str, Any]:
    """Return size, filters and orientation of a recording, as far as they are known.

    Flip, mirror and rotate turned the planes of a ``.dat`` upright; of other files only the upright
    planes are known.
    """
    _, height, width = recording.shape
    facts: dict[str, Any] = {"height": height, "width": width}
    if recording.meta.get("source_format") == "dat":
        facts |= {
            "flip": bool(recording.meta.get("source_flipped")),
            "mirror": bool(recording.meta.get("source_mirrored")),
            "rotate": int(recording.meta.get("source_rotated", 0)),
        }
    return facts if recording.cfa is None else facts | {"cfa": recording.cfa}


def attach_maps(recording: SpikeRecording, camera: str | Path | None, source: Path) -> None:
    """Set the maps of a recording to those of a camera file; None leaves them as they are.

    The field ``maps`` of the file names the file of the maps beside it. Maps of recordings with
    another flip, mirror or rotation are turned. ``source`` is the file of the recording, for
    errors.

    Raises:
        MissingFileError: If a file does not exist.
        FormatError: If a file is not one of ``calibrate``, or the recording states other filters.
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
    maps = _read(path, file_version(path))
    sensor, facts = _sensor(content, camera), sensor_facts(recording)
    if sensor.keys() - facts.keys() >= set(_ORIENTATION):
        warnings.warn(
            f"{source}: does not state how its planes were turned; the maps of {camera} are right "
            "if recording and calibration have the same flip, mirror and rotate",
            stacklevel=2,
        )
    _check_filters(maps.gain.shape, sensor, facts, camera, source)
    maps = PixelMaps(**{name: _turned(getattr(maps, name), sensor, facts) for name in MAPS})
    try:
        recording.maps = maps
    except GeometryError as error:
        raise GeometryError.at(source, f"{path}: {error}") from error


@lru_cache(maxsize=4)
def _read(path: Path, version: tuple[int, ...]) -> PixelMaps:
    """Read maps once per version of the file; live views open a recording per image."""
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


def _sensor(content: Mapping[str, Any], camera: Path) -> dict[str, Any]:
    """Return what a camera file states of the recordings of the calibration."""
    sensor = content.get("sensor", {})
    facts = sensor if isinstance(sensor, dict) else {"cfa": sensor}
    if facts.get("rotate", 0) in ROTATIONS and facts.get("cfa", LAYOUTS[0]) in LAYOUTS:
        return facts
    raise FormatError.at(
        camera,
        f"sensor is {sensor!r}, expected flip, mirror, rotate (0, 90, 180 or 270) and cfa "
        f"({', '.join(LAYOUTS)}), as calibrate writes them",
    )


def _turned(
    array: NDArray[Any], sensor: Mapping[str, Any], facts: Mapping[str, Any]
) -> NDArray[Any]:
    """Turn an upright array of the calibration as the recording is, if both are known."""
    if not sensor.keys() & facts.keys() >= set(_ORIENTATION):
        return array
    stored = np.rot90(array, sensor["rotate"] // 90)
    stored = stored[:, ::-1] if sensor["mirror"] != facts["mirror"] else stored
    stored = stored[::-1] if sensor["flip"] != facts["flip"] else stored
    return np.rot90(stored, -facts["rotate"] // 90)


def _check_filters(
    size: tuple[int, ...],
    sensor: Mapping[str, Any],
    facts: Mapping[str, Any],
    camera: Path,
    source: Path,
) -> None:
    """Raise if camera and recording state filters that differ."""
    if "cfa" in sensor and "cfa" in facts:
        tile = np.array(list(sensor["cfa"])).reshape(2, 2)
        rows, columns = np.indices(size) % 2
        turned = "".join(_turned(tile[rows, columns], sensor, facts)[:2, :2].ravel())
        if turned != facts["cfa"]:
            raise FormatError.at(
                source,
                f"its colour filters are {facts['cfa']}, those of {camera} in this orientation "
                f"{turned}; correct the cfa of one of them",
            )
