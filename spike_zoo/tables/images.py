"""Which rows were tested on which images."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spike_zoo.tables.recorded import RecordedRun

    NamedRuns = Sequence[tuple[str, Sequence[RecordedRun]]]
    Tested = tuple[int, str]  # how many images, and their digest


def differing_images(rows: NamedRuns) -> Iterator[dict[str, list[str]]]:
    """Yield, for each archive whose rows were tested on different images, which rows on which."""
    found: dict[str | None, dict[Tested, list[str]]] = {}
    for name, runs in rows:
        for run in runs:
            count, digest = run.result.images, run.result.images_sha256
            if count is not None and digest is not None:
                groups = found.setdefault(run.result.data_sha256, {})
                names = groups.setdefault((count, digest), [])
                names += [] if name in names else [name]
    for groups in found.values():
        if len(groups) > 1:
            counts = [count for count, _ in groups]
            yield {
                f"{count}" if counts.count(count) == 1 else f"{count}, {digest[:6]}": names
                for (count, digest), names in groups.items()
            }
