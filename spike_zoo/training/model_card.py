"""Model cards of weights, in Markdown for the Hugging Face Hub."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

from spike_zoo.errors import visible
from spike_zoo.training.provenance import redact

if TYPE_CHECKING:
    from spike_zoo.training.result import RunResult

#: Command -> example of its use with weights.
_LINES = {
    "reconstruct": "reconstruct street.npz --method {} --out street.mp4",
    "deblur": "deblur photo.png spikes.npz --method {} --frames 7 --out sharp.mp4",
    "classify": "classify digit.npz --method {}",
}
#: Characters with a meaning in Markdown or HTML, except underscores inside a word.
_MARKUP = re.compile(r"[\\`*\[\]<>&|~$#!]|(?<![^\W_])_|_(?![^\W_])")


def model_card(
    name: str,
    described: Mapping[str, Any],
    result: RunResult | None = None,
    *,
    licence: str = "mit",
) -> str:
    """Return a model card as Markdown with the YAML header of the Hub.

    The card contains only values of the record. Without a record it states that no test result of
    these weights is available.

    Args:
        name: Name of the weights: ``owner/name`` or the name of a folder.
        described: ``class_path``, ``hyper_parameters``, ``summary`` (one sentence about the class)
            and ``command`` (the command that uses the weights).
        result: Record of the run that tested these weights.
        licence: Licence of the weights, by its short name on the Hub.
    """
    class_name = str(described["class_path"]).rpartition(".")[2]
    short = name.rpartition("/")[2]
    source = " ".join((f"hf:{name}" if "/" in name else name).split())
    command = _LINES.get(str(described.get("command")), _LINES["reconstruct"])
    arguments = yaml.safe_dump(redact(described.get("hyper_parameters") or {}), sort_keys=False)
    metrics = _test_metrics(result)
    head = yaml.safe_dump(_header(short, class_name, metrics, result, licence), sort_keys=False)
    loading = (
        f"import spike_zoo\n\nmethod = spike_zoo.load({json.dumps(source, ensure_ascii=False)})"
    )
    parts = [
        f"---\n{head}---",
        f"# {_inert(short)}",
        f"Weights of {_as_code(class_name)} of Spike Zoo. {_inert(described.get('summary', ''))}",
        "## Use",
        _fenced(
            "sh", f"pip install 'spike-zoo[hub]'\nspike-zoo {command.format(shlex.quote(source))}"
        ),
        _fenced("python", loading),
        "The file contains only tensors and plain values; loading it runs no code.",
        *_results(metrics, result),
        "## How it was made",
        f"Arguments of {_as_code(described['class_path'])}:",
        _fenced("yaml", arguments.strip()),
        *_facts(result),
        f"## Licence\n\nThe weights: {_inert(licence)}, as their publisher states.",
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _inert(text: object) -> str:
    """Return text as one line with special characters as HTML entities."""
    line = visible(" ".join(str(text).split()))
    return _MARKUP.sub(lambda match: f"&#{ord(match[0])};", line)


def _as_code(text: object) -> str:
    return f"`{visible(' '.join(str(text).split())).replace('`', chr(39))}`"


def _fenced(language: str, text: str) -> str:
    """Return a code block whose fence is longer than any run of backticks in the text."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{visible(text)}\n{fence}"


def _table(head: str, rows: Mapping[str, object]) -> str:
    lines = [f"| {_inert(key)} | {_inert(value)} |" for key, value in rows.items()]
    return "\n".join([head, *lines])


def _test_metrics(result: RunResult | None) -> dict[str, float]:
    """Return the test metrics by name, without metrics of single classes, as ``f1_3``."""
    logged = sorted((result.metrics if result else {}).items())
    tested = {key.removeprefix("test/"): x for key, x in logged if key.startswith("test/")}
    return {k: x for k, x in tested.items() if "/" not in k and not re.search(r"(^|_)\d+$", k)}


def _header(
    name: str, class_name: str, metrics: Mapping[str, float], result: RunResult | None, licence: str
) -> dict[str, Any]:
    method = result.method if result else class_name.removesuffix("Module").lower()
    tags = ["spike-camera", "neuromorphic", method]
    header: dict[str, Any] = {"license": licence, "library_name": "spike-zoo", "tags": tags}
    if result is None or not metrics:
        return header
    archive = result.archive or "unknown"
    entry = {
        "task": {"type": "image-classification" if "accuracy" in metrics else "image-to-image"},
        "dataset": {"type": archive, "name": archive, "split": "test"},
        "metrics": [{"type": key, "value": value} for key, value in metrics.items()],
    }
    index = [{"name": name, "results": [entry]}]
    return {**header, "metrics": list(metrics), "model-index": index}


def _results(metrics: Mapping[str, float], result: RunResult | None) -> list[str]:
    if result is None or not metrics:
        return ["## Results", "No test record of these weights is available."]
    rows = {name: f"{value:.4g}" for name, value in metrics.items()}
    rows["parameters"] = f"{result.parameters:,}"
    if result.macs is not None and result.image_size is not None:
        size = " x ".join(map(str, result.image_size))
        rows[f"multiply-accumulates of one image of {size}"] = f"{result.macs / 1e9:.3g} G"
    images = f" of {result.images} images" if result.images else ""
    archive = f"Archive {_as_code(result.archive)}" if result.archive else ""
    data = archive or "Not an archive of Spike Zoo"
    if result.data_sha256:
        shown = "(`spike-zoo archive info --json` shows it)"
        data += f", digest {_as_code(result.data_sha256)} {shown}"
    return [
        "## Results",
        _table("| measured | value |\n|---|---:|", rows),
        f"Means{images}, one run, test split.",
        f"## Data\n\n{data}. Numbers on other data will differ.",
    ]


def _facts(result: RunResult | None) -> list[str]:
    if result is None:
        return []
    facts = {
        "configurations": ", ".join(result.configs),
        "profile": result.profile,
        "seed": result.seed,
        "hours": f"{result.wall_seconds / 3600:.2g}",
        "commit": result.commit,
        "torch": result.versions.get("torch"),
        "initialised from": ", ".join(str(x.get("path")) for x in result.begins_with.values()),
    }
    rows = {key: value for key, value in facts.items() if value not in (None, "")}
    closing = "The complete configuration is in `result.json`."
    return [_table("| | |\n|---|---|", rows), closing]
