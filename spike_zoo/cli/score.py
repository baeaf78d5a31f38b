"""Command ``score``: NIQE and BRISQUE of images, as a CSV file for tables."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from spike_zoo.cli.console import echo
from spike_zoo.errors import MediaError, MissingFileError
from spike_zoo.media.images import IMAGE_SUFFIXES, load_grey
from spike_zoo.utils.files import check_absent, entries_below, new_file

if TYPE_CHECKING:
    from torch import Tensor


def score(
    images: str,
    *,
    niqe: str | None = None,
    brisque: str | None = None,
    out: str | None = None,
    overwrite: bool = False,
) -> None:
    """Measure NIQE and BRISQUE of images, without ground truth. Lower values are better.

    Compare only scores of the same planes of the same recordings, and include TFP and TFI as a
    reference. Requires the extra iqa: pip install 'spike-zoo[iqa]'.

    Args:
        images: An image or a folder of images, as reconstruct writes them.
        niqe: File with the parameters of NIQE: niqe_weights.pt of
            https://huggingface.co/deepinv/demo, or fitted to sharp photographs by deepinv's
            NIQE.create_weights.
        brisque: File with the parameters of BRISQUE: brisque_weights.pt of the same place.
        out: CSV file for the scores.
    """
    files = _images(Path(images))
    if out is not None:
        check_absent(Path(out), overwrite=overwrite)
    from spike_zoo.metrics.noreference import MIN_SIDE, no_reference_metrics  # loads torch

    for file in files:
        height, width = load_grey(file).shape
        if min(height, width) < MIN_SIDE:
            reason = f"images need at least {MIN_SIDE} of both"
            raise MediaError.at(file, f"{height} rows and {width} columns; {reason}")
    metrics = no_reference_metrics(niqe, brisque)
    scores: dict[str, list[float]] = {}
    for file in files:
        name = str(file.relative_to(images)) if file != Path(images) else file.name
        scores[name] = _scores(file, metrics)
        echo(_line(name, metrics, scores[name]))
    means = [statistics.fmean(column) for column in zip(*scores.values(), strict=True)]
    print(_line(f"mean of {len(scores)}", metrics, means))
    if out is not None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["name", *metrics])
        writer.writerows([name, *values] for name, values in scores.items())
        with new_file(Path(out), overwrite=overwrite) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8")
        print(out)


def _images(path: Path) -> list[Path]:
    if not path.exists():
        raise MissingFileError.at(path, "there is no such image or folder")
    if path.is_file():
        return [path]
    files = [file for file in entries_below(path) if file.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise MediaError.at(path, "the folder contains no image")
    return files


def _scores(file: Path, metrics: Mapping[str, Callable[[Tensor], Tensor]]) -> list[float]:
    import torch

    image = torch.from_numpy(load_grey(file).astype("float32"))[None, None]
    values = []
    for name, metric in metrics.items():
        try:
            values.append(float(metric(image)))
        except RuntimeError:  # statistics that are not finite
            values.append(math.nan)
        if not math.isfinite(values[-1]):
            reason = f"{name.upper()} is not defined; the image is flat or has too little texture"
            raise MediaError.at(file, reason)
    return values


def _line(name: str, metrics: Mapping[str, object], values: list[float]) -> str:
    pairs = zip(metrics, values, strict=True)
    return "  ".join([f"{name:<24}", *(f"{key} {value:7.3f}" for key, value in pairs)])
