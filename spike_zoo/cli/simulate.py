"""``simulate``: scenes and a spike camera make the default archive."""

from __future__ import annotations

import functools
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import h5py
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from spike_zoo.archive import SpikeArchive, build_archive
from spike_zoo.cli.footage import SPLITS, footage_takes
from spike_zoo.errors import ExistingFileError, UsageError
from spike_zoo.simulation import (
    NOISE_PRESETS,
    deblur_scenes,
    default_scenes,
    simulate_exposures,
    simulate_take,
)
from spike_zoo.simulation.deblurring import DEBLUR_PLANES, DEBLUR_SIMULATOR
from spike_zoo.simulation.exposure import SHARP_IMAGES
from spike_zoo.simulation.footage import FOOTAGE_SIMULATOR, Footage
from spike_zoo.simulation.takes import MARGIN, SIMULATOR

if TYPE_CHECKING:
    from collections.abc import Callable

    from spike_zoo.spikes import Take

    Job = Callable[[], Take]

Kind = Literal["reconstruction", "deblur"]
#: Kind, size -> what is made unless an option says otherwise; a width of 0 leaves it to the split.
SIZES: Final[dict[str, dict[str, dict[str, int]]]] = {
    "reconstruction": {
        "small": {"train": 10, "val": 2, "test": 3, "height": 96, "width": 96, "planes": 161},
        "default": {"train": 60, "val": 6, "test": 8, "height": 160, "width": 0, "planes": 201},
    },
    "deblur": {
        "small": {"train": 8, "val": 2, "test": 2, "height": 40, "width": 40, "planes": 137},
        "default": {"train": 60, "val": 6, "test": 8, "height": 96, "width": 96, "planes": 137},
    },
}
OUT: Final = {"reconstruction": "data/default.h5", "deblur": "data/deblur.h5"}


def simulate(
    out: str | None = None,
    *,
    kind: Kind = "reconstruction",
    size: Literal["small", "default"] = "default",
    seed: int = 0,
    train: int | None = None,
    val: int | None = None,
    test: int | None = None,
    height: int | None = None,
    width: int | None = None,
    planes: int | None = None,
    noise: str | None = None,
    threshold: Literal[2, 4, 8] | None = None,
    video: str | None = None,
    interpolation: Literal["flow", "blend"] = "flow",
    inserted: int = 7,
    split: Literal["train", "val", "test"] | None = None,
    jobs: int = 0,
    overwrite: bool = False,
) -> None:
    """Render moving scenes, let a spike camera see them, and write spikes and truth as an archive.

    The content depends on the seed and the options alone, not on how many processes made it. An
    archive that was made with the same options is left as it is.

    Args:
        out: The archive to write; data/default.h5 or data/deblur.h5 where not given.
        kind: "reconstruction" makes clips with sharp images; "deblur" exposures of 97 planes as
            S-SDM takes them, with a blurry colour image of four times the spikes' size, and seven
            sharp ones to validate and test with.
        size: Preset for the options below: "small" takes seconds, "default" some minutes.
        seed: Seed of everything.
        train: Number of training scenes.
        val: Number of validation scenes.
        test: Number of test scenes.
        height: Rows of a plane.
        width: Columns of a plane.
        planes: Planes of a scene; ground truth keeps 75 of them before and after it, an exposure
            20.
        noise: Noise of the camera in all scenes: none, indoor-v1, lowlight-v1 or ssdm-v1; without
            it every second scene to reconstruct has indoor-v1, and all to deblur ssdm-v1.
        threshold: Firing threshold of S-SDM's camera, of which 2, 4, 8 are the paper's 1, 2, 4;
            only with "deblur", 2 where not given.
        video: Make exposures of sharp video instead of scenes, as S-SDM's GOPRO set was made: a
            file, a folder of images, or a folder of such, where a first folder named train, val
            or test is the split. Implies "deblur".
        interpolation: How frames are inserted into a video: along the optical flow, or blended.
        inserted: Frames inserted between two of a video; 7 make 97 planes of 13 frames.
        split: Split of all exposures of the video.
        jobs: Processes; 0 takes one per core.
        overwrite: Replace an archive made with other options.
    """
    options = {"train": train, "val": val, "test": test}
    options |= {"height": height, "width": width, "planes": planes}
    given = {name: value for name, value in options.items() if value is not None}
    if jobs < 0:
        raise UsageError(f"--jobs must be 0 (one per core) or more, got {jobs}")
    if noise is not None and noise not in NOISE_PRESETS:
        raise UsageError(f"--noise must be one of {', '.join(NOISE_PRESETS)}, got {noise}")
    if video is None and (split, interpolation, inserted) != (None, "flow", 7):
        raise UsageError("--split, --interpolation and --inserted go with --video")
    if video is not None:
        kind = "deblur"
        _refuse_scene_options(given)
        footage = Footage(inserted, interpolation, float(threshold or 2), noise or "ssdm-v1", seed)
        plan = _video_plan(video, footage, split)
    elif kind == "deblur":
        plan = _exposure_plan(SIZES[kind][size] | given, seed, noise or "ssdm-v1", threshold or 2)
    else:
        if threshold is not None:
            raise UsageError("--threshold goes with --kind deblur")
        plan = _clip_plan(SIZES[kind][size] | given, seed, noise)
    _make(Path(out or OUT[kind]), plan, jobs, overwrite)


