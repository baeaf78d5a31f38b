"""A model's card: what weights are, what they reach, of which data, by which recipe."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any

import yaml

from spike_zoo.errors import visible
from spike_zoo.records.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from spike_zoo.records.result import RunResult

LIBRARY = "spike-zoo"
#: Command -> a line that takes weights with it.
_LINES = {
    "reconstruct": "reconstruct street.npz --method {} --out street.mp4",
    "deblur": "deblur photo.png spikes.npz --weights {} --frames 7 --out sharp.mp4",
    "classify": "classify digit.npz --method {}",
}
#: What has a meaning in Markdown and HTML; an underscore inside a word has none.
_MARKUP = re.compile(r"[\\`*\[\]<>&|~$#!]|(?<![^\W_])_|_(?![^\W_])")


def model_card(
    name: str,
    described: Mapping[str, Any],
    result: RunResult | None = None,
    *,
    licence: str = "mit",
) -> str:
    """Return the card of weights as Markdown with the header that the Hub reads.

    Nothing is invented: what the record does not say is not in the card, and without a record it
    says that none of these weights is at hand.

    Args:
        name: What the weights are called, ``owner/name`` or a folder's name.
        described: ``class_path``, ``hyper_parameters``, ``summary``, one sentence about the class,
            and ``command``, which takes such weights.
        result: The record of the run that tested just these weights.
        licence: Of the weights, by the Hub's short name.
    """
    class_name = str(described["class_path"]).rpartition(".")[2]
    header = yaml.safe_dump(_header(name, class_name, result, licence), sort_keys=False)
    parts = [f"---\n{header}---", f"# {_inert(name.rpartition('/')[2])}"]
    summary = _inert(described.get("summary", ""))
    parts.append(f"Weights of {_as_code(class_name)} of Spike Zoo. {summary}".strip())
    parts += [
        _use(name, str(described.get("command"))),
        *_measured(result),
        *_data(result),
        *_recipe(described, result),
    ]
    parts.append(f"## Licence\n\nThe weights: {_inert(licence)}, as their publisher states.")
    return "\n\n".join(parts) + "\n"


def _inert(text: object) -> str:
    """Return text as one line without markup: its special characters are HTML entities."""
    line = visible(" ".join(str(text).split()))
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", line)


def _as_code(text: object) -> str:
    """Return text as one line inside backticks."""
    return f"`{visible(' '.join(str(text).split())).replace('`', chr(39))}`"


def _fenced(language: str, text: str) -> str:
    """Return a block of code; its fence is longer than any inside the text."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{visible(text)}\n{fence}"


def _header(name: str, class_name: str, result: RunResult | None, licence: str) -> dict[str, Any]:
    method = result.method if result else class_name.removesuffix("Module").lower()
    header: dict[str, Any] = {
        "license": licence,
        "library_name": LIBRARY,
        "tags": ["spike-camera", "neuromorphic", method],
    }
    measured = dict(_tested(result))
    if result is None or not measured:
        return header
    kind = "image-classification" if "accuracy" in measured else "image-to-image"
    metrics = [{"type": key, "value": value} for key, value in measured.items()]
    archive = _archive(result) or "unknown"
    data = {"type": archive, "name": archive, "split": "test"}
    one = {"task": {"type": kind}, "dataset": data, "metrics": metrics}
    return {
        **header,
        "metrics": list(measured),
        "model-index": [{"name": name.rpartition("/")[2], "results": [one]}],
    }


def _tested(result: RunResult | None) -> Iterator[tuple[str, float]]:
    """Yield what was measured on the test split, without metrics of single classes."""
    for key, value in sorted((result.metrics if result else {}).items()):
        split, _, metric = key.partition("/")
        if split == "test" and "/" not in metric and not metric.rpartition("_")[2].isdigit():
            yield metric, value


def _archive(result: RunResult) -> str | None:
    data = result.config.get("data") or {}
    archive = (data.get("init_args") or {}).get("archive")
    return str(archive).replace("\\", "/").rpartition("/")[2] if archive else None


def _use(name: str, command: str) -> str:
    source = " ".join((f"hf:{name}" if "/" in name else name).split())
    line = _LINES.get(command, _LINES["reconstruct"]).format(shlex.quote(source))
    quoted = json.dumps(source, ensure_ascii=False)
    parts = [
        "## Use",
        _fenced("sh", f"pip install 'spike-zoo[hub]'\nspike-zoo {line}"),
        _fenced("python", f"import spike_zoo\n\nmethod = spike_zoo.load({quoted})"),
        "The file holds tensors and plain values alone, and runs no code.",
    ]
    return "\n\n".join(parts)


def _measured(result: RunResult | None) -> Iterator[str]:
    if result is None or not dict(_tested(result)):
        yield "## What it reaches\n\nNo record of a test of just these weights is at hand."
        return
    lines = ["| measured | value |", "|---|---:|"]
    lines += [f"| {_inert(metric)} | {value:.4g} |" for metric, value in _tested(result)]
    lines.append(f"| parameters | {result.parameters:,} |")
    if result.macs is not None and result.image_size is not None:
        size = " x ".join(map(str, result.image_size))
        lines.append(f"| multiply-accumulates of one image of {size} | {result.macs / 1e9:.3g} G |")
    images = f" of {result.images} images" if result.images else ""
    yield "## What it reaches\n\n" + "\n".join(lines) + f"\n\nMeans{images}, one run, test split."


def _data(result: RunResult | None) -> Iterator[str]:
    if result is None:
        return
    archive = _archive(result)
    lines = [f"Archive {_as_code(archive)}" if archive else "Not an archive of Spike Zoo"]
    if result.data_sha256:
        lines.append(
            f"digest {_as_code(result.data_sha256)} (`spike-zoo archive info --json` shows it)"
        )
    yield f"## Data\n\n{', '.join(lines)}. Numbers on other data will differ."


def _recipe(described: Mapping[str, Any], result: RunResult | None) -> Iterator[str]:
    arguments = redact(described.get("hyper_parameters") or {})
    shown = yaml.safe_dump(arguments, sort_keys=False).strip()
    of_class = f"Arguments of {_as_code(described['class_path'])}:"
    text = f"## How it was made\n\n{of_class}\n\n{_fenced('yaml', shown)}"
    if result is not None:
        facts = {
            "configurations": ", ".join(result.configs) or None,
            "profile": result.profile,
            "seed": result.seed,
            "hours": f"{result.wall_seconds / 3600:.2g}",
            "commit": result.commit,
            "torch": result.versions.get("torch"),
            "began with": ", ".join(str(one.get("path")) for one in result.begins_with.values())
            or None,
        }
        lines = [
            f"| {key} | {_inert(value)} |" for key, value in facts.items() if value is not None
        ]
        text += "\n\n| | |\n|---|---|\n" + "\n".join(lines)
        text += "\n\nThe whole configuration is in `result.json`."
    yield text
