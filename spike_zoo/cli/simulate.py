"""``simulate``: scenes and a spike camera make the default archive."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import h5py
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from spike_zoo.archive import SpikeArchive, build_archive
from spike_zoo.errors import ExistingFileError, UsageError
from spike_zoo.simulation import (
    NOISE_PRESETS,
    deblur_scenes,
    default_scenes,
    simulate_exposures,
    simulate_take,
)
from spike_zoo.simulation.deblurring import DEBLUR_PLANES, DEBLUR_SIMULATOR
from spike_zoo.simulation.shots import SHARP_IMAGES
from spike_zoo.simulation.takes import MARGIN, SIMULATOR

if TYPE_CHECKING:
    from collections.abc import Callable

    from spike_zoo.spikes import Take

    Job = Callable[[], Take]

Kind = Literal["reconstruction", "deblur"]
SPLITS: Final = ("train", "val", "test")

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
        size: Preset for the options below: "small" takes seconds, "default" a minute or two.
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
        jobs: Processes; 0 takes one per core.
        overwrite: Replace an archive made with other options.
    """
    options = {"train": train, "val": val, "test": test}
    options |= {"height": height, "width": width, "planes": planes}
    given = {name: value for name, value in options.items() if value is not None}
    values = SIZES[kind][size] | given
    _check(values, noise, jobs, 2 * MARGIN + 1 if kind == "reconstruction" else DEBLUR_PLANES)
    if kind == "reconstruction" and threshold is not None:
        raise UsageError("--threshold goes with --kind deblur")
    asked: dict[str, Any] = {"simulator": SIMULATOR, "seed": seed, "noise": noise, **values}
    if kind == "deblur":
        noise, threshold = noise or "ssdm-v1", threshold or 2
        asked |= {"simulator": DEBLUR_SIMULATOR, "noise": noise, "threshold": threshold}
    path, console = Path(out or OUT[kind]), Console(highlight=False, soft_wrap=True)
    if path.exists() and not overwrite:
        if _made_with(path) != asked:
            raise ExistingFileError(
                f"{path} exists and was not made with these options. Pass --overwrite true to "
                "replace it, or another name.",
                path=str(path),
            )
        console.print("Already made with the same options:")
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "deblur":
            takes = _exposures(values, seed, str(noise), float(threshold or 2))
        else:
            takes = _clips(values, seed, noise)
        _build(path, takes, jobs, json.dumps(asked), overwrite)
    _summarise(path, console)


def _check(values: dict[str, int], noise: str | None, jobs: int, planes: int) -> None:
    """Refuse options that cannot mean an archive, before any work."""
    for name, value in values.items():
        least = {"train": 0, "val": 0, "test": 0, "width": 0, "planes": planes}.get(name, 1)
        if value < least:
            raise UsageError(f"--{name} must be at least {least}, got {value}")
    if not any(values[split] for split in SPLITS):
        raise UsageError("an archive needs a scene: --train, --val and --test are all 0")
    if noise is not None and noise not in NOISE_PRESETS:
        raise UsageError(f"--noise must be one of {', '.join(NOISE_PRESETS)}, got {noise}")
    if jobs < 0:
        raise UsageError(f"--jobs must be 0 (one per core) or more, got {jobs}")


def _clips(values: dict[str, int], seed: int, noise: str | None) -> dict[str, dict[str, Job]]:
    """Return what makes the takes to reconstruct, by split and name."""
    options: dict[str, Any] = {"height": values["height"], "width": values["width"] or None}
    options |= {"planes": values["planes"], "noise": noise}
    return {
        split: {
            spec.name: functools.partial(simulate_take, spec)
            for spec in default_scenes(split, values[split], seed, **options)
        }
        for split in SPLITS
        if values[split]
    }


def _exposures(
    values: dict[str, int], seed: int, noise: str, threshold: float
) -> dict[str, dict[str, Job]]:
    """Return what makes the takes to deblur; those to train on need no sharp image."""
    options: dict[str, Any] = {name: values[name] for name in ("height", "width", "planes")}
    options |= {"noise": noise, "threshold": threshold}
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


def _build(
    path: Path, takes: dict[str, dict[str, Job]], jobs: int, generator: str, overwrite: bool
) -> None:
    """Make every take, in parallel, and write them with a progress bar."""
    calls = {name: job for named in takes.values() for name, job in named.items()}
    columns = TextColumn("scenes"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("scenes", total=len(calls))
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
