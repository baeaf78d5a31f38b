"""``export``: a checkpoint as weights that load anywhere, a page of the Hub, or a graph."""

from __future__ import annotations

import inspect
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from spike_zoo.checkpoints.hub import CARD_NAME, is_on_hub, push_to_hub
from spike_zoo.checkpoints.published import check_method
from spike_zoo.cli.console import echo
from spike_zoo.errors import UsageError
from spike_zoo.files import EXPORT_NAME, GRAPHS, check_absent, check_suffix, new_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from spike_zoo.records.result import RunResult

WEIGHTS_SUFFIX = ".safetensors"
RECORD_NAME = "result.json"


def export(
    source: str,
    out: str,
    *,
    half: bool = False,
    height: int = 128,
    width: int = 128,
    licence: str = "mit",
    private: bool = False,
    trust: bool = False,
    overwrite: bool = False,
) -> None:
    """Write a checkpoint's weights with everything that rebuilds the module, and nothing else.

    The file is safetensors: it cannot contain code. Optimiser states are not exported. Where the
    checkpoint lies in a run's folder, the run's configuration is kept in it. A folder and the Hub
    get a model card too, and the record of the run where it tested just these weights.

    Args:
        source: A checkpoint (.ckpt), weights (.safetensors) or a shipped name.
        out: A .safetensors file, a folder, hf:owner/name, or a graph of one size of planes for
            other programs: .onnx, or .pt2 for torch.export.
        half: Store weights as float16, half the size; they are used as float32.
        height: Rows of the spikes that a graph takes.
        width: Columns of the spikes that a graph takes.
        licence: Of the weights, by the Hub's short name, for the card.
        private: Make a new repository of the Hub private.
        trust: Import the class that the checkpoint names even if another package defines it.
        overwrite: Replace an existing file.
    """
    check_method(source)
    if is_on_hub(out):
        with tempfile.TemporaryDirectory() as folder:
            _write_folder(source, Path(folder), out, licence, half=half, trust=trust)
            echo(f"weights: {push_to_hub(folder, out, private=private)}")
        return
    check_suffix(out, (WEIGHTS_SUFFIX, *GRAPHS))
    target = Path(out)
    if target.suffix in GRAPHS:
        _write_graph(source, target, (height, width), half=half, trust=trust, overwrite=overwrite)
        return
    file = target if target.suffix == WEIGHTS_SUFFIX else target / EXPORT_NAME
    beside = [] if file is target else [target / CARD_NAME, target / RECORD_NAME]
    for one in [file, *beside]:
        check_absent(one, overwrite=overwrite)
    if file is target:
        _write_weights(source, file, half=half, trust=trust)
    else:
        _write_folder(source, target, target.name, licence, half=half, trust=trust)
    echo(f"weights: {file} ({file.stat().st_size / 1e6:.2f} MB)")


def _write_graph(
    source: str,
    target: Path,
    size: tuple[int, int],
    *,
    half: bool,
    trust: bool,
    overwrite: bool,
) -> None:
    """Write the network of a source as a graph, and print what it takes and gives."""
    if half:
        raise UsageError(f"{target}: a graph computes in float32; leave out --half")
    check_absent(target, overwrite=overwrite)
    from spike_zoo.checkpoints.graphs import write_graph  # loads torch: after cheap checks
    from spike_zoo.checkpoints.loading import load

    height, width = size
    module = _merged(load(source, trust=trust))
    graph = write_graph(module, target, height=height, width=width, overwrite=overwrite)
    given = ", ".join(f"{name} {shape}" for name, shape in graph.inputs.items())
    echo(f"{GRAPHS[target.suffix]}: {target} ({target.stat().st_size / 1e6:.2f} MB)")
    echo(f"takes {given}; gives {graph.output}; differs by {graph.difference:.1e} at most")


def _write_weights(source: str, file: Path, *, half: bool, trust: bool) -> nn.Module:
    """Write the weights of a source with its recipe, and return its module."""
    from spike_zoo.checkpoints.loading import load, save_weights  # loads torch: after cheap checks

    module = _merged(load(source, trust=trust))
    save_weights(module, file, half=half, config=_recipe(Path(source)))
    return module


def _merged(module: nn.Module) -> nn.Module:
    """Return a module whose branches are merged, where it was trained with some."""
    merge: Callable[[], nn.Module] | None = getattr(module, "merged", None)
    return module if merge is None else merge()


def _write_folder(
    source: str, folder: Path, name: str, licence: str, *, half: bool, trust: bool
) -> None:
    """Write weights, card and record as they are published."""
    from spike_zoo.records.model_card import model_card
    from spike_zoo.records.redaction import redact

    module = _write_weights(source, folder / EXPORT_NAME, half=half, trust=trust)
    result = _record(Path(source))
    card = model_card(name.removeprefix("hf:"), _described(module), result, licence=licence)
    texts = {CARD_NAME: card}
    if result is not None:
        content = json.loads((_run_of(Path(source)) / RECORD_NAME).read_text(encoding="utf-8"))
        texts[RECORD_NAME] = json.dumps(redact(content), indent=2) + "\n"
    for file, text in texts.items():
        with new_file(folder / file, overwrite=True) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def _described(module: nn.Module) -> dict[str, Any]:
    """Return what a card says of a module."""
    from spike_zoo.checkpoints.loading import plain_hyper_parameters
    from spike_zoo.tasks.protocols import Classifies, Deblurs

    command = "reconstruct"
    for ability, verb in ((Deblurs, "deblur"), (Classifies, "classify")):
        if isinstance(module, ability):
            command = verb
    return {
        "class_path": f"{type(module).__module__}.{type(module).__qualname__}",
        "hyper_parameters": plain_hyper_parameters(module),
        "summary": next(iter((inspect.getdoc(type(module)) or "").splitlines()), ""),
        "command": command,
    }


def _run_of(source: Path) -> Path:
    """Return the run that a checkpoint lies in: ``<run>/checkpoints/<name>.ckpt``."""
    return source.absolute().parent.parent


def _is_of_run(source: Path) -> bool:
    return source.suffix == ".ckpt" and source.absolute().parent.name == "checkpoints"


def _record(source: Path) -> RunResult | None:
    """Return the record of the run that a checkpoint lies in, if it is of just these weights."""
    from spike_zoo.records.initial_weights import weights_sha256
    from spike_zoo.records.result import RunResult

    file = _run_of(source) / RECORD_NAME
    if not _is_of_run(source) or not file.is_file():
        return None
    result = RunResult.read(file)
    return result if result.checkpoint_sha256 == weights_sha256(source) else None


def _recipe(source: Path) -> str:
    """Return the configuration of the run that a checkpoint lies in, less where it lay.

    Only ``<run>/checkpoints/<name>.ckpt`` lies in a run; any other file, and a shipped name, may
    lie beside another program's ``config.yaml``.
    """
    file = _run_of(source) / "config.yaml"
    if not _is_of_run(source) or not file.is_file():
        return ""
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    for key in ("run_dir", "ckpt_path", "config"):
        content.pop(key, None)
    content.get("trainer", {}).pop("default_root_dir", None)
    return yaml.safe_dump(content, sort_keys=False)
