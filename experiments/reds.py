"""Methods and networks of other repositories in the public protocol of Spike-Zoo's table.

``python -m experiments.reds --data FOLDER``, with the download of REDS as it is (``test/spike`` and
``test/gt`` in it). Networks of ``configs/external`` whose folder is missing are left out, and
weights whose file is missing. Images that are measured already are kept, so the command can be
repeated.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from spike_zoo.archive.layouts.detection import find_takes
from spike_zoo.checkpoints.published import split_settings
from spike_zoo.checkpoints.weight_files import state_digest
from spike_zoo.errors import MissingFileError
from spike_zoo.media.output import with_progress
from spike_zoo.metrics.image import psnr, ssim
from spike_zoo.spikes.take import Take
from spike_zoo.tasks.protocols import Reconstructs, load_adjusted
from spike_zoo.utils.files import new_file
from spike_zoo.utils.yaml_files import read_yaml

METHODS = Path(__file__).with_suffix(".yaml")
RATE_SCALE = 0.6
COLUMNS = ("method", "images", "PSNR (dB)", "SSIM", "seconds", "published", "published, v0.1")


def is_available(name: str) -> bool:
    """Return whether the code or the weights that a name states are here."""
    path, _ = split_settings(name)
    if not path.endswith(".yaml"):
        return not path.endswith(".safetensors") or Path(path).is_file()
    return Path(read_yaml(Path(path))["init_args"]["repository"]).expanduser().is_dir()


def measure(
    method: Reconstructs, takes: Mapping[str, Callable[[], Take]], measured: dict[str, list[float]]
) -> Iterator[str]:
    """Add PSNR, SSIM and seconds of the takes that are not measured; yield their names."""
    missing = [name for name in takes if name not in measured]
    for number, name in enumerate(missing):
        take = takes[name]()
        if take.images is None or take.image_index is None:
            raise MissingFileError(f"{name}: there is no image of this clip in test/gt")
        planes = [int(plane) for plane in take.image_index]
        for _ in range(1 if number else 2):  # the first image also compiles
            began = time.perf_counter()
            image = method.reconstruct(take.recording, planes, rate_scale=RATE_SCALE)
            seconds = time.perf_counter() - began
        truth = torch.from_numpy(take.images)[:, None].float() / 255
        values = float(psnr(image, truth)), float(ssim(image, truth)), seconds
        measured[name] = [round(value, 5) for value in values]
        yield name


def row(title: str, entry: Mapping[str, Any], measured: Mapping[str, list[float]]) -> str:
    """Return a line of the table."""
    means = [statistics.fmean(column) for column in zip(*measured.values(), strict=True)]
    cells = [f"{value:.{digits}f}" for value, digits in zip(means, (2, 4, 2), strict=False)]
    published = [entry.get(key) for key in ("published", "published_v01")]
    cells = cells or [""] * 3
    cells += ["" if value is None else f"{value:.2f}" for value in published]
    texts = [title, len(measured) or "not measured", *cells]
    return f"| {' | '.join(map(str, texts))} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is not measured; write the table and print it."""
    parser = argparse.ArgumentParser(prog="experiments.reds", description=__doc__)
    parser.add_argument("--data", required=True, type=Path, help="folder with test/spike, test/gt")
    parser.add_argument("--out", type=Path, default=Path("runs/reds"), help="folder of the results")
    parsed = parser.parse_args(arguments)
    found = find_takes(parsed.data, layout="base")
    takes = {name: found.jobs[name] for name in found.splits.get("test", ())}
    if not takes:
        parser.error(f"--data {parsed.data}: no clips in test/spike with images in test/gt")
    rows = []
    for title, entry in read_yaml(METHODS)["methods"].items():
        measured: dict[str, list[float]] = {}
        if is_available(entry["name"]):
            method = load_adjusted(entry["name"], "methods", device="auto", trust=True)
            digest = state_digest(method.state_dict())[:12]
            file = parsed.out / f"{re.sub('[^a-z0-9]+', '-', title.lower())}-{digest}.json"
            measured = json.loads(file.read_text("utf-8")) if file.is_file() else {}
            for _ in with_progress(measure(method, takes, measured), len(takes), title):
                with new_file(file, overwrite=True) as temporary:
                    temporary.write_text(json.dumps(measured), encoding="utf-8")
        known = {name: values for name, values in measured.items() if name in takes}
        rows.append(row(title, entry, known))
    heading = f"| {' | '.join(COLUMNS)} |\n|---|{'---:|' * (len(COLUMNS) - 1)}"
    text = "\n".join([heading, *rows, ""])
    table = parsed.out / "table.md"
    with new_file(table, overwrite=True) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(text)
    print(f"table: {table}")


if __name__ == "__main__":
    main()
