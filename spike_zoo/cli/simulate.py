"""Command ``simulate``: archives of simulated spike streams of scenes, videos and images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

import h5py

from spike_zoo.archive.build import build_archive
from spike_zoo.archive.reader import SpikeArchive
from spike_zoo.cli.console import echo
from spike_zoo.cli.options import NonNegativeInt, PositiveInt, SceneOptions
from spike_zoo.errors import ExistingFileError, MissingFileError, UsageError
from spike_zoo.media.output import progress_bar
from spike_zoo.utils.files import content_sha256

if TYPE_CHECKING:
    from spike_zoo.simulation.kinds.recipes import ArchiveRequest

_Clips = Literal["reconstruction", "colour", "conditions", "softness", "parallax"]
_Scenes = Literal[_Clips, "sequence", "deblur"]
_Images = Literal["labelled", "s-mnist", "s-cifar", "s-caltech", "s-vimeo"]
Kind = Literal[_Scenes, _Images]


def simulate(
    out: str | None = None,
    *,
    kind: Kind | None = None,
    size: Literal["small", "default", "paper"] = "default",
    seed: int = 0,
    video: str | None = None,
    interpolation: Literal["flow", "blend"] = "flow",
    inserted: PositiveInt = 7,
    images: str | None = None,
    jobs: NonNegativeInt = 0,
    cluster: str | None = None,
    overwrite: bool = False,
    **scene: Unpack[SceneOptions],
) -> None:
    """Render moving scenes, simulate a spike camera, and write spikes and images to an archive.

    The content depends only on the seed and the options, not on the number of processes. An
    existing archive that was made with the same options is kept.

    Args:
        out: The archive to write. Default: data/scenes.h5, or a name after the kind.
        kind: Kind of archive. "reconstruction" (default): clips with sharp images. "colour": the
            same with a Bayer sensor and colour images. "conditions": test scenes with graded light,
            speed, noise and defects. "softness": the same scenes with a lens blur of 0, 0.3 and 0.6
            pixels. "parallax": two to four layers at different depths before a moving, shaking
            camera. "sequence": clips at slow, medium and fast speed with 13 images and the optical
            flow between them. "deblur": exposures of 97 planes as in S-SDM,
            with a blurry colour image of four times the spikes' size, and seven sharp images for
            validation and test. "labelled": moving handwritten digits, or the images of --images,
            for classification. "s-mnist", "s-cifar", "s-caltech", "s-vimeo": the sets of these
            names, from their original files in --images.
        size: Preset for the options of scenes: "small" takes seconds, "default" some minutes;
            "paper", only with "sequence", has 2000 training clips and takes an hour or more.
        seed: Seed of all random values.
        video: Make exposures from sharp video instead of scenes, like S-SDM's GOPRO set: a video
            file, a folder of images, or a folder of these. A first folder named train, val or test
            is the split. Implies "deblur".
        interpolation: Interpolation of inserted frames: along the optical flow, or blended.
        inserted: Frames inserted between two frames of a video; with 7, 13 frames make 97 planes.
        images: Make recordings of photographs: a folder with one folder per class (with or
            without folders train, val and test), or with the files of a set. docs/data.md shows
            each layout.
        overwrite: Replace an archive made with other options.
    """
    given: dict[str, Any] = {name: value for name, value in scene.items() if value is not None}
    if video is None and (interpolation, inserted) != ("flow", 7):
        raise UsageError("--interpolation and --inserted go with --video")
    if video is not None and images is not None:
        raise UsageError("--images does not go with --video; leave it out")
    noise = given.get("noise", "")
    camera = noise if noise.endswith(".yaml") else None
    files = ("video", video, "video or folder"), ("images", images, "folder")
    for option, path, what in (*files, ("noise", camera, "camera file")):
        if path is not None and not (Path(path).is_file() or Path(path).is_dir()):
            raise MissingFileError(f"--{option} {path}: there is no such {what}", path=path)
    if noise:
        from spike_zoo.simulation.camera.noise import resolve_noise  # loads torch

        resolve_noise(noise)  # reads the file of a camera
    if video is None:
        request, default = _of_kind(kind or "reconstruction", images, size, seed, given)
    else:
        from spike_zoo.simulation.kinds.footage import Footage  # loads torch: after cheap checks
        from spike_zoo.simulation.kinds.recipes import RECIPES, footage_request

        _check_video_options(kind, size, given)
        threshold, noise = float(given.get("threshold", 2)), given.get("noise", "ssdm-v1")
        footage = Footage(inserted, interpolation, threshold, noise, seed)
        request, default = footage_request(video, footage), RECIPES["deblur"].out
    _make(Path(out or default), request, jobs, cluster, overwrite)


def _of_kind(
    kind: str, images: str | None, size: str, seed: int, given: Mapping[str, Any]
) -> tuple[ArchiveRequest, str]:
    """Return the request for an archive of scenes or images, and its default path."""
    from spike_zoo.simulation.datasets.image_sets import IMAGE_SETS, image_request
    from spike_zoo.simulation.kinds.recipes import RECIPES

    if images is None and kind in RECIPES:
        return RECIPES[kind].request(size, seed, given), RECIPES[kind].out
    if kind not in IMAGE_SETS:
        raise UsageError(f"--images goes with --kind {', '.join(IMAGE_SETS)}, not with {kind}")
    if size != "default":
        raise UsageError(
            f"--size {size} is for simulated scenes; limit images by --train, --val and --test"
        )
    request = image_request(kind, images, seed, given)
    return request, IMAGE_SETS[kind].out(Path(images or ""))


def _check_video_options(kind: str | None, size: str, given: Mapping[str, Any]) -> None:
    """Reject options of scenes or images, which have no effect on a video."""
    if kind not in (None, "deblur"):
        raise UsageError(f"--kind {kind}: a video becomes exposures to deblur; leave it out")
    names = [f"--{name}" for name in given if name not in ("threshold", "noise")]
    names += [] if size == "default" else [f"--size {size}"]
    if names:
        text = ", ".join(names)
        raise UsageError(f"{text}: a video has its own size, length and motion; leave it out")


def _make(
    path: Path, request: ArchiveRequest, jobs: int, cluster: str | None, overwrite: bool
) -> None:
    """Write the archive, unless it exists and was made with the same options."""
    noise = str(request.options.get("noise"))
    if noise.endswith(".yaml"):
        of_camera = {"noise_sha256": content_sha256([Path(noise)])}
        request = request._replace(options=request.options | of_camera)
    if path.exists() and not overwrite:
        if _made_with(path) != request.options:
            raise ExistingFileError(
                f"{path} exists and was not made with these options. Pass --overwrite to "
                "replace it, or another name.",
                path=str(path),
            )
        echo("Already made with the same options:")
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        takes = request.takes()
        with progress_bar("takes") as progress:
            build_archive(
                path,
                {name: job for named in takes.values() for name, job in named.items()},
                splits={split: list(named) for split, named in takes.items()},
                n_jobs=jobs,
                cluster=cluster,
                overwrite=overwrite,
                generator=json.dumps(request.options),
                label_names=request.label_names,
                progress=progress,
            )
    with SpikeArchive(path) as archive:
        counts = ", ".join(f"{split} {len(archive.names(split))}" for split in archive.splits())
    echo(f"{path}: {counts} recordings, {path.stat().st_size / 1e6:.1f} MB")


def _made_with(path: Path) -> dict[str, Any] | None:
    """Return the options of a simulated archive; None for other files."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            options = json.loads(str(file.attrs.get("generator", "")))
    except (OSError, ValueError):
        return None
    return options if isinstance(options, dict) else None
