"""Which images runs were tested on, by their records or by ``per_image.csv`` beside them."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from spike_zoo.records.image_set import image_set_digest
from spike_zoo.records.result import PER_IMAGE_FILENAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spike_zoo.tables.recorded import RecordedRun

    NamedRuns = Sequence[tuple[str, Sequence[RecordedRun]]]
    Tested = tuple[int, str]  # how many images, and their digest


def images_tested_by(run: RecordedRun) -> Tested | None:
    """Return how many images a run was tested on and their digest, None where nothing tells."""
    result = run.result
    if result.images is not None and result.images_sha256 is not None:
        return result.images, result.images_sha256
    path = None if run.folder is None else run.folder / PER_IMAGE_FILENAME
    if path is None or not path.is_file():
        return None
    data = (result.config.get("data") or {}).get("init_args") or {}
    before = data.get("margin", 0)  # planes of an exposure were counted from there on
    with path.open(newline="", encoding="utf-8") as file:
        images = [
            (line.get("name") or "", int(plane) - before if (plane := line.get("plane")) else "")
            for line in csv.DictReader(file)
        ]
    return len(images), image_set_digest(images)


def differing_images(rows: NamedRuns) -> Iterator[dict[str, list[str]]]:
    """Yield, for each archive whose rows were tested on different images, which rows on which."""
    found: dict[str | None, dict[Tested, list[str]]] = {}
    for name, runs in rows:
        for run in runs:
            tested = images_tested_by(run)
            if tested is not None:
                groups = found.setdefault(run.result.data_sha256, {})
                names = groups.setdefault(tested, [])
                names += [] if name in names else [name]
    for groups in found.values():
        if len(groups) > 1:
            counts = [count for count, _ in groups]
            yield {
                f"{count}" if counts.count(count) == 1 else f"{count}, {digest[:6]}": names
                for (count, digest), names in groups.items()
            }
