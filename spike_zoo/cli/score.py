"""Command ``score``: NIQE and BRISQUE of pictures, as a CSV file for tables."""

from __future__ import annotations

import csv
import io
import math
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

from spike_zoo.cli.console import echo
from spike_zoo.errors import MediaError, MissingFileError
from spike_zoo.files import check_absent, entries_below, new_file
from spike_zoo.media.pictures import PICTURE_SUFFIXES, load_grey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor


def score(
    pictures: str,
    *,
    niqe: str | None = None,
    brisque: str | None = None,
    out: str | None = None,
    overwrite: bool = False,
) -> None:
    """Measure NIQE and BRISQUE of pictures, without ground truth. Lower values are better.

    Compare only scores of the same planes of the same recordings, and include TFP and TFI as a
    reference. Requires the extra iqa: pip install 'spike-zoo[iqa]'.

    Args:
        pictures: A picture or a folder of pictures, as reconstruct writes them.
        niqe: File with the parameters of NIQE: niqe_weights.pt of
            https://huggingface.co/deepinv/demo, or fitted to sharp photographs by deepinv's
            NIQE.create_weights.
        brisque: File with the parameters of BRISQUE: brisque_weights.pt of the same place.
        out: CSV file for the scores. A row of a table file reads it with the key scores.
    """
    files = _pictures(Path(pictures))
    import numpy as np
    import torch

    from spike_zoo.metrics.noreference import no_reference_metrics

    for file in files:
        _check_size(file)
    if out is not None:
        check_absent(Path(out), overwrite=overwrite)
    metrics = no_reference_metrics(niqe, brisque)
    scores: dict[str, Mapping[str, float]] = {}
    for file in files:
        name = str(file.relative_to(pictures)) if file != Path(pictures) else file.name
        image = torch.from_numpy(load_grey(file).astype(np.float32))[None, None]
        scores[name] = {key: _score(metric, image, key, file) for key, metric in metrics.items()}
        echo(_line(name, scores[name]))
    means = {name: statistics.fmean(row[name] for row in scores.values()) for name in metrics}
    print(_line(f"mean of {len(scores)}", means))
    if out is not None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("name", *metrics))
        writer.writerows((name, *row.values()) for name, row in scores.items())
        with new_file(Path(out), overwrite=overwrite) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8")
        print(out)


def _pictures(place: Path) -> list[Path]:
    """Return the pictures of a folder, or a single picture as a list."""
    if not place.exists():
        raise MissingFileError(f"{place}: there is no such picture or folder", path=str(place))
    if place.is_file():
        return [place]
    files = [file for file in entries_below(place) if file.suffix.lower() in PICTURE_SUFFIXES]
    if not files:
        raise MediaError(f"{place}: the folder contains no picture", path=str(place))
    return files


def _check_size(file: Path) -> None:
    from spike_zoo.metrics.noreference import SMALLEST

    height, width = load_grey(file).shape
    if min(height, width) < SMALLEST:
        raise MediaError(
            f"{file}: {height} rows and {width} columns; pictures need at least {SMALLEST} of both",
            path=str(file),
        )


def _score(metric: Callable[[Tensor], Tensor], image: Tensor, name: str, file: Path) -> float:
    try:
        value = float(metric(image))
    except RuntimeError:  # statistics that are not finite
        value = math.nan
    if not math.isfinite(value):
        raise MediaError(
            f"{file}: {name.upper()} is not defined; the picture is flat or has too little texture",
            path=str(file),
        )
    return value


def _line(name: str, scores: Mapping[str, float]) -> str:
    return "  ".join([f"{name:<24}", *(f"{key} {value:7.3f}" for key, value in scores.items())])
