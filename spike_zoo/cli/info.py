"""Command ``info``: facts of a recording, archive or bitstream from its header and a few planes."""

from collections.abc import Sequence
from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from spike_zoo.archive.reader import SpikeArchive
from spike_zoo.cli.archive import archive_info, readable_bytes
from spike_zoo.cli.options import DatSize
from spike_zoo.cli.weights_info import weights_facts, weights_lines
from spike_zoo.coding.chunks import mapped_file
from spike_zoo.coding.container import BitstreamReader
from spike_zoo.coding.header import QUALITIES, is_bitstream
from spike_zoo.coding.spl.codec import LosslessPlanes
from spike_zoo.coding.spl.header import LosslessHeader
from spike_zoo.errors import MissingGeometryError, UsageError, visible
from spike_zoo.formats.dat_sizes import StoredSize, ranked_sizes
from spike_zoo.formats.hdf5_recording import is_archive
from spike_zoo.formats.recording import detect_format, read_recording
from spike_zoo.formats.remote import local_path
from spike_zoo.spikes.packing import unpack_bits
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.utils.files import check_absent, shipped_weights, weights_file

_SAMPLED_PLANES = 64
_HEADER_FACTS = ("rate_scale", "quality", "gop", "groups", "frames", "window", "step", "channels")
#: Field of metadata -> label and text of its line, if it is true.
_TURNS = {
    "source_flipped": ("rows in file", "bottom to top"),
    "source_mirrored": ("columns in file", "right to left"),
}
_FORMATS = {"dat": "raw bits", "npz": "numpy", "npy": "numpy", "hdf5": "HDF5"}


def info(
    path: str,
    *,
    name: str | None = None,
    picture: str | None = None,
    overwrite: bool = False,
    json: bool = False,
    allow_partial: bool = False,
    **dat: Unpack[DatSize],
) -> int:
    """Show facts of a recording, archive, bitstream or weights, such as format and size.

    Bitstreams are not decoded. The exit code is 1 if a bitstream is damaged.

    Args:
        path: A .dat, .npz, .npy, .h5, .spl, .sci or .safetensors file, an .mp4 of compress, or the
            name of shipped weights, such as stir-aligned.
        name: Name of a recording in an archive of several, of an array in an .npz, or of the data
            set of spikes in an .h5 that is not an archive.
        picture: PNG file for images of a .dat file: in its most likely sizes and orientations if it
            states no size, else in all orientations. Each is labelled with its options.
    """
    options = {**dat, "allow_partial": allow_partial}
    path = path if path in shipped_weights() else str(local_path(path))
    weights = weights_file(path)
    if picture is not None:
        _check_picture(str(weights), picture, overwrite=overwrite)
    if weights.suffix == ".safetensors" and weights.is_file():
        facts, lines = weights_facts(path, weights), weights_lines
    elif is_bitstream(path):
        facts, lines = bitstream_facts(path), _bitstream_lines
    elif Path(path).suffix.lower() == ".mp4":
        facts, lines = video_facts(path), _video_lines
    elif weights.suffix == ".ckpt" and weights.is_file():
        raise UsageError(f"{path}: a checkpoint; export it, then run info on the exported file")
    elif (kind := detect_format(path)) == "spl":
        facts, lines = lossless_facts(path), _lossless_lines
    elif kind == "hdf5" and name is None and _is_archive_of_several(path):
        archive_info(path, json=json)
        return 0
    else:
        facts = _facts_with_picture(path, name, options, picture, overwrite=overwrite)
        lines = _recording_lines if "planes" in facts else _unknown_size_lines
    if json:
        print(dumps(facts, indent=2, default=str))
        return 1 if facts.get("errors") else 0
    kind_of_file, further = lines(facts)
    of_planes = _plane_lines(facts) if "planes" in facts else {}
    rows = {"file": f"{facts['path']} ({kind_of_file})", **of_planes, **further}
    for label, text in [*rows.items(), *(("damaged", each) for each in facts.get("errors", ()))]:
        print(visible(f"{label:<14} {text}"))
    return 1 if facts.get("errors") else 0


def _check_picture(path: str, picture: str, *, overwrite: bool) -> None:
    if is_bitstream(path) or Path(path).suffix.lower() == ".mp4" or detect_format(path) != "dat":
        raise UsageError(
            f"--picture {picture}: {path} states its size and orientation; the sheet compares "
            "those of a .dat file. For an image run reconstruct or decompress"
        )
    if Path(picture).suffix.lower() != ".png":
        raise UsageError(f"--picture {picture}: expected a file ending in .png")
    check_absent(Path(picture), overwrite=overwrite)


