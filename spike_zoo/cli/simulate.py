"""``simulate``: scenes and a spike camera make the default archive."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from rich.console import Console

from spike_zoo.cli.console import is_quiet
from spike_zoo.errors import ExistingFileError, MissingFileError, UsageError
from spike_zoo.executor import check_jobs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Unpack

    from spike_zoo.simulation.kinds.recipes import ArchiveRequest

Kind = Literal[
    "reconstruction",
    "colour",
    "conditions",
    "sequence",
    "deblur",
    "labelled",
    "s-mnist",
    "s-cifar",
    "s-caltech",
    "s-vimeo",
]


class SceneOptions(TypedDict, total=False):
    """Options of what is simulated; which of them a kind of archive has, the kind decides.

    Attributes:
        train: Number of training scenes; of "labelled" the images of each split.
        val: Number of validation scenes.
        test: Number of test scenes.
        height: Rows of a plane.
        width: Columns of a plane.
        planes: Planes of a scene.
        stride: Planes from one sharp image to the next; default 10, of a sequence 7, to deblur 16.
        margin: Planes kept before the first sharp image and after the last, default 75, of a
            sequence 6; to deblur before the exposure and after it, default 20.
        motion: Keep the motion from each sharp image to the one before it; by default only of
            sequences.
        flow_offset: Store the optical flow from each sharp image to the planes this many before and
            after it, at most the margin; STIR's key times are 20.
        noise: Noise of the camera in all scenes: none, indoor-v1, lowlight-v1 or ssdm-v1; without
            it every second scene has indoor-v1, and all to deblur ssdm-v1.
        training: What the scenes to train on are, to compare training data: all (the
            default), photographs, textures, unoccluded (no objects), slow (0.3 pixels a plane at
            most, not 1), faster (3), one-camera (a rate scale of 0.6, no noise), light-levels
            (rate scales of 0.05 to 1, no noise); only with "reconstruction".
        testing: What test scenes show: eight pictures at three speeds each (the default), or the
            three photographs that the committed results were measured with.
        cfa: Layout of the Bayer filters of "colour", by default RGGB.
        threshold: Firing threshold of S-SDM's camera, of which 2, 4, 8 are the paper's 1, 2, 4;
            only with "deblur", default 2.
        motions: Motions of each image to train on; default 4 of digits, 1 of --images.
        limit: Take at most so many of the pictures of each split, evenly from all classes.
        balanced: Of "s-mnist", draw so many images of each digit from the whole set to test on.
    """

    train: int | None
    val: int | None
    test: int | None
    height: int | None
    width: int | None
    planes: int | None
    stride: int | None
    margin: int | None
    motion: bool | None
    flow_offset: int | None
    noise: Literal["none", "indoor-v1", "lowlight-v1", "ssdm-v1"] | None
    training: (
        Literal[
            "all",
            "photographs",
            "textures",
            "unoccluded",
            "slow",
            "faster",
            "one-camera",
            "light-levels",
        ]
        | None
    )
    testing: Literal["eight", "three"] | None
    cfa: Literal["RGGB", "BGGR", "GRBG", "GBRG"] | None
    threshold: Literal[2, 4, 8] | None
    motions: int | None
    limit: int | None
    balanced: int | None


def simulate(
    out: str | None = None,
    *,
    kind: Kind | None = None,
    size: Literal["small", "default", "paper"] = "default",
    seed: int = 0,
    video: str | None = None,
    interpolation: Literal["flow", "blend"] = "flow",
    inserted: int = 7,
    split: Literal["train", "val", "test"] | None = None,
    images: str | None = None,
    jobs: int = 0,
    cluster: str | None = None,
    overwrite: bool = False,
    **scene: Unpack[SceneOptions],
) -> None:
    """Render moving scenes, simulate a spike camera, and write spikes and images to an archive.

    The content depends on the seed and the options alone, not on how many processes made it. An
    archive that was made with the same options is left as it is.

    Args:
        out: The archive to write, by default data/scenes.h5, or named after the kind.
        kind: "reconstruction", the default, makes clips with sharp images; "colour" the same with a
            Bayer sensor and images in colour; "conditions" test scenes under graded light, speed,
            noise and defects; "sequence" clips at slow, medium and fast paces with 13 images and
            the motion between them; "deblur" exposures of 97 planes as S-SDM takes them, with a
            blurry colour image of four times the spikes' size, and seven sharp ones to validate
            and test with; "labelled" handwritten digits in motion, to recognise, or the pictures
            of --images; "s-mnist", "s-cifar", "s-caltech" and "s-vimeo" the sets of that name,
            from their usual files in --images.
        size: Preset for the options of scenes: "small" takes seconds, "default" some minutes;
            "paper", only with "sequence", has 2000 clips to train on and takes an hour or more.
        seed: Seed of everything.
        video: Make exposures of sharp video instead of scenes, as S-SDM's GOPRO set was made: a
            file, a folder of images, or a folder of such, where a first folder named train, val
            or test is the split. Implies "deblur".
        interpolation: How frames are inserted into a video: along the optical flow, or blended.
        inserted: Frames inserted between two of a video; 7 make 97 planes of 13 frames.
        split: Split of all exposures of the video.
        images: Make recordings of pictures: a folder with a folder for each class (in folders
            train, val, test or without), or with the files of the set; docs/data.md shows each.
        jobs: Processes; 0 takes one per core.
        cluster: Dask cluster instead: tcp://HOST:PORT, its scheduler file, or slurm:FILE.yaml.
        overwrite: Replace an archive made with other options.
    """
    given: dict[str, Any] = {name: one for name, one in scene.items() if one is not None}
    if video is None and (split, interpolation, inserted) != (None, "flow", 7):
        raise UsageError("--split, --interpolation and --inserted go with --video")
    if video is not None and (images is not None or {"limit", "balanced"} & given.keys()):
        raise UsageError("--images, --limit and --balanced make another archive than --video")
    _check_inputs(jobs, video, images)
    if video is None:
        request, default = _of_kind(kind or "reconstruction", images, size, seed, given)
    else:
        from spike_zoo.simulation.kinds.footage import Footage  # loads torch: after cheap checks
        from spike_zoo.simulation.kinds.recipes import RECIPES, footage_request

        _check_video_options(kind, size, given)
        threshold, noise = float(given.get("threshold", 2)), given.get("noise", "ssdm-v1")
        footage = Footage(inserted, interpolation, threshold, noise, seed)
        request, default = footage_request(video, footage, split), RECIPES["deblur"].out
    _make(Path(out or default), request, jobs, cluster, overwrite)


def _of_kind(
    kind: str, images: str | None, size: str, seed: int, given: Mapping[str, Any]
) -> tuple[ArchiveRequest, str]:
    """Return what makes an archive of scenes or pictures, and the archive written by default."""
    from spike_zoo.simulation.datasets.picture_sets import PICTURE_SETS, picture_request
    from spike_zoo.simulation.kinds.recipes import RECIPES

    if images is None and kind in RECIPES:
        if "limit" in given or "balanced" in given:
            raise UsageError("--limit and --balanced go with --images")
        return RECIPES[kind].request(size, seed, given), RECIPES[kind].out
    if kind not in PICTURE_SETS:
        raise UsageError(f"--images goes with --kind {', '.join(PICTURE_SETS)}, not with {kind}")
    if size != "default":
        raise UsageError(f"--size {size} is one of simulated scenes; --limit takes fewer pictures")
    request = picture_request(kind, images, seed, given)
    return request, PICTURE_SETS[kind].out(Path(images or ""))


def _check_inputs(jobs: int, video: str | None, images: str | None) -> None:
    """Check what needs no library: the number of processes and that inputs exist."""
    check_jobs(jobs)
    for option, path, kind in (("video", video, "video or folder"), ("images", images, "folder")):
        if path is not None and not Path(path).exists():
            raise MissingFileError(f"--{option} {path}: there is no such {kind}", path=path)


def _check_video_options(kind: str | None, size: str, given: Mapping[str, Any]) -> None:
    """Reject options of scenes or pictures: they would have no effect."""
    if kind not in (None, "deblur"):
        raise UsageError(f"--kind {kind}: a video becomes exposures to deblur; leave it out")
    names = [f"--{name}" for name in given if name not in ("threshold", "noise")]
    names += [] if size == "default" else [f"--size {size}"]
    if names:
        listed = ", ".join(names)
        raise UsageError(f"{listed}: a video has its own size, length and motion; leave it out")


def _make(
    path: Path, request: ArchiveRequest, jobs: int, cluster: str | None, overwrite: bool
) -> None:
    """Write the archive, unless it is there already."""
    from spike_zoo.cli.archive import build_with_bar

    console = Console(highlight=False, soft_wrap=True, quiet=is_quiet())
    if path.exists() and not overwrite:
        if _made_with(path) != request.asked:
            raise ExistingFileError(
                f"{path} exists and was not made with these options. Pass --overwrite true to "
                "replace it, or another name.",
                path=str(path),
            )
        console.print("Already made with the same options:")
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        takes = request.takes()
        build_with_bar(
            path,
            {name: job for named in takes.values() for name, job in named.items()},
            splits={split: list(named) for split, named in takes.items()},
            n_jobs=jobs or -1,
            cluster=cluster,
            overwrite=overwrite,
            generator=json.dumps(request.asked),
            label_names=request.label_names,
        )
    _summarise(path, console)


def _made_with(path: Path) -> dict[str, Any] | None:
    """Return the options an archive was simulated with; None if it was not simulated."""
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
            made = json.loads(str(file.attrs.get("generator", "")))
    except (OSError, ValueError):
        return None
    return made if isinstance(made, dict) else None


def _summarise(path: Path, console: Console) -> None:
    """Print where the archive is and what it holds."""
    from spike_zoo.archive import SpikeArchive

    with SpikeArchive(path) as archive:
        counts = ", ".join(f"{split} {len(archive.names(split))}" for split in archive.splits())
    console.print(f"{path}: {counts} recordings, {path.stat().st_size / 1e6:.1f} MB")
