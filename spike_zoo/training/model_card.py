"""Model cards of weights, in Markdown for the Hugging Face Hub."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any

import yaml

from spike_zoo.errors import visible
from spike_zoo.training.provenance import redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from spike_zoo.training.result import RunResult

LIBRARY = "spike-zoo"
#: Command -> example of its use with weights.
_LINES = {
    "reconstruct": "reconstruct street.npz --method {} --out street.mp4",
    "deblur": "deblur photo.png spikes.npz --weights {} --frames 7 --out sharp.mp4",
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
    """Return text as one line with special characters as HTML entities."""
    line = visible(" ".join(str(text).split()))
    return _MARKUP.sub(lambda match: f"&#{ord(match[0])};", line)


def _as_code(text: object) -> str:
    """Return text as one line of inline code."""
    return f"`{visible(' '.join(str(text).split())).replace('`', chr(39))}`"


def _fenced(language: str, text: str) -> str:
    """Return a code block whose fence is longer than any run of backticks in the text."""
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
    entry = {"task": {"type": kind}, "dataset": data, "metrics": metrics}
    return {
        **header,
        "metrics": list(measured),
        "model-index": [{"name": name.rpartition("/")[2], "results": [entry]}],
    }


def _tested(result: RunResult | None) -> Iterator[tuple[str, float]]:
    """Yield name and value of the test metrics, without metrics of single classes."""
    for key, value in sorted((result.metrics if result else {}).items()):
        split, _, metric = key.partition("/")
        if split == "test" and "/" not in metric and not metric.rpartition("_")[2].isdigit():
            yield metric, value


def _archive(result: RunResult) -> str | None:
    data = result.config.get("data") or {}
    source = (data.get("init_args") or {}).get("archive") or []
    files = source if isinstance(source, list) else [source]
    return ", ".join(str(file).replace("\\", "/").rpartition("/")[2] for file in files) or None


def _use(name: str, command: str) -> str:
    source = " ".join((f"hf:{name}" if "/" in name else name).split())
    line = _LINES.get(command, _LINES["reconstruct"]).format(shlex.quote(source))
    quoted = json.dumps(source, ensure_ascii=False)
    parts = [
        "## Use",
        _fenced("sh", f"pip install 'spike-zoo[hub]'\nspike-zoo {line}"),
        _fenced("python", f"import spike_zoo\n\nmethod = spike_zoo.load({quoted})"),
        "The file contains only tensors and plain values; loading it runs no code.",
    ]
    return "\n\n".join(parts)


def _measured(result: RunResult | None) -> Iterator[str]:
    if result is None or not dict(_tested(result)):
        yield "## Results\n\nNo test record of these weights is available."
        return
    lines = ["| measured | value |", "|---|---:|"]
    lines += [f"| {_inert(metric)} | {value:.4g} |" for metric, value in _tested(result)]
    lines.append(f"| parameters | {result.parameters:,} |")
    if result.macs is not None and result.image_size is not None:
        size = " x ".join(map(str, result.image_size))
        lines.append(f"| multiply-accumulates of one image of {size} | {result.macs / 1e9:.3g} G |")
    images = f" of {result.images} images" if result.images else ""
    yield "## Results\n\n" + "\n".join(lines) + f"\n\nMeans{images}, one run, test split."


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
    yaml_text = yaml.safe_dump(arguments, sort_keys=False).strip()
    heading = f"Arguments of {_as_code(described['class_path'])}:"
    text = f"## How it was made\n\n{heading}\n\n{_fenced('yaml', yaml_text)}"
    if result is not None:
        facts = {
            "configurations": ", ".join(result.configs) or None,
            "profile": result.profile,
            "seed": result.seed,
            "hours": f"{result.wall_seconds / 3600:.2g}",
            "commit": result.commit,
            "torch": result.versions.get("torch"),
            "initialised from": ", ".join(
                str(origin.get("path")) for origin in result.begins_with.values()
            )
            or None,
        }
        lines = [
            f"| {key} | {_inert(value)} |" for key, value in facts.items() if value is not None
        ]
        text += "\n\n| | |\n|---|---|\n" + "\n".join(lines)
        text += "\n\nThe complete configuration is in `result.json`."
    yield text
