"""Pictures of the same samples, row by row, as far as the runs kept them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from spike_zoo.records import result

if TYPE_CHECKING:
    from spike_zoo.tables.filled import FilledRow, FilledTable

#: Where a run keeps its pictures.
RECONSTRUCTIONS, TRUTHS = Path("images", result.RECONSTRUCTIONS), Path("images", result.TRUTHS)
STRIP: Final = "sample.png"  # beside a committed record: its samples as one small picture
MOST_SAMPLES: Final = 3
TRUTH_NAME: Final = "ground truth"


def sample_strips(table: FilledTable) -> tuple[list[str], list[tuple[str, list[Path]]]]:
    """Return names of samples, and for each row their pictures, the ground truth last.

    The samples are those that most rows show. A row whose run kept none but has a ``sample.png``
    beside its record shows that; a row with neither is left out.
    """
    folders = {row.name: _folder(row) for row in table.rows}
    kept = {
        name: [path.name for path in sorted((folder / RECONSTRUCTIONS).glob("*.png"))]
        for name, folder in folders.items()
        if folder is not None
    }
    listed = [sample for samples in kept.values() for sample in samples]
    most = max(map(listed.count, listed), default=0)
    samples = sorted({sample for sample in listed if listed.count(sample) == most})[:MOST_SAMPLES]
    strips: list[tuple[str, list[Path]]] = []
    truth: list[Path] = []
    for name, folder in folders.items():
        if folder is None:
            continue
        pictures = [folder / RECONSTRUCTIONS / sample for sample in samples]
        if samples and all(picture.is_file() for picture in pictures):
            strips.append((name, pictures))
            truths = [folder / TRUTHS / sample for sample in samples]
            truth = truths if all(path.is_file() for path in truths) else truth
        elif (folder / STRIP).is_file():
            strips.append((name, [folder / STRIP]))
    if truth:
        strips.append((TRUTH_NAME, truth))
    return [Path(sample).stem for sample in samples], strips


def _folder(row: FilledRow) -> Path | None:
    """Return the folder of a row's first run that kept pictures on this machine."""
    folders = [run.folder for run in row.runs if run.folder is not None]
    return next((folder for folder in folders if _has_pictures(folder)), None)


def _has_pictures(folder: Path) -> bool:
    return (folder / STRIP).is_file() or (folder / RECONSTRUCTIONS).is_dir()
