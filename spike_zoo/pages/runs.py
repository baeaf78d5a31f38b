"""Report of runs: test images, table, curves, videos and folders."""

from collections.abc import Sequence
from pathlib import Path

from spike_zoo.checkpoints.published import WEIGHTLESS
from spike_zoo.errors import MediaError
from spike_zoo.media.images import load_image
from spike_zoo.media.page import Page
from spike_zoo.media.viewer import Layer, Viewer, image_size
from spike_zoo.pages.methods import bare_name, explanations
from spike_zoo.pages.scene import most_detailed_point
from spike_zoo.tables.curves import curve_charts
from spike_zoo.tables.fill import fill_table
from spike_zoo.tables.render import all_notes, text_rows
from spike_zoo.tables.runs import RecordedRun, collect_runs, describe_test_splits, table_of_runs
from spike_zoo.training.result import RECONSTRUCTIONS, TRUTHS
from spike_zoo.utils.files import folder_entries, natural_order

_RANKED_BY, _MEASURED = "test/psnr", "psnr"


def runs_page(source: Path, title: str, runs: Sequence[RecordedRun]) -> Page:
    """Return the report of runs from :func:`find_runs`, without the section of their folders."""
    page = Page(title, describe_test_splits(runs))
    _add_images(page, runs)
    _add_numbers(page, runs)
    videos = folder_entries(source, "*.mp4")
    if videos:
        page.add_section("Video", "In slow motion: consecutive images are a few planes apart.")
    for video in videos:
        try:
            page.add_video(video, caption=video.name)
        except MediaError as error:
            page.add_warning(f"Not shown: {error}")
    return page


def find_runs(source: Path) -> list[RecordedRun]:
    """Return the runs in a folder and its subfolders, sorted by test PSNR, the best last."""
    runs = [run for run in collect_runs([source]) if run.folder is not None]
    return sorted(runs, key=lambda run: run.result.metrics.get(_RANKED_BY, 0.0))


def add_places(page: Page, runs: Sequence[RecordedRun]) -> None:
    """Add the folders of the runs and their checkpoints."""
    page.add_section("Folders and checkpoints")
    rows = [
        [run.result.variant, str(run.folder), run.result.checkpoint or "none needed"]
        for run in runs
    ]
    page.add_table(["", "folder", "checkpoint"], rows)


def _add_numbers(page: Page, runs: Sequence[RecordedRun]) -> None:
    table = fill_table(table_of_runs(runs), runs)
    page.add_section("Numbers")
    for warning in table.warnings:
        page.add_warning(warning)
    page.add_table(*text_rows(table), notes=[*_training_notes(runs), *all_notes(table)])
    if charts := curve_charts(table.curves):
        page.add_drawings(charts)


def _training_notes(runs: Sequence[RecordedRun]) -> list[str]:
    """Compare each network that its run trained with tested weights of the same size."""
    ranked = [run for run in runs if _RANKED_BY in run.result.metrics]
    tested = [run for run in ranked if run.weights and not run.has_trained]
    return [
        f"{run.result.variant} was trained here, in {run.result.wall_seconds / 60:.1f} min. With "
        f"the weights {', '.join(other.weights)}, which were trained for longer, this network has "
        f"{other.result.metrics[_RANKED_BY] - run.result.metrics[_RANKED_BY]:.1f} dB more."
        for run in ranked
        for other in tested
        if run.has_trained and other.result.parameters == run.result.parameters
    ]


def _add_images(page: Page, runs: Sequence[RecordedRun]) -> None:
    """Add the test samples that all runs reconstructed, the ground truth last."""
    folders = [_folder(run, RECONSTRUCTIONS) for run in runs]
    stored = [{path.name for path in folder_entries(folder, "*.png")} for folder in folders]
    samples = sorted(set.intersection(*stored), key=natural_order)
    if not samples:
        return
    page.add_section("Test samples", "Test images that all these runs reconstructed.")
    layers = [
        Layer.of(
            run.result.variant,
            [_folder(run, RECONSTRUCTIONS) / sample for sample in samples],
            _measured(run, [Path(sample).stem for sample in samples]),
        )
        for run in runs
    ]
    truths = [_folder(runs[-1], TRUTHS) / sample for sample in samples]
    layers.append(Layer.of("ground truth", truths))
    page.add_viewer(
        Viewer(
            label="test samples",
            layers=tuple(layers),
            moments=tuple(Path(sample).stem for sample in samples),
            size=image_size(layers[-1].images[0]),
            sides=(0, len(runs) - 1 if len(runs) > 1 else -1),
            focus=most_detailed_point(load_image(truths[0])),
            has_strip=len(samples) > 1,
        )
    )
    names = [run.result.variant for run in runs]
    page.add_notes(explanations([name for name in names if bare_name(name) in WEIGHTLESS]))


def _folder(run: RecordedRun, kind: str) -> Path:
    return Path(run.folder or "", "images", kind)


def _measured(run: RecordedRun, samples: Sequence[str]) -> list[str]:
    """Return the PSNR of a run on some samples as text; empty without metrics per image."""
    values = {
        f"{image['name']}-plane{image['plane']}": image.get(_MEASURED) for image in run.images
    }
    measured = [values.get(sample) for sample in samples]
    return ["" if value is None else f"{value:.2f} dB" for value in measured] if values else []
