"""``reconstruct``: a recording as a picture, a folder of pictures or a video."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import spike_zoo
from spike_zoo.cli.output import Kind, check_target, kind_of, new_folder, with_progress
from spike_zoo.errors import UsageError
from spike_zoo.media import VideoWriter, save_picture
from spike_zoo.methods.base import ReconstructionModule
from spike_zoo.methods.loading import pick_device
from spike_zoo.spikes import centers_with_stride

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from spike_zoo.spikes import SpikeRecording


def reconstruct(
    recording: str,
    *,
    out: str,
    method: str = "tfi",
    center: int | None = None,
    stride: int = 20,
    window: int | None = None,
    average: int | None = None,
    fps: float = 25.0,
    rate_scale: float | None = None,
    height: int | None = None,
    width: int | None = None,
    name: str | None = None,
    device: str = "auto",
    precision: Literal["32", "bf16"] | None = None,
    tile: int | None = None,
    overwrite: bool = False,
) -> None:
    """Turn a recording into a picture, a folder of pictures or a video.

    Args:
        recording: The recording: .dat, .npz, .npy or .h5.
        out: X.mp4 for a video, X.png for one picture, else a folder that gets one PNG per plane.
        method: tfi, tfp, tfstp, a shipped name (stir-small), a checkpoint or an export folder.
        center: The plane to show in one picture, counted from 0; the middle one where not given.
        stride: Planes from one image to the next in a video or folder.
        window: Planes that tfp averages; 41 where not given.
        average: Planes over which tfi is averaged; 1 where not given, 9 to 21 look best.
        fps: Images per second in a video.
        rate_scale: Spikes per plane at white; what the recording says where not given.
        height: Rows of a .dat file.
        width: Columns of a .dat file.
        name: Which recording of an archive.
        device: auto, cpu, cuda or mps.
        precision: bf16 is faster where the processor has it; 32 is exact. For learned methods.
        tile: Largest side of what is computed at once, for large sensors; 0 is the whole frame.
        overwrite: Replace files that are there.
    """
    target = Path(out)
    kind = kind_of(out)
    _check_numbers(stride=stride, fps=fps, rate_scale=rate_scale)
    check_target(target, kind, overwrite=overwrite)
    module = _load_method(method, pick_device(device), window=window, average=average)
    _set_picture_options(module, method, precision=precision, tile=tile)
    source = spike_zoo.read_recording(recording, name, height=height, width=width)
    centers = _choose_centers(len(source), kind, center, stride)
    images = _begin(module, source, centers, rate_scale)
    if kind == "picture":
        save_picture(next(images), target, overwrite=overwrite)
        print(f"picture: {target} (plane {centers[0]} of {len(source)})")
        return
    shown = with_progress(images, len(centers), "reconstructing")
    if kind == "video":
        with VideoWriter(target, fps, overwrite=overwrite) as video:
            for image in shown:
                video.write(image)
        print(f"video: {target} ({len(centers)} images, {fps:g} a second)")
        return
    with new_folder(target) as folder:
        for plane, image in zip(centers, shown, strict=True):
            save_picture(image, folder / f"{Path(recording).stem}-{plane:06d}.png")
    print(f"pictures: {target} ({len(centers)} files)")


def _check_numbers(*, stride: int, fps: float, rate_scale: float | None) -> None:
    if stride < 1:
        raise UsageError(f"--stride {stride}: from one image to the next is at least 1 plane")
    if not 0 < fps <= 1000:
        raise UsageError(f"--fps {fps:g}: a video has above 0 and up to 1000 images a second")
    if rate_scale is not None and not 0 < rate_scale < float("inf"):
        raise UsageError(f"--rate-scale {rate_scale:g}: spikes per plane at white are above 0")


def _load_method(method: str, device: str, **settings: int | None) -> ReconstructionModule:
    """Load a method and change the settings that were given, where it has them."""
    module = spike_zoo.load(method, device=device)
    if not isinstance(module, ReconstructionModule):
        raise UsageError(f"--method {method}: {type(module).__name__} does not make pictures")
    given = {option: value for option, value in settings.items() if value is not None}
    if not given:
        return module
    is_learned = next(module.parameters(), None) is not None
    for option, value in given.items():
        if is_learned or option not in module.hparams:
            raise UsageError(f"--{option} {value}: method {method} has no such setting to change")
    arguments: dict[str, Any] = {**module.hparams, **given}
    try:
        return type(module)(**arguments).to(device).eval()
    except ValueError as error:
        raise UsageError(f"--method {method}: {error}") from error


def _set_picture_options(
    module: ReconstructionModule, method: str, **options: str | int | None
) -> None:
    """Say how pictures are computed, where the method has a choice."""
    for option, value in options.items():
        if value is None:
            continue
        if option not in module.picture_options:
            raise UsageError(f"--{option} {value}: method {method} has no such choice")
        try:
            setattr(module, option, value)
        except ValueError as error:
            raise UsageError(f"--{option} {value}: {error}") from error


def _choose_centers(planes: int, kind: Kind, center: int | None, stride: int) -> list[int]:
    if kind == "picture":
        center = planes // 2 if center is None else center
        if not 0 <= center < planes:
            raise UsageError(f"--center {center}: the recording has planes 0..{planes - 1}")
        return [center]
    if center is not None:
        raise UsageError(
            f"--center {center} makes one picture: give --out X.png, or leave --center out"
        )
    return centers_with_stride(planes, stride)


def _begin(
    module: ReconstructionModule,
    recording: SpikeRecording,
    centers: list[int],
    rate_scale: float | None,
) -> Iterator[Tensor]:
    """Begin to reconstruct, and tell a missing rate scale as a plain line."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        images = module.reconstruct_stream(recording, centers, rate_scale=rate_scale)
    for warning in caught:
        print(f"warning: {warning.message}", file=sys.stderr)
    return images
