"""Export of a method's network as an ONNX graph or a ``torch.export`` program."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from spike_zoo.errors import UsageError, WeightsError, first_line
from spike_zoo.utils.files import GRAPHS, new_file

if TYPE_CHECKING:
    from torch.export import ExportedProgram

TOLERANCE: Final = 1e-4  # of the largest value; another order of float32 sums differs by 1e-6
MIN_SIDE: Final = 16  # pixels


@dataclass(frozen=True)
class Graph:
    """Description of a written graph."""

    path: Path  #: the file
    inputs: Mapping[str, tuple[int, ...]]  #: name -> shape of every input
    output: tuple[int, ...]  #: shape of the output
    difference: float  #: largest absolute difference to the output of the module, on random input


def write_graph(
    module: nn.Module, path: str | Path, *, height: int, width: int, overwrite: bool = False
) -> Graph:
    """Export a module's forward pass for one clip to a file that runs without this package.

    The graph has a fixed size of planes and batch size 1, and computes in float32 on CPUs. Its
    output is compared with that of the module before the file is written.

    Args:
        module: A method with weights that reconstructs, deblurs or classifies.
        path: ``X.onnx`` or ``X.pt2``.
        height: Rows of the spikes.
        width: Columns of the spikes.
        overwrite: Replace an existing file.

    Raises:
        UsageError: If the suffix is unknown, the size is below 16 pixels, a library is missing, or
            the module has no forward pass of a single clip.
        WeightsError: If an operator cannot be exported, or the graph's output differs from the
            module's.
    """
    target = Path(path)
    if target.suffix not in GRAPHS:
        raise UsageError(f"{target}: a graph is written as {' or '.join(GRAPHS)}")
    if min(height, width) < MIN_SIDE:
        raise UsageError(f"--height {height} --width {width}: at least {MIN_SIDE} pixels each")
    inputs = _example_inputs(module, height, width)
    with torch.no_grad():
        program = _traced(module, inputs)  # first, because it rejects modules without computing
        wanted = module(*inputs.values())
        content, output = (
            _as_onnx(program, inputs) if target.suffix == ".onnx" else _as_program(program, inputs)
        )
    difference = float((output - wanted).abs().max())
    if not difference <= TOLERANCE * float(wanted.abs().max().clamp(min=1)):
        raise WeightsError(
            f"{target}: the outputs of the graph and of {type(module).__name__} differ by "
            f"{difference:.1e}; nothing was written"
        )
    with new_file(target, overwrite=overwrite) as temporary:
        temporary.write_bytes(content)
    shapes = {name: tuple(value.shape) for name, value in inputs.items()}
    return Graph(target, shapes, tuple(wanted.shape), difference)


def _example_inputs(module: nn.Module, height: int, width: int) -> dict[str, Tensor]:
    """Return random spikes and the other inputs of the module's ``forward``."""
    generator = torch.Generator().manual_seed(0)
    has_weights = next(module.parameters(), None) is not None
    if has_weights and hasattr(module, "window_length") and hasattr(module, "ratio"):
        ratio = int(str(module.ratio))
        blur = torch.rand(1, 3, ratio * height, ratio * width, generator=generator)
        return {"blur": blur, "window": _spikes(module.window_length, height, width, generator)}
    if has_weights and isinstance(getattr(module, "clip_length", None), int):
        spikes = _spikes(module.clip_length, height, width, generator)
        return {"spikes": spikes, "rate_scale": torch.tensor([0.6])}
    raise UsageError(
        f"{type(module).__name__} has no network with weights that computes its output from one "
        "clip, so it cannot be exported as a graph. For methods without weights, port the code of "
        "spike_zoo.methods.classical"
    )


def _spikes(planes: object, height: int, width: int, generator: torch.Generator) -> Tensor:
    return (torch.rand(1, int(str(planes)), height, width, generator=generator) < 0.3).float()


def _traced(module: nn.Module, inputs: Mapping[str, Tensor]) -> ExportedProgram:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # for example Lightning's, that no trainer is attached
            return torch.export.export(_Forward(module), tuple(inputs.values()), strict=False)
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        raise _export_error(module, "torch.export", error) from error


class _Forward(nn.Module):
    """Plain module with the ``forward`` of another module."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.module(*inputs)


def _export_error(module: nn.Module, form: str, error: Exception) -> WeightsError:
    return WeightsError(f"{type(module).__name__} cannot be written as {form}: {first_line(error)}")


def _as_program(program: ExportedProgram, inputs: Mapping[str, Tensor]) -> tuple[bytes, Tensor]:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Constants that share memory cause a warning; the saved program's output is checked.
        warnings.simplefilter("ignore")
        torch.export.save(program, buffer)
    buffer.seek(0)
    return buffer.getvalue(), torch.export.load(buffer).module()(*inputs.values())


def _as_onnx(program: ExportedProgram, inputs: Mapping[str, Tensor]) -> tuple[bytes, Tensor]:
    try:
        import onnx  # noqa: F401  (torch's exporter needs it)
        import onnxruntime
        import onnxscript  # noqa: F401  (likewise)
    except ImportError as error:
        raise UsageError(
            f"ONNX needs {error.name}, which is not installed: pip install 'spike-zoo[onnx]'"
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = torch.onnx.export(
                program,
                tuple(inputs.values()),
                input_names=list(inputs),
                dynamo=True,
                verbose=False,
            )
        assert exported is not None
        content = exported.model_proto.SerializeToString()
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        names = [node.name for node in session.get_inputs()]
        outputs = session.run(None, {name: inputs[name].numpy() for name in names})
    except (RuntimeError, ValueError, KeyError, NotImplementedError) as error:
        raise _export_error(program.module(), "ONNX", error) from error
    return content, torch.from_numpy(outputs[0])
