"""The commands that a reader of a page may want to run next."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spike_zoo.media import Page
    from spike_zoo.reports.choices import Choices

_PROGRAM: Final = "python -m spike_zoo"


def add_next_steps(page: Page, source: Path, choices: Choices, name: str | None = None) -> None:
    """Add what to do with a recording.

    Args:
        page: The page.
        source: The recording or archive; only its name is shown.
        choices: What was chosen; sizes are repeated in the commands.
        name: The recording of an archive.
    """
    given = {**{key: choices.dat.get(key) for key in ("height", "width")}, "name": name}
    words = [shlex.quote(source.name)]
    words += [f"--{option} {shlex.quote(str(one))}" for option, one in given.items() if one]
    if choices.rate_scale is not None:
        words.append(f"--rate-scale {choices.rate_scale:g}")
    what, stem = " ".join(words), shlex.quote(source.stem)
    _add_commands(
        page,
        [
            ("a video", f"reconstruct {what} --method tfi --average 9 --out {stem}.mp4"),
            ("the best picture", f"reconstruct {what} --method stir --out {stem}.png"),
            ("a small file", f"compress {what} --out {stem}.sci"),
            ("other methods on such a page", f"report {what} --methods tfi tfi-aligned stir"),
        ],
    )


def add_next_steps_of_runs(page: Page, checkpoint: str | None) -> None:
    """Add what to do with runs, of which the best may have a checkpoint."""
    rows = [("train longer", "fit --config stir --config profiles/cpu")]
    if checkpoint is not None:
        method = shlex.quote(checkpoint)
        rows = [
            ("a video of your recording", f"reconstruct RECORDING --method {method} --out X.mp4"),
            ("a page of your recording", f"report RECORDING --methods tfi:average=9 {method}"),
            *rows,
        ]
    _add_commands(page, rows)


def _add_commands(page: Page, rows: Sequence[tuple[str, str]]) -> None:
    page.add_section("What to do next")
    page.add_commands([(purpose, f"{_PROGRAM} {command}") for purpose, command in rows])