class Plan(NamedTuple):
    """What an archive is asked to be, and what makes its takes by split and name."""

    asked: dict[str, Any]
    takes: Callable[[], dict[str, dict[str, Job]]]


def _make(path: Path, plan: Plan, jobs: int, overwrite: bool) -> None:
    """Write the archive, unless it is there already."""
    console = Console(highlight=False, soft_wrap=True)
    if path.exists() and not overwrite:
        if _made_with(path) != plan.asked:
            raise ExistingFileError(
                f"{path} exists and was not made with these options. Pass --overwrite true to "
                "replace it, or another name.",
                path=str(path),
            )
        console.print("Already made with the same options:")
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        _build(path, plan.takes(), jobs, json.dumps(plan.asked), overwrite)
    _summarise(path, console)


def _clip_plan(values: dict[str, int], seed: int, noise: str | None) -> Plan:
    """Return what makes the takes to reconstruct."""
    _check(values, 2 * MARGIN + 1)
    options: dict[str, Any] = {"height": values["height"], "width": values["width"] or None}
    options |= {"planes": values["planes"], "noise": noise}

    def takes() -> dict[str, dict[str, Job]]:
        return {
            split: {
                spec.name: functools.partial(simulate_take, spec)
                for spec in default_scenes(split, values[split], seed, **options)
            }
            for split in SPLITS
            if values[split]
        }

    return Plan({"simulator": SIMULATOR, "seed": seed, "noise": noise, **values}, takes)


def _exposure_plan(values: dict[str, int], seed: int, noise: str, threshold: int) -> Plan:
    """Return what makes the takes to deblur; those to train on need no sharp image."""
    _check(values, DEBLUR_PLANES)
    options: dict[str, Any] = {name: values[name] for name in ("height", "width", "planes")}
    options |= {"noise": noise, "threshold": float(threshold)}

    def takes() -> dict[str, dict[str, Job]]:
        return {
            split: {
                spec.name: functools.partial(
                    simulate_exposures, spec, sharp=0 if split == "train" else SHARP_IMAGES
                )
                for spec in deblur_scenes(split, values[split], seed, **options)
            }
            for split in SPLITS
            if values[split]
        }

    asked = {"simulator": DEBLUR_SIMULATOR, "seed": seed, "noise": noise, **values}
    return Plan(asked | {"threshold": threshold}, takes)


def _video_plan(video: str, footage: Footage, split: str | None) -> Plan:
    """Return what makes the exposures of a video."""
    if footage.inserted < 1:
        raise UsageError(f"--inserted must be at least 1, got {footage.inserted}")
    found = footage_takes(video, footage, split)
    names = {home: list(named) for home, named in found.items()}
    asked = {"simulator": FOOTAGE_SIMULATOR, "video": Path(video).name, **asdict(footage)}
    return Plan(asked | {"takes": names}, lambda: found)


def _refuse_scene_options(given: dict[str, int]) -> None:
    if given:
        names = ", ".join(f"--{name}" for name in given)
        raise UsageError(f"{names}: a video has its own size and length; leave it out")


def _check(values: dict[str, int], planes: int) -> None:
    """Refuse options that cannot mean an archive, before any work."""
    for name, value in values.items():
        least = {"train": 0, "val": 0, "test": 0, "width": 0, "planes": planes}.get(name, 1)
        if value < least:
            raise UsageError(f"--{name} must be at least {least}, got {value}")
    if not any(values[split] for split in SPLITS):
        raise UsageError("an archive needs a scene: --train, --val and --test are all 0")


def _build(
    path: Path, takes: dict[str, dict[str, Job]], jobs: int, generator: str, overwrite: bool
) -> None:
    """Make every take, in parallel, and write them with a progress bar."""
    calls = {name: job for named in takes.values() for name, job in named.items()}
    columns = TextColumn("takes"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("takes", total=len(calls))
        build_archive(
            path,
            calls,
            splits={split: list(named) for split, named in takes.items()},
            n_jobs=jobs or -1,
            overwrite=overwrite,
            generator=generator,
            progress=lambda done, _: progress.update(task, completed=done),
        )


def _made_with(path: Path) -> dict[str, Any] | None:
    """Return the options an archive was simulated with; None if it was not, or is none."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            made = json.loads(str(file.attrs.get("generator", "")))
    except (OSError, ValueError):
        return None
    return made if isinstance(made, dict) else None


def _summarise(path: Path, console: Console) -> None:
    """Say where the archive is and what it holds."""
    with SpikeArchive(path) as archive:
        counts = ", ".join(f"{split} {len(archive.names(split))}" for split in archive.splits())
    console.print(f"{path}: {counts} recordings, {path.stat().st_size / 1e6:.1f} MB")
