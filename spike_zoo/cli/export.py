"""Command ``export``: a checkpoint as safetensors, on the Hugging Face Hub, or as a graph."""

from __future__ import annotations

import inspect
import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from spike_zoo.checkpoints.hub import CARD_NAME, is_on_hub, push_to_hub
from spike_zoo.checkpoints.published import check_method
from spike_zoo.cli.console import echo
from spike_zoo.cli.options import PositiveInt
from spike_zoo.errors import ExistingFileError, UsageError
from spike_zoo.utils.files import EXPORT_NAME, GRAPHS, check_absent, check_suffix, new_file
from spike_zoo.utils.yaml_files import read_yaml

if TYPE_CHECKING:
    from torch import nn

WEIGHTS_SUFFIX = ".safetensors"
RECORD_NAME = "result.json"
_ROLE = re.compile(r":\w+:`~?([^`]+)`")  # reStructuredText, as in docstrings


def export(
    source: str,
    out: str,
    *,
    half: bool = False,
    height: PositiveInt = 128,
    width: PositiveInt = 128,
    licence: str = "mit",
    private: bool = False,
    trust: bool = False,
    overwrite: bool = False,
) -> None:
    """Export the weights of a checkpoint with the class and arguments of its module.

    The file has the format safetensors, which cannot contain code. Optimiser states are not
    exported. If the checkpoint is in a run's folder, the file also contains the configuration of
    the run. A folder or a repository of the Hub also gets a model card, and the record of the run
    if the run tested exactly these weights.

    Args:
        source: A checkpoint (.ckpt), weights (.safetensors) or a shipped name.
        out: A .safetensors file, a folder, hf:owner/name for the Hugging Face Hub, or a graph for
            other programs with a fixed size of planes: .onnx, or .pt2 for torch.export.
        half: Store weights as float16, which halves the size; they are loaded as float32.
        height: Rows of the input planes of a graph.
        width: Columns of the input planes of a graph.
        licence: Licence of the weights for the model card, by the Hub's short name.
        private: Create a private repository on the Hub.
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
    further = [] if file is target else [target / CARD_NAME, target / RECORD_NAME]
    for output in [file, *further]:
        check_absent(output, overwrite=overwrite)
    if file is target:
        _write_weights(_loaded(source, trust=trust), source, file, half=half)
    else:
        if (target / RECORD_NAME).exists() and not file.exists():
            raise ExistingFileError(f"{target}: the folder of a run; choose another folder")
        _write_folder(source, target, target.name, licence, half=half, trust=trust)
    echo(f"weights: {file} ({file.stat().st_size / 1e6:.2f} MB)")


def _write_graph(
    source: str, target: Path, size: tuple[int, int], *, half: bool, trust: bool, overwrite: bool
) -> None:
    """Write the network of a source as a graph; print inputs, output and numerical difference."""
    if half:
        raise UsageError(f"{target}: a graph computes in float32; leave out --half")
    check_absent(target, overwrite=overwrite)
    from spike_zoo.checkpoints.graphs import write_graph  # loads torch: after cheap checks

    height, width = size
    module = _loaded(source, trust=trust)
    graph = write_graph(module, target, height=height, width=width, overwrite=overwrite)
    inputs = ", ".join(f"{name} {shape}" for name, shape in graph.inputs.items())
    echo(f"{GRAPHS[target.suffix]}: {target} ({target.stat().st_size / 1e6:.2f} MB)")
    echo(f"inputs {inputs}; output {graph.output}; largest difference {graph.difference:.1e}")


def _write_weights(module: nn.Module, source: str, file: Path, *, half: bool) -> None:
    """Write the weights of a source with the configuration of its run."""
    from spike_zoo.checkpoints.loading import save_weights

    save_weights(module, file, half=half, config=_recipe(Path(source)))


def _loaded(source: str, *, trust: bool) -> nn.Module:
    """Load the module of a source, with its training branches merged if it has any."""
    from spike_zoo.checkpoints.loading import load  # loads torch: after cheap checks

    module = load(source, trust=trust)
    merge: Callable[[], nn.Module] | None = getattr(module, "merged", None)
    return module if merge is None else merge()


def _write_folder(
    source: str, folder: Path, name: str, licence: str, *, half: bool, trust: bool
) -> None:
    from spike_zoo.training.model_card import model_card
    from spike_zoo.training.provenance import redact
    from spike_zoo.training.result import RunResult

    module = _loaded(source, trust=trust)
    record = _record(Path(source))
    result = None if record is None else RunResult.read(record)
    card = model_card(name.removeprefix("hf:"), _card_facts(module), result, licence=licence)
    texts = {CARD_NAME: card}
    if record is not None:
        content = json.loads(record.read_text(encoding="utf-8"))
        texts[RECORD_NAME] = json.dumps(redact(content), indent=2) + "\n"
    # first, so that an interruption leaves no record beside other weights
    (folder / RECORD_NAME).unlink(missing_ok=True)
    _write_weights(module, source, folder / EXPORT_NAME, half=half)
    for file, text in texts.items():
        with new_file(folder / file, overwrite=True) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def _card_facts(module: nn.Module) -> dict[str, Any]:
    """Return the facts of a module for its model card."""
    from spike_zoo.checkpoints.saved_model import plain_hyper_parameters
    from spike_zoo.tasks.protocols import Classifies, Deblurs

    command = "reconstruct"
    for ability, verb in ((Deblurs, "deblur"), (Classifies, "classify")):
        if isinstance(module, ability):
            command = verb
    return {
        "class_path": f"{type(module).__module__}.{type(module).__qualname__}",
        "hyper_parameters": plain_hyper_parameters(module.hparams),
        "summary": _ROLE.sub(r"\1", (inspect.getdoc(type(module)) or "").partition("\n")[0]),
        "command": command,
    }


def _file_of_run(source: Path, name: str) -> Path | None:
    """Return a file in the run's folder of a checkpoint ``<run>/checkpoints/<name>.ckpt``, if any.

    A file of this name near any other file may be of another program.
    """
    folder = source.absolute().parent
    is_of_run = source.suffix == ".ckpt" and folder.name == "checkpoints"
    file = folder.parent / name
    return file if is_of_run and file.is_file() else None


def _record(source: Path) -> Path | None:
    """Return the record of a checkpoint's run, if the run tested exactly these weights."""
    from spike_zoo.training.initial_weights import weights_sha256
    from spike_zoo.training.result import RunResult

    if (file := _file_of_run(source, RECORD_NAME)) is None:
        return None
    is_tested = RunResult.read(file).checkpoint_sha256 == weights_sha256(source)
    return file if is_tested else None


def _recipe(source: Path) -> str:
    """Return the configuration of a checkpoint's run as YAML, without its paths; else ""."""
    if (file := _file_of_run(source, "config.yaml")) is None:
        return ""
    content = read_yaml(file)
    for key in ("run_dir", "ckpt_path", "config"):
        content.pop(key, None)
    content.get("trainer", {}).pop("default_root_dir", None)
    return yaml.safe_dump(content, sort_keys=False)
