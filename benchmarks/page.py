"""The pages docs/benchmark.md, from the committed records, and docs/weights.md, from the cards.

``python -m benchmarks.page`` (``make benchmark-page``) writes the pages and docs/benchmark.json.
``--measure`` measures time and memory of each method first.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from benchmarks.claims import EXPERIMENTS, ROOT, committed_tables
from spike_zoo.cli.weights_info import weight_cards
from spike_zoo.utils.yaml_files import read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from spike_zoo.tables.fill import FilledTable

PAGE: Final = ROOT / "docs" / "benchmark.md"
DATA: Final = PAGE.with_suffix(".json")
WEIGHTS: Final = ROOT / "docs" / "weights.md"


class Method(NamedTuple):
    """A method of the page.

    Attributes:
        rows: Names of its rows in the tables; in "Number of planes", their beginnings.
        parameters: Number of parameters.
        training: Training data and updates.
        options: Options of ``reconstruct``.
        gpu: Milliseconds on a GPU, from experiments/gpu/README.md.
    """

    rows: tuple[str, ...]
    parameters: int
    training: str
    options: tuple[str, ...]
    gpu: str = "not measured"


_SCENES: Final = "600 simulated scenes of 234 photographs and of textures"
METHODS: Final = {
    "`tfp`, 41 planes": Method(("TFP, 41 planes", "TFP"), 0, "", ("tfp",)),
    "`tfi`, mean of 9": Method(
        ("TFI, mean of 9, not aligned", "TFI, mean of 9"), 0, "", ("tfi", "--average", "9")
    ),
    "`tfi-aligned`": Method(
        ("TFI, mean of 65 along the estimated flow", "tfi-aligned"), 0, "", ("tfi-aligned",)
    ),
    "`plain`": Method(
        ("plain",), 187_860, f"42,627 updates of 16 crops; {_SCENES}", ("plain",), "4.4"
    ),
    "`stir`": Method(
        ("stir",),
        1_600_816,
        "16,000 updates of 4 crops; 1000 simulated scenes of 12 photographs and of textures",
        ("stir",),
    ),
    "`stir-aligned`": Method(
        ("stir-aligned",), 5_107_960, f"14,209 updates of 16 crops; {_SCENES}", ("stir-aligned",)
    ),
    "`fused`": Method(
        ("fused",),
        236_480,
        "6,600 updates of 4 crops; 1000 simulated scenes of 248 photographs and of textures",
        ("fused",),
    ),
}


class Column(NamedTuple):
    """A column of the page: a column of a table, or a point of its curves."""

    heading: str
    file: str
    table: str
    name: str
    row_start: str = ""  # in front of the names of rows
    row_end: str = ""  # after them


THREE_DIGITS: Final = {"test/ssim", "test/accuracy"}
_LONG, _ROBUST = "classical/table_long", "robustness/table"
_SPEEDS: Final = {"": "", "slow": "_slow", "medium": "_medium", "fast": "_fast"}


def _by_speed(table: str) -> list[Column]:
    columns = [
        Column(f"PSNR {speed}".strip(), _LONG, table, f"test/psnr{suffix}")
        for speed, suffix in _SPEEDS.items()
    ]
    return [*columns, Column("SSIM", _LONG, table, "test/ssim")]


def _conditions(table: str, *names: str) -> list[Column]:
    return [Column(name, _ROBUST, table, f"{name}, PSNR (dB)") for name in names]


PLANES, RECOGNITION = "Number of planes", "Recognition"
_TABLE_VI: Final = "Recognition without compression (Table VI)"
#: Heading of a section -> its text.
TEXTS: Final = {
    PLANES: """Recordings are cut to this number of planes around the image. `tfp` averages all of