def _facts_with_picture(
    path: str, name: str | None, dat: dict[str, Any], picture: str | None, *, overwrite: bool
) -> dict[str, Any]:
    """Return the facts of a recording; write the sheet of its sizes or orientations."""
    try:
        recording = read_recording(path, name, **dat, check_rows=True)
        facts = recording_facts(recording, Path(path), detect_format(path))
        sizes: Sequence[StoredSize] = ()
    except MissingGeometryError:
        is_asked = picture is not None and dat.keys().isdisjoint(("height", "width"))
        sizes, is_recognised = ranked_sizes(Path(path)) if is_asked else ((), False)
        if not sizes:
            raise
        facts = {"path": path, "format": "dat", "bytes": Path(path).stat().st_size}
        facts["order"] = "the most likely size first" if is_recognised else "common sizes that fit"
    if picture is None:
        return facts
    from spike_zoo.pages import size_sheet  # loads torch

    if sizes:
        tiles = size_sheet.tiles_of_sizes(Path(path), sizes)
    else:
        stored = read_recording(path, **dat, **size_sheet.STORED)
        tiles = size_sheet.tiles_of_orientations(stored)
    size_sheet.write_sheet(tiles, Path(picture), overwrite=overwrite)
    return facts | {"picture": picture, "images": [str(tile) for tile in tiles]}


def _is_archive_of_several(path: str) -> bool:
    if not is_archive(path):
        return False
    with SpikeArchive(path) as archive:
        return len(archive) != 1


