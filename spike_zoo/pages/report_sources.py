"""Report of any source: a recording, an archive, a folder of runs or a bitstream."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spike_zoo.archive.reader import SpikeArchive
from spike_zoo.coding.header import is_bitstream
from spike_zoo.errors import MissingFileError, SpikeZooError, UsageError
from spike_zoo.formats.hdf5_recording import is_archive
from spike_zoo.formats.recording import RECORDING_SUFFIXES, RecordingSource, detect_format
from spike_zoo.media.page import Page
from spike_zoo.pages.bitstream import add_rates, bitstream_page
from spike_zoo.pages.choices import Choices
from spike_zoo.pages.methods import DEFAULTS, LabelledMethod, load_methods
from spike_zoo.pages.scene import (
    ReportScene,
    add_facts,
    add_spikes,
    recordings_to_show,
    scene_of_archive,
    scene_of_file,
)
from spike_zoo.utils.files import entries_below

if TYPE_CHECKING:
    from spike_zoo.tables.runs import RecordedRun


def report_of(source: Path, choices: Choices) -> Page:
    """Return the report of a recording, an archive, a bitstream, or a folder of runs."""
    heading = source.resolve().name
    if source.is_dir():
        _check_not_of_file(choices, "runs")
        return _report_of_runs(source, heading, choices)
    if not source.exists():
        raise MissingFileError.at(source, "there is no such file or folder")
    if is_bitstream(source):
        _check_not_of_file(choices, "a bitstream")
        return bitstream_page(source, heading, choices)
    if detect_format(source) == "hdf5" and is_archive(source):
        _check_not_of_file(choices, "an archive")
        return _page_of_archive(source, heading, choices)
    name = choices.name[0] if choices.name else None
    recording = RecordingSource(source, name, choices.dat).open(check_rows=True)
    scene = scene_of_file(source.name, recording, choices)
    _check_center(scene, choices)
    page = Page(heading, "A spike recording: one bit per pixel and plane, and its reconstructions.")
    _add_scene(page, scene, _load_methods(choices, scene), choices)
    _add_next_steps(page, source, choices, name, colour=recording.cfa is not None)
    return page


def _check_not_of_file(choices: Choices, source: str) -> None:
    """Raise for options of a file of one recording, which other sources do not use."""
    options = {"start": choices.start or None, "stop": choices.stop, "truth": choices.truth}
    for option, value in options.items():
        if value is not None:
            raise UsageError(f"--{option} {value}: does not apply to {source}")


def _page_of_archive(source: Path, heading: str, choices: Choices) -> Page:
    with SpikeArchive(source) as archive:
        names = recordings_to_show(archive, choices)
        if not names:
            raise UsageError(f"{source}: --scenes {choices.scenes} of {len(archive)} recordings")
        page = Page(heading, f"{len(names)} of {len(archive)} recordings: {', '.join(names)}")
        scenes = [
            scene_of_archive(archive, name, choices.dat) for name in names
        ]  # check the names before long computations
        for scene in scenes:
            _check_center(scene, choices)
        methods = _load_methods(choices, scenes[0])
        for scene in scenes:
            _add_scene(page, scene, methods, choices, named=len(names) > 1)
    has_filters = scenes[0].recording.cfa is not None
    _add_next_steps(page, source, choices, names[0], colour=has_filters)
    return page


def _report_of_runs(source: Path, heading: str, choices: Choices) -> Page:
    from spike_zoo.pages.runs import add_places, find_runs, runs_page

    try:
        runs = find_runs(source)
    except MissingFileError as error:
        files = (file for file in entries_below(source) if file.suffix in RECORDING_SUFFIXES)
        if (file := next(files, None)) is None:
            raise
        raise UsageError(
            f"{source}: a folder of recordings, not of runs; a report shows one, such as {file}"
        ) from error
    page = runs_page(source, heading, runs)
    if choices.scenes:
        _add_best(page, runs, choices)
    add_places(page, runs)
    checkpoints = [run.result.checkpoint for run in reversed(runs) if run.result.checkpoint]
    _add_next_steps_of_runs(page, next(iter(checkpoints), None))
    return page


def _add_best(page: Page, runs: Sequence[RecordedRun], choices: Choices) -> None:
    """Add test scenes, reconstructed by the best run that has a checkpoint."""
    from spike_zoo.checkpoints.loading import pick_device

    choices = replace(choices, device=pick_device(choices.device))
    for run in reversed(runs):
        checkpoint = Path(run.folder or "", "checkpoints", "best.ckpt")
        archive = Path(str(run.data.get("archive", "")))
        if checkpoint.is_file() and archive.is_file():
            break
    else:
        return
    with SpikeArchive(archive) as opened:
        for name in recordings_to_show(opened, choices, run.test_split or "test"):
            scene = scene_of_archive(opened, name, choices.dat)
            _check_center(scene, choices)
            page.add_section(name, f"A recording of the test split, computed with {checkpoint}.")
            with_run = replace(choices, deblurring=str(checkpoint))
            if not scene.exposures:
                others = choices.methods or DEFAULTS
                limits = choices.limits_slow or not choices.methods
                with_run = replace(choices, methods=(*others, str(checkpoint)), limits_slow=limits)
            try:
                methods = _load_methods(with_run, scene)
            except SpikeZooError as error:
                page.add_warning(f"Not shown: {error}")
                return
            _add_scene(page, scene, methods, with_run)


def _add_scene(
    page: Page,
    scene: ReportScene,
    methods: Sequence[LabelledMethod],
    choices: Choices,
    *,
    named: bool = False,
) -> None:
    from spike_zoo.pages.flow import add_flow
    from spike_zoo.pages.images import add_deblurring, add_images

    if named:
        page.add_section(scene.name)
    add_facts(page, scene)
    add_deblurring(page, scene, choices)
    images = add_images(page, scene, methods, choices)
    add_flow(page, scene, methods, images, choices)
    add_spikes(page, scene, choices)
    if choices.rates:
        add_rates(page, scene, choices)


def _check_center(scene: ReportScene, choices: Choices) -> None:
    if choices.center is not None and choices.center not in scene.planes:
        first, last = scene.planes.start, scene.planes[-1]
        raise UsageError(
            f"--center {choices.center}: the report of {scene.name} shows planes {first}..{last}"
        )


def _load_methods(choices: Choices, scene: ReportScene) -> list[LabelledMethod]:
    from spike_zoo.checkpoints.loading import pick_device  # loads torch: after cheap checks

    return load_methods(
        choices.methods or (),
        device=pick_device(choices.device),
        trust=choices.trust,
        limits_slow=choices.limits_slow,
        colour=scene.recording.cfa is not None,
    )


def _add_next_steps(
    page: Page, source: Path, choices: Choices, name: str | None = None, *, colour: bool = False
) -> None:
    """Add example commands for a recording; all options that describe it are repeated in them."""
    selection: dict[str, Any] = {"name": name, "start": choices.start or None, "stop": choices.stop}
    selection |= vars(choices.dat) | {"allow_partial": choices.dat.allow_partial or None}
    words = [shlex.quote(str(source))]
    for option, value in selection.items():
        if value is not None and option != "meta":
            text = str(value).lower() if isinstance(value, bool) else str(value)
            words.append(f"--{option.replace('_', '-')} {shlex.quote(text)}")
    arguments, stem = " ".join(words), shlex.quote(source.stem)
    is_colour = colour or choices.dat.cfa is not None
    fast, best, others = "tfi", "stir-aligned", "tfi tfstp stir sci"
    if is_colour:
        fast, best, others = "tfi-colour", "tfi-aligned-colour", "tfp-colour ssl-csc"
    rows = [
        ("a video", f"reconstruct {arguments} --method {fast} --average 9 --out {stem}.mp4"),
        ("the best image", f"reconstruct {arguments} --method {best} --out {stem}.png"),
        ("a report of other methods", f"report {arguments} --methods {others} --out {stem}-2.html"),
    ]
    if not is_colour:  # it codes grey images
        rows.append(("a small file", f"compress {arguments} --out {stem}-small.mp4"))
    _add_commands(page, rows)


def _add_next_steps_of_runs(page: Page, checkpoint: str | None) -> None:
    """Add example commands for runs, with the checkpoint of the best run if there is one."""
    rows = [("train longer", "fit --config stir --config profiles/cpu")]
    if checkpoint is not None:
        method = shlex.quote(checkpoint)
        rows = [
            ("a video of your recording", f"reconstruct RECORDING --method {method} --out X.mp4"),
            ("a report of your recording", f"report RECORDING --methods tfi:average=9 {method}"),
            *rows,
        ]
    _add_commands(page, rows)


def _add_commands(page: Page, rows: Sequence[tuple[str, str]]) -> None:
    page.add_section("What to do next")
    page.add_commands([(purpose, f"python -m spike_zoo {command}") for purpose, command in rows])
