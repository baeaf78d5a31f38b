"""``compress``: a recording as a bitstream, a fraction of its raw bits."""

from __future__ import annotations

from pathlib import Path

from spike_zoo.coding import BitstreamWriter, Header
from spike_zoo.coding.header import QUALITIES
from spike_zoo.errors import UsageError
from spike_zoo.files import refuse_existing
from spike_zoo.formats import read_recording
from spike_zoo.media.output import with_progress
from spike_zoo.methods.loading import load, pick_device
from spike_zoo.tasks.abilities import codec_of

SUFFIX = ".sci"


def compress(
    recording: str,
    *,
    out: str,
    method: str = "sci-small",
    quality: int = 2,
    gop: int = 8,
    rate_scale: float | None = None,
    height: int | None = None,
    width: int | None = None,
    name: str | None = None,
    device: str = "auto",
    trust: bool = False,
    overwrite: bool = False,
) -> None:
    """Turn a recording into a bitstream.

    What was compressed by a method is decompressed by the same weights.

    Args:
        recording: The recording: .dat, .npz, .npy, .h5 or .spl.
        out: X.sci.
        method: A shipped name, a checkpoint or an export folder of a method that compresses.
        quality: 0 to 3; 0 takes the fewest bits.
        gop: Frames of a group of pictures. Each is read without the others; long ones take fewer
            bits.
        rate_scale: Spikes per plane at white; by default what the recording says.
        height: Rows of a .dat file.
        width: Columns of a .dat file.
        name: Which recording of an archive.
        device: auto, cpu, cuda or mps.
        trust: Import the class that a checkpoint names though it is not of this package.
        overwrite: Replace a file that is there.
    """
    _check_numbers(quality=quality, gop=gop, rate_scale=rate_scale)
    target = _target(out, overwrite=overwrite)
    codec = codec_of(load(method, device=pick_device(device), trust=trust), f"--method {method}")
    source = read_recording(recording, name, height=height, width=width)
    header = codec.header(source, quality=quality, gop=gop, rate_scale=rate_scale)
    payloads = codec.compress_stream(source, quality=quality, gop=gop, rate_scale=rate_scale)
    with BitstreamWriter(target, header, overwrite=overwrite) as writer:
        for payload in with_progress(payloads, header.groups, "compressing"):
            writer.append(payload)
    print(f"bitstream: {target} ({_measured(header, writer.size)})")


def _check_numbers(*, quality: int, gop: int, rate_scale: float | None) -> None:
    if not 0 <= quality < QUALITIES:
        raise UsageError(f"--quality {quality}: it is 0 to {QUALITIES - 1}")
    if not 1 <= gop <= 0xFFFF:
        raise UsageError(f"--gop {gop}: a group of pictures has 1 to 65535 frames")
    if rate_scale is not None and not 0 < rate_scale < float("inf"):
        raise UsageError(f"--rate-scale {rate_scale:g}: spikes per plane at white are above 0")


def _target(out: str, *, overwrite: bool) -> Path:
    """Return where the bitstream goes, known to be free before any work is done."""
    if Path(out).suffix.lower() != SUFFIX:
        raise UsageError(f"--out {out}: a bitstream is named X{SUFFIX}")
    refuse_existing(Path(out), overwrite=overwrite)
    return Path(out)


def _measured(header: Header, size: int) -> str:
    """Return what a bitstream of so many bytes costs, in words."""
    rate = header.bits_per_pixel(size)
    saved = f"{1 - rate:.1%} saved" if rate <= 1 else f"{rate:.3g} x the raw bits"
    return (
        f"{header.frames} frames of {header.planes} planes, {size} bytes: {rate:.4g} bits per "
        f"pixel and plane, {8 * size / header.frames:.0f} bits per frame, {saved}"
    )
