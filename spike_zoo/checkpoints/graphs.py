"""A method's network as a graph for other programs: ONNX, or a program of ``torch.export``."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from spike_zoo.errors import UsageError, WeightsError
from spike_zoo.files import GRAPHS, new_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch.export import ExportedProgram

TOLERANCE: Final = 1e-4  # of the largest value; float32 in another order gives 1e-6
SMALLEST: Final = 16  # pixels


@dataclass(frozen=True)
class Graph:
    """What was written.

    Attributes:
        path: The file.
        inputs: Name -> shape of every input, as it must be given.
        output: Shape of what comes out.
        difference: The largest difference to the module itself, on random input.
    """

    path: Path
    inputs: Mapping[str, tuple[int, ...]]
    output: tuple[int, ...]
    difference: float


def write_graph(
    module: nn.Module, path: str | Path, *, height: int, width: int, overwrite: bool = False
) -> Graph:
    """Write what a module computes of one clip as a file that needs no Python of ours.

    The graph is of one size of planes, one clip at a time, float32, on the processor. It is run
    beside the module before it is handed over.

    Args:
        module: A method with something learned, that reconstructs, deblurs or classifies.
        path: ``X.onnx`` or ``X.pt2``.
        height: Rows of the spikes.
        width: Columns of the spikes.
        overwrite: Replace an existing file.

    Raises:
        UsageError: If the suffix is another, the size is below 16 pixels, a library is missing, or
            the module computes nothing of a clip alone.
        WeightsError: If an operator has no counterpart there, or the graph computes something else.
    """
    target = Path(path)
    if target.suffix not in GRAPHS:
        raise UsageError(f"{target}: a graph is written as {' or '.join(GRAPHS)}")
    if min(height, width) < SMALLEST:
        raise UsageError(f"--height {height} --width {width}: at least {SMALLEST} pixels each")
    inputs = _example_inputs(module, height, width)
    with torch.no_grad():
        wanted = module(*inputs.values())
        program = _traced(module, inputs)
        content, found = (
            _as_onnx(program, inputs) if target.suffix == ".onnx" else _as_program(program, inputs)
        )
    difference = float((found - wanted).abs().max())
    if not difference <= TOLERANCE * float(wanted.abs().max().clamp(min=1)):
        raise WeightsError(
            f"{target}: the graph does not compute what {type(module).__name__} does (they differ "
            f"by {difference:.1e}); nothing was written"
        )
    with new_file(target, overwrite=overwrite) as temporary:
        temporary.write_bytes(content)
    shapes = {name: tuple(value.shape) for name, value in inputs.items()}
    return Graph(target, shapes, tuple(wanted.shape), difference)


def _example_inputs(module: nn.Module, height: int, width: int) -> dict[str, Tensor]:
    """Return random spikes, and what else the module's ``forward`` takes."""
    generator = torch.Generator().manual_seed(0)
    learns = next(module.parameters(), None) is not None
    if learns and hasattr(module, "window_length") and hasattr(module, "ratio"):
        ratio = int(str(module.ratio))
        blur = torch.rand(1, 3, ratio * height, ratio * width, generator=generator)
        return {"blur": blur, "window": _spikes(module.window_length, height, width, generator)}
    if learns and isinstance(getattr(module, "clip_length", None), int):
        spikes = _spikes(module.clip_length, height, width, generator)
        return {"spikes": spikes, "rate_scale": torch.tensor([0.6])}
    raise UsageError(
        f"{type(module).__name__} has no network of weights that computes something of one clip "
        "alone, so there is no graph of it. Methods without weights are a few lines: "
        "spike_zoo.methods.classical"
    )


def _spikes(planes: object, height: int, width: int, generator: torch.Generator) -> Tensor:
    return (torch.rand(1, int(str(planes)), height, width, generator=generator) < 0.3).float()


def _traced(module: nn.Module, inputs: Mapping[str, Tensor]) -> ExportedProgram:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a trainer that a module lacks, and the like
            return torch.export.export(_Forward(module), tuple(inputs.values()), strict=False)
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        raise _refusal(module, "torch.export", error) from error


class _Forward(nn.Module):
    """The ``forward`` of a module and nothing else of it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.module(*inputs)


def _refusal(module: nn.Module, form: str, error: Exception) -> WeightsError:
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return WeightsError(f"{type(module).__name__} cannot be written as {form}: {reason}")


def _as_program(program: ExportedProgram, inputs: Mapping[str, Tensor]) -> tuple[bytes, Tensor]:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of constants that share memory; the reader is compared
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
        given = {name: value.numpy() for name, value in inputs.items()}
        found = session.run(None, {one.name: given[one.name] for one in session.get_inputs()})
    except (RuntimeError, ValueError, KeyError, NotImplementedError) as error:
        raise _refusal(program.module(), "ONNX", error) from error
    return content, torch.from_numpy(found[0])
