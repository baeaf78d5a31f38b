"""Command ``reconstruct``: a recording as an image, a folder of images or a video."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from spike_zoo.checkpoints.published import check_method, split_settings
from spike_zoo.cli.batch import for_each_recording
from spike_zoo.cli.console import echo, report_clipping, warn_of_filters
from spike_zoo.cli.inputs import (
    SharedWork,
    chosen_rate_scale,
    load_method,
    recording_source,
    report_lacking,
)
from spike_zoo.cli.options import DatOptions, NonNegativeInt, PositiveInt, Softness
from spike_zoo.errors import UsageError
from spike_zoo.formats.remote import stem_of
from spike_zoo.media.clipping import ClippedPixels
from spike_zoo.media.output import Kind, Target
from spike_zoo.media.sharpening import sharpened
from spike_zoo.media.white_balance import WhiteBalance
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.spikes.windows import centers_inside, check_span
from spike_zoo.tasks.protocols import Reconstructs, adjusted, margin_of, require_ability

if TYPE_CHECKING:
    from torch import Tensor

STRIDE = 20
_BUDGET = 60.0  # seconds that the default method may take for all images, on one core
_FUSED_SECONDS, _COLOUR_SECONDS = 3e-6, 8e-6  # per pixel, of fused and of tfi-aligned-colour


@for_each_recording
def reconstruct(
    recording: str,
    *,
    out: str,
    method: str | None = None,
    center: int | None = None,
    stride: PositiveInt | None = None,
    start: int | None = None,
    stop: int | None = None,
    window: PositiveInt | None = None,
    average: PositiveInt | None = None,
    fps: float | None = None,
    rate_scale: float | str = "auto",
    white_balance: str | None = None,
    black_level: float = 0.0,
    sharpen: Softness | None = None,
    name: str | None = None,
    device: str = "auto",
    precision: Literal["32", "bf16"] | None = None,
    tile: NonNegativeInt | None = None,
    trust: bool = False,
    overwrite: bool = False,
    jobs: NonNegativeInt = 0,
    cluster: str | None = None,
    **dat: Unpack[DatOptions],
) -> None:
    """Reconstruct an image, a folder of images or a video from a recording.

    A folder, a pattern, or an archive with a pattern of names processes several recordings
    independently; results of the same input and options are kept.

    Args:
        out: X.mp4 for a video, X.png for one image, else a folder for one PNG per image. For
            several recordings a path with {name}, such as results/{name}.mp4.
        method: tfi, tfp, tfstp, tfi-aligned, a shipped name (fused, stir-aligned), a checkpoint or
            an export folder; with settings as in tfi-aligned:window=33. Default: fused, if it takes
            at most about a minute for all images on one core; else tfi averaged over 9 planes.
            For a sensor with Bayer filters (--cfa): tfi-aligned-colour or tfi-colour by default;
            also tfp-colour and ssl-csc.
        center: Plane of a single image, counted from 0. Default: the middle of the planes from
            start to stop.
        stride: Planes from one image to the next in a video or folder. Default: 20.
        start: Plane of the first image. Default: the first one around which the recording has all
            planes that the method uses; for an image 0.
        stop: Plane after the last image. Default: as for start; for an image the end.
        window: Planes that tfp averages. Default: 41.
        fps: Images per second in a video. Default: 25.
        average: Planes over which tfi is averaged. Default: 1; values of 9 to 21 look best.
        white_balance: Gains of red, green and blue for colour images, such as 1.8,1,1.4; or
            grey-world for equal means of the channels.
        black_level: Value of colour images that becomes black, 0 to 1.
        sharpen: Remove the blur of a lens, a Gaussian of this standard deviation in pixels, at most
            2, by a Wiener filter. A value that is too large amplifies noise. Default: off.
        name: Name of the recording in an archive; a pattern such as 'test-*' or '*' selects
            several.
        precision: Precision of learned methods. 32 is exact. bf16 is faster on processors with
            fast bf16, where it is the default.
        tile: Largest side of the tiles that are computed one after another, to save memory for
            large sensors; 0: the whole plane.
        jobs: Number of processes for several recordings; 0: one per core. For a video or folder of
            one recording, 2 or more processes share its images.
    """
    source = recording_source(recording, name, dat, rate_scale)
    target = Target.of(out, fps=fps, overwrite=overwrite)
    if method is not None:
        check_method(method)
    opened = source.open(check_rows=True)
    span = start, stop
    choose = functools.partial(_choose_centers, source.label, len(opened), target.kind)
    centers = choose(center, stride, span)
    if method is None:
        method, average = _default_method(opened, len(centers), window, average)
    settings = {"window": window, "average": average, "tile": tile, "precision": precision}
    prepare = functools.partial(_prepared, method, device, trust=trust, **settings)
    module = prepare()
    margin = margin_of(module)
    centers = choose(center, stride, span, margin)
    is_short = 2 * margin >= len(opened) and target.kind != "image"
    if is_short or (center, *span) != (None, None, None):
        report_lacking(centers, len(opened), margin)
    if getattr(module, "channels", 1) == 1:
        if white_balance is not None or black_level:
            raise UsageError(
                f"--white-balance and --black-level are for colour; {method} is grey. Give --cfa "
                "RGGB, BGGR, GRBG or GBRG, or leave --method out"
            )
        warn_of_filters(opened, method)
    scale = chosen_rate_scale(opened, module)
    clipped = ClippedPixels(scale)
    is_single = target.kind == "image"
    work = SharedWork(source, 1 if is_single else jobs, None if is_single else cluster)
    images = clipped.counted(work.images(prepare, opened, centers, scale, module))
    if sharpen is not None:
        images = (sharpened(image, sharpen) for image in images)
    if white_balance is not None or black_level:
        balance = WhiteBalance.of(white_balance, black_level, opened, scale)
        echo(f"white balance: {balance}", sys.stderr)
        images = map(balance, images)
    echo(_write(target, Path(name or stem_of(recording)).name, centers, images, len(opened)))
    report_clipping(clipped)


def _write(
    target: Target, stem: str, centers: Sequence[int], images: Iterable[Tensor], planes: int
) -> str:
    """Write the images, named after recording and plane; return a line with the path."""
    detail = f"planes {centers[0]} to {centers[-1]}"
    if len(centers) > 1:
        detail += f", every {centers[1] - centers[0]}"
    if target.kind == "image":
        detail = f"plane {centers[0]} of {planes}"
    named = ((f"{stem}-{plane:06d}", image) for plane, image in zip(centers, images, strict=True))
    return target.write(named, count=len(centers), detail=detail, doing="reconstructing")


def _prepared(method: str, device: str, *, trust: bool, **settings: Any) -> Reconstructs:
    """Load a method and apply its settings; None is a setting that is not given."""
    own = {name: settings[name] for name in ("window", "average") if settings[name] is not None}
    option = f"--method {method}"
    for twice in own.keys() & split_settings(method)[1].keys():
        raise UsageError(f"{option} and --{twice} {own[twice]} state it twice; leave one out")
    module = adjusted(load_method(method, device, trust=trust), own, option)
    module = require_ability(module, Reconstructs, option)
    precision = settings["precision"]
    if "precision" in module.inference_options:
        precision = _chosen_precision(precision)
    for option, value in (("precision", precision), ("tile", settings["tile"])):
        if value is None:
            continue
        if option not in module.inference_options:
            raise UsageError(f"--{option} {value}: method {method} has no such option")
        try:
            setattr(module, option, value)
        except ValueError as error:
            raise UsageError(f"--{option} {value}: {error}") from error
    return module


def _default_method(
    source: SpikeRecording, images: int, window: int | None, average: int | None
) -> tuple[str, int | None]:
    """Return the default method for a number of images, and the planes to average of tfi.

    ``window`` selects tfp and ``average`` selects tfi, regardless of the time.
    """
    suffix, best, per_pixel = "", "fused", _FUSED_SECONDS
    if source.cfa is not None:
        suffix, best, per_pixel = "-colour", "tfi-aligned-colour", _COLOUR_SECONDS
    if window is not None or average is not None:
        return f"{'tfp' if average is None else 'tfi'}{suffix}", average
    seconds = images * source.shape[1] * source.shape[2] * per_pixel
    if seconds <= _BUDGET:
        about = f", about {seconds:.0f} s on one core" if seconds >= 1 else ""
        echo(f"method: {best}{about}", sys.stderr)
        return best, None
    echo(
        f"method: tfi{suffix}, mean of 9 planes: {best} would take about {seconds:.0f} s; "
        "--method selects it",
        sys.stderr,
    )
    return f"tfi{suffix}", 9


def _chosen_precision(precision: Literal["32", "bf16"] | None) -> Literal["32", "bf16"]:
    """Return the given precision, by default bf16 if this machine computes bf16 fast, else 32."""
    from spike_zoo.nn.precision import has_fast_bf16

    is_fast = has_fast_bf16()
    if precision is None and is_fast:
        echo("precision: bf16; --precision 32 is exact", sys.stderr)
        return "bf16"
    if precision == "bf16" and not is_fast:
        echo("warning: --precision bf16: slower than 32 on this machine", sys.stderr)
    return precision or "32"


def _choose_centers(
    recording: str,
    planes: int,
    kind: Kind,
    center: int | None,
    stride: int | None,
    span: tuple[int | None, int | None],
    margin: int = 0,
) -> list[int]:
    """Return the planes of the images, from the options center, start, stop and stride."""
    check_span(recording, planes, *span)
    if kind != "image":
        if center is None:
            return centers_inside(planes, stride or STRIDE, margin, *span)
        raise UsageError(
            f"--center {center} makes one image: give --out X.png, or leave --center out"
        )
    if stride is not None:
        raise UsageError(
            f"--stride {stride} makes several images: give a folder or X.mp4, or leave it out"
        )
    if center is None:
        return [((span[0] or 0) + (planes if span[1] is None else span[1])) // 2]
    if span != (None, None):
        raise UsageError(
            f"--center {center} with --start or --stop: give the plane, or the range whose middle "
            "is shown"
        )
    if not 0 <= center < planes:
        raise UsageError(f"{recording}: --center {center}: it has planes 0..{planes - 1}")
    return [center]