def _facts_of_planes(
    path: str | Path, kind: str, shape: tuple[int, int, int], fps: float | None, size: int
) -> dict[str, Any]:
    planes, height, width = shape
    facts: dict[str, Any] = {"path": str(path), "format": kind}
    facts |= {"planes": planes, "height": height, "width": width}
    facts |= {"fps": fps or None, "seconds": planes / fps if fps else None}
    return facts | {"bytes": size, "raw_bytes": -(-planes * height * width // 8)}


def recording_facts(recording: SpikeRecording, path: Path, kind: str) -> dict[str, Any]:
    """Return the facts of a recording, with its firing rate in at most 64 planes.

    In an array in Fortran order each plane is spread over the whole file, so that one is read.
    """
    planes, _, width = recording.shape
    is_spread = kind == "npy" and not np.load(path, mmap_mode="r").flags.c_contiguous
    count = 1 if is_spread else _SAMPLED_PLANES
    sampled = np.unique(np.linspace(0, planes - 1, count).astype(int))
    rates = [
        unpack_bits(recording.read_packed(plane, plane + 1), width).mean()
        for plane in sampled.tolist()
    ]
    return _facts_of_planes(path, kind, recording.shape, recording.fps, path.stat().st_size) | {
        "rate_scale": recording.rate_scale,
        "threshold": recording.threshold,
        "firing_rate": float(np.mean(rates)),
        "planes_sampled": len(rates),
        "meta": recording.meta,
    }


def bitstream_facts(path: str) -> dict[str, Any]:
    """Return the facts of an ``.sci`` bitstream and its damage; needs no weights."""
    reader = BitstreamReader(path, strict=False)
    header, lengths = reader.header, reader.payload_bytes()
    shape = header.planes, header.height, header.width
    return _facts_of_planes(path, "sci", shape, header.fps, reader.size) | {
        **{name: getattr(header, name) for name in _HEADER_FACTS},
        "digest": header.digest.hex(),
        "bpp": header.bits_per_pixel(reader.size),
        "bits_per_group": {k: 8 * length for k, length in lengths.items()},
        "errors": [str(error) for error in reader.errors],
    }


def video_facts(path: str) -> dict[str, Any]:
    """Return the facts of a video of ``compress``, without decoding."""
    from spike_zoo.media.coded_images import CodedImages

    description, size = CodedImages.read(path), Path(path).stat().st_size
    shape = description.planes, description.height, description.width
    facts = _facts_of_planes(path, "mp4", shape, description.fps, size)
    return {**asdict(description), **facts, "bpp": description.bits_per_pixel(size)}


def lossless_facts(path: str) -> dict[str, Any]:
    """Return the facts of a lossless bitstream and its damage, without decoding."""
    data = mapped_file(Path(path))
    header = LosslessHeader.parse(data, path)
    errors = LosslessPlanes(data, path, strict=False).errors
    shape = header.planes, header.height, header.width
    return _facts_of_planes(path, "spl", shape, header.fps, len(data)) | {
        "rate_scale": header.rate_scale,
        "threshold": header.threshold,
        "cfa": header.cfa,
        "bpp": header.bits_per_pixel(len(data)),
        "errors": [str(error) for error in errors],
    }


def _plane_lines(facts: dict[str, Any]) -> dict[str, str]:
    fps, seconds, scale = facts["fps"], facts["seconds"], facts["rate_scale"]
    lines = {
        "planes": f"{facts['planes']} of {facts['width']} x {facts['height']} pixels (W x H)",
        "fps": "unknown" if fps is None else f"{fps:g}",
        "duration": "unknown" if seconds is None else f"{seconds * 1000:.4g} ms",
        "rate scale": "unknown" if scale is None else f"{scale:g} spikes per plane at white",
    }
    if facts.get("threshold") is not None:
        lines["threshold"] = f"{facts['threshold']:g}"
    return lines


def _size_lines(facts: dict[str, Any]) -> dict[str, str]:
    """Return the size of a file, and its bit rate if it is coded, as labels and text."""
    size = (
        f"{readable_bytes(facts['bytes'])} ({facts['bytes'] / facts['raw_bytes']:.3g} x raw bits)"
    )
    rate = {"rate": f"{facts['bpp']:.4g} bits per pixel and plane"} if "bpp" in facts else {}
    return {"size": size, **rate}


def _recording_lines(facts: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """Return the kind of a recording, and its own facts as labels and text."""
    lines = _size_lines(facts)
    if facts["format"] == "hdf5":  # contains more than planes: no ratio to raw bits
        lines["size"] = readable_bytes(facts["bytes"])
    lines["firing rate"] = (
        f"{facts['firing_rate']:.4g} spikes per pixel and plane "
        f"({facts['planes_sampled']} planes of {facts['planes']})"
    )
    meta = facts["meta"]
    lines |= {text: value for key, (text, value) in _TURNS.items() if meta.get(key)}
    hidden = ("source_format", "source_rotated", *_TURNS)
    lines |= {key.replace("_", " "): str(meta[key]) for key in meta if key not in hidden}
    if meta.get("source_rotated"):
        lines["rotated"] = f"{meta['source_rotated']} degrees clockwise"
    return _FORMATS[facts["format"]], lines | _image_lines(facts)


def _unknown_size_lines(facts: dict[str, Any]) -> tuple[str, dict[str, str]]:
    lines = {"size": readable_bytes(facts["bytes"]), **_image_lines(facts)}
    return f"{_FORMATS[facts['format']]} of unknown size", lines


def _image_lines(facts: dict[str, Any]) -> dict[str, str]:
    """Return the path of the sheet, and the options of its images by their numbers."""
    lines = {str(number): text for number, text in enumerate(facts.get("images", ()), 1)}
    order = f" ({facts['order']})" if "order" in facts else ""
    return {"picture": f"{facts['picture']}{order}", **lines} if lines else {}


def _bitstream_lines(facts: dict[str, Any]) -> tuple[str, dict[str, str]]:
    bits = list(facts["bits_per_group"].values())
    mean = f"{min(bits)} to {max(bits)}, {np.mean(bits):.0f} on average" if bits else ""
    return "SCI bitstream", {
        "quality": f"{facts['quality']} of 0 to {QUALITIES - 1}",
        "features": f"{facts['frames']} of {facts['channels']} channels, each of "
        f"{facts['window']} planes, every {facts['step']} planes",
        "groups": f"{facts['groups']} of up to {facts['gop']} frames",
        **_size_lines(facts),
        "bits per group": mean or "no intact frame",
        "model": facts["digest"],
    }


def _video_lines(facts: dict[str, Any]) -> tuple[str, dict[str, str]]:
    last = facts["first"] + facts["stride"] * (facts["images"] - 1)
    weights = f"weights {facts['digest']}" if facts["digest"] else "no weights"
    images = f"{facts['images']}, planes {facts['first']} to {last}, every {facts['stride']} planes"
    lines = {"images": images, "method": f"{facts['method']} ({weights})", **_size_lines(facts)}
    return f"images coded by {facts['codec']}, crf {facts['crf']}", lines


def _lossless_lines(facts: dict[str, Any]) -> tuple[str, dict[str, str]]:
    cfa = {} if facts["cfa"] is None else {"cfa": facts["cfa"]}
    return "lossless bitstream", _size_lines(facts) | cfa