them, `tfi` nine, `tfi-aligned` at most 65.""",
    RECOGNITION: """Accuracy of the same classifier on moving images of [MNIST, CIFAR-10 and
Caltech-101](data.md#your-images): 10,000, 10,000 and 1,736 test images; in the last column 1,000.
The linked table states the number of seeds. Images of CIFAR-10 were compressed as JPEG before,
those of Caltech-101 reduced to 128 pixels. With `--model my_package.MyModule`, `fit`
trains and tests your own [`ClassificationModule`](howto/own-method.md#what-a-method-can-do) on the
same images:

```sh
python -m spike_zoo simulate --kind s-cifar --images data/imagesets --out data/s-cifar.h5
python -m spike_zoo fit --config configs/recognition/s-cifar.yaml --run_dir runs/s-cifar
```""",
}

#: Heading of a section -> its columns.
SECTIONS: Final = {
    "Three photographs": _by_speed("Per pixel and along the motion"),
    "Twenty-four photographs": _by_speed("On 24 photographs"),
    "Light and speed": _conditions(
        "Light and speed", "light 0.05", "light 0.2", "light 0.7", "light 1", "still", "1.6 pixels"
    ),
    "Noise and defects": _conditions(
        "Noise and defects", "noise x 1", "noise x 4", "1 % dead", "1 % hot", "10 % lost"
    ),
    PLANES: [
        Column(f"{planes} planes", _ROBUST, PLANES, "test/psnr", row_end=f", {planes} planes")
        for planes in (9, 21, 41, 81)
    ],
    RECOGNITION: [
        Column(images, "sci/table", _TABLE_VI, "test/accuracy", row_start=f"{images}: ")
        for images in ("S-MNIST", "S-CIFAR", "S-CALTECH", "S-CIFAR, 8,000 training images")
    ],
}
#: Input of the classifier -> its rows.
INPUTS: Final = {
    "features of `sci`": ("SCI",),
    "images of `plain`": ("images of plain",),
    "images of `sci`": ("images of SCI",),
    "images of `tfi`, mean of 9": ("TFI",),
    "mean of 13 planes": ("playback",),
    "13 planes": ("13 planes",),
    "features of `sci`'s network with random weights": ("features, random weights",),
}

INTRODUCTION: Final = """# Benchmark

Reconstruction methods of this package by speed, light, noise, defects and number of planes, and
inputs of recognition. PSNR is in dB; higher is better. On the web site a click on the heading of a
column sorts a table. All scenes are [simulated](default-archives.md). The numbers are those of the
committed records: [benchmark.json](benchmark.json) states record, archive and command of each.
`make benchmark-page` writes this page.

![PSNR against light, speed, noise, defects and number of planes](pictures/robustness.png)

[Robustness](robustness.md) explains the curves and the conditions.

"""
COSTS: Final = """
Time: an image of 250 x 400 pixels on one core of a CPU, median of three after the first. Memory:
what these images add to the process, with compiled loops. GPU: the same image on an NVIDIA H200
([measurements](../experiments/gpu/README.md#time)); `stir-aligned` took 243 ms in earlier code."""


RIVALS: Final = ROOT / "experiments" / "reds.yaml"
QUALITY: Final = ROOT / "docs" / "pictures" / "quality-over-cost.png"
OTHERS: Final = """
## Networks of other repositories

Their protocol, their numbers: the test clips of Spk2ImgNet's REDS, PSNR in dB as published by
Spike-Zoo 0.2.3 (all networks trained again) and by the log of its version 0.1 (the authors'
weights). kMAC: thousand multiply-accumulates per pixel; Spike-Zoo's "GFLOP" are
multiply-accumulates. Seconds on one core are estimates from them. None is measured here; with the
download and a cloned repository, [one command](howto/rivals.md#in-a-table) measures it beside our
methods. The clips are softer than their truth, which rewards learned sharpening.

| network | published | version 0.1 | kMAC | seconds |
|---|---:|---:|---:|---:|
"""
COST_CURVE: Final = """
![PSNR over seconds: ours on 24 photographs, others on REDS](pictures/quality-over-cost.png)
"""


def rivals() -> dict[str, dict[str, Any]]:
    """Return the networks of other repositories by descending published PSNR."""
    methods: dict[str, dict[str, Any]] = read_yaml(RIVALS)["methods"]
    others = {title: entry for title, entry in methods.items() if "kmac" in entry}
    return dict(sorted(others.items(), key=lambda item: -item[1]["published"]))


def others_section() -> str:
    """Return the table of published numbers."""
    lines = []
    for title, entry in rivals().items():
        cells = [f"{entry['published']:.2f}", f"{entry.get('published_v01', '')}"]
        cells += [f"{entry['kmac']:,}", f"{entry.get('seconds', '')}"]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return OTHERS + "\n".join(lines) + "\n" + COST_CURVE


def draw_quality(
    numbers: list[dict[str, Any]], costs: Mapping[str, Mapping[str, float]], file: Path
) -> None:
    """Draw PSNR over seconds: our methods on 24 photographs, others as published on REDS."""
    from matplotlib.figure import Figure

    ours = {
        one["method"].replace("`", ""): (costs[one["method"]]["milliseconds"] / 1e3, one["value"])
        for one in numbers
        if (one["section"], one["column"]) == ("Twenty-four photographs", "PSNR")
    }
    known = {title: entry for title, entry in rivals().items() if "seconds" in entry}
    others = {title: (entry["seconds"], entry["published"]) for title, entry in known.items()}
    figure = Figure(figsize=(10, 4), layout="constrained")
    titles = "24 photographs, measured here", "REDS, as published; seconds estimated"
    for axes, title, points in zip(figure.subplots(1, 2), titles, (ours, others), strict=True):
        axes.set(xscale="log", xlabel="seconds per 250 x 400 image, one core", ylabel="PSNR (dB)")
        axes.set_title(title)
        ordered = sorted(points.items(), key=lambda item: item[1])  # labels alternate: no overlap
        for number, (name, (seconds, psnr)) in enumerate(ordered):
            axes.plot(seconds, psnr, "o", color="tab:blue")
            place: dict[str, Any] = {"va": ("bottom", "top")[number % 2], "ha": "center", "size": 8}
            offset = (0, (5, -5)[number % 2])
            axes.annotate(name, (seconds, psnr), offset, textcoords="offset points", **place)
        axes.margins(0.2)
        axes.grid(alpha=0.3)
    figure.savefig(file, dpi=110)


def filled(file: str, title: str, tables: Mapping[Path, list[FilledTable]]) -> FilledTable:
    """Return a table of a table file."""
    return next(one for one in tables[EXPERIMENTS / f"{file}.yaml"] if one.title == title)


def values(tables: Mapping[Path, list[FilledTable]]) -> Iterator[dict[str, Any]]:
    """Yield each number with its origin."""
    for section, columns in SECTIONS.items():
        for heading, file, title, name, start, end in columns:
            table = filled(file, title, tables)
            methods = INPUTS if section == RECOGNITION else {m: METHODS[m].rows for m in METHODS}
            for method, rows in methods.items():
                names = (f"{start}{row}{end}" for row in rows)
                row = next((name for name in names if table.runs.get(name)), None)
                if row is None:
                    continue
                runs = table.runs[row]
                yield {
                    "section": section,
                    "method": method,
                    "column": heading,
                    "value": round(float(table.cells.loc[(row, name), "mean"]), 4),
                    "table": f"experiments/{file}.yaml: {title}",
                    "records": [str(run.source).removeprefix(f"{ROOT}/") for run in runs],
                    "data_sha256": runs[0].result.data_sha256,
                    "command": (table.spec.command or "").format(profile=runs[0].result.profile),
                }


def page(numbers: list[dict[str, Any]], costs: Mapping[str, Mapping[str, float]]) -> str:
    """Return the page."""
    lines = [
        "| method | parameters | time (ms) | GPU (ms) | memory (MB) | trained on |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for method, (_, parameters, training, _, gpu) in METHODS.items():
        cost = costs[method]
        milliseconds = cost["milliseconds"]
        measured = f"{milliseconds:.{int(milliseconds < 10)}f} | {gpu} | {cost['megabytes']:.0f}"
        lines.append(f"| {method} | {parameters:,} | {measured} | {training or 'not trained'} |")
    lines.append(COSTS)
    cells = {(one["section"], one["method"], one["column"]): one["value"] for one in numbers}
    for section, columns in SECTIONS.items():
        file, title = columns[0].file, columns[0].table
        link = f"../experiments/{file.replace('/', '/results/')}.md"
        lines += ["", f"## {section}", "", f"[{title}]({link}): tests and claims.", ""]
        if section in TEXTS:
            lines += [TEXTS[section], ""]
        first = "input" if section == RECOGNITION else "method"
        lines.append(f"| {first} | " + " | ".join(column.heading for column in columns) + " |")
        lines.append("|---|" + "---:|" * len(columns))
        best = {
            c.heading: max(v for k, v in cells.items() if k[::2] == (section, c.heading))
            for c in columns
        }
        for method in dict.fromkeys(key[1] for key in cells if key[0] == section):
            texts = []
            for column in columns:
                value = cells.get((section, method, column.heading))
                if value is None:
                    texts.append("not measured")
                    continue
                text = f"{value:.3f}" if column.name in THREE_DIGITS else f"{value:.2f}"
                texts.append(f"**{text}**" if value == best[column.heading] else text)
            label = method.partition(",")[0] if section == PLANES else method
            lines.append(f"| {label} | {' | '.join(texts)} |")
    lines.append("")
    return INTRODUCTION + "\n".join(lines) + others_section()


WEIGHTS_INTRODUCTION: Final = """# Shipped weights

Licence: MIT. `python -m spike_zoo info NAME` prints the same with the digest of the weights. The
scores are those of the methods' pages; the photographs of the test scenes are in no training set.
Digests are the first 12 digits of the `data_sha256` of an archive or of its training split.

| name | task | trained on | data | scores | known failures |
|---|---|---|---|---|---|
"""
FAILURES: Final = """
Failures of reconstruction methods ([code](../benchmarks/failures.py)). From top to bottom: a usual
scene, five planes after a scene cut, flicker by a factor of 3 with a period of 19 planes, motion of
3 pixels per plane. Where `stir-aligned` corrects `tfi-aligned` by more than 0.5, it shows
`tfi-aligned`.

![five methods and the ground truth in four conditions](pictures/failures.png)

Low light, noise, hot pixels and lost planes (10 % of them, without spikes):

![three methods and the ground truth in four conditions](pictures/conditions.jpg)

`ssdm-student` in a slow and in a fast exposure. In the fast one, details are lost:

![blurry images, images of ssdm-student, and ground truth](pictures/failures_student.jpg)

`sci` and x265 on its images with at most as many bytes, for 13 images of a slow and of a fast
scene, at the lowest and at the highest quality. x265 has the higher PSNR except at the lowest
quality in the slow scene.

![images decoded by sci and by x265, and ground truth](pictures/failures_sci.jpg)
"""


def weights_page() -> str:
    """Return the page of the shipped weights."""
    fields = ("task", "training", "data", "scores", "failures")
    lines = [
        " | ".join([f"| `{name}`", *(card[field] for field in fields)]) + " |"
        for name, card in weight_cards().items()
    ]
    return WEIGHTS_INTRODUCTION + "\n".join(lines) + "\n" + FAILURES


_MEASURED: Final = """
import resource, statistics, sys, time
import numpy as np, psutil, torch
import spike_zoo
torch.set_num_threads(1)
name, *options = sys.argv[1:]
method = spike_zoo.load(name)
if options:
    method = method.adjusted(average=int(options[-1]))
packed = np.random.default_rng(0).integers(0, 256, (301, 250, 50), np.uint8)
recording = spike_zoo.SpikeRecording(packed, 400, rate_scale=0.8)
before = psutil.Process().memory_info().rss
seconds = []
for center in (100, 130, 160, 190):
    start = time.perf_counter()
    method.reconstruct(recording, [center])
    seconds.append(time.perf_counter() - start)
peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(1e3 * statistics.median(seconds[1:]), (peak - before) / 1e6)
"""


def measured_costs() -> dict[str, dict[str, float]]:
    """Measure time and memory of each method on one core, each in a separate process."""
    costs = {}
    for name, method in METHODS.items():
        command = [sys.executable, "-c", _MEASURED, *method.options]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        costs[name] = dict(zip(("milliseconds", "megabytes"), map(float, output), strict=True))
    return costs


def main() -> None:
    """Write the page and its numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="measure time and memory first")
    arguments = parser.parse_args()
    numbers = list(values(committed_tables()))
    if arguments.measure:
        costs = measured_costs()
    else:
        costs = json.loads(DATA.read_text(encoding="utf-8"))["costs"]
    content = json.dumps({"costs": costs, "numbers": numbers}, indent=1)
    DATA.write_text(f"{content}\n", encoding="utf-8")
    PAGE.write_text(page(numbers, costs), encoding="utf-8")
    WEIGHTS.write_text(weights_page(), encoding="utf-8")
    draw_quality(numbers, costs, QUALITY)
    print(PAGE.relative_to(ROOT), WEIGHTS.relative_to(ROOT))


if __name__ == "__main__":
    main()
