"""Export of networks to ONNX and torch.export with equal outputs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import spike_zoo
from spike_zoo.checkpoints.graphs import write_graph
from spike_zoo.cli.main import main
from spike_zoo.errors import UsageError, WeightsError
from spike_zoo.methods.stir import AlignedSTIRModule
from spike_zoo.tasks import ReconstructionModule

pytestmark = pytest.mark.filterwarnings("ignore")  # raised by the exporters of torch
SIZES = {"stir": (64, 80), "plain": (24, 32), "ssdm-student": (24, 32), "sci": (48, 64)}


class Mean(ReconstructionModule):
    """Module that returns the mean of nine planes."""

    clip_length = 9

    def __init__(self) -> None:
        super().__init__(lpips="off")
        self.weight = torch.nn.Parameter(torch.full((9,), 1 / 9))

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        scale = 1.0 if rate_scale is None else rate_scale.view(-1, 1, 1, 1)
        return (torch.einsum("bthw,t->bhw", spikes, self.weight)[:, None] / scale).clamp(0, 1)


class Chooses(Mean):
    """Module with data-dependent control flow, which cannot be exported."""

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        return super().forward(spikes) if float(spikes.sum()) > 3 else spikes[:, :1]


def _inputs_of(module: nn.Module, height: int, width: int) -> list[Tensor]:
    """Return inputs of a module that differ from those used for the export."""
    generator = torch.Generator().manual_seed(7)
    planes = int(getattr(module, "clip_length", 0) or getattr(module, "window_length", 0))
    spikes = (torch.rand(1, planes, height, width, generator=generator) < 0.4).float()
    if hasattr(module, "ratio"):
        return [torch.rand(1, 3, 4 * height, 4 * width, generator=generator), spikes]
    return [spikes, torch.tensor([0.8])]


def _assert_equal_outputs(module: nn.Module, file: Path, inputs: list[Tensor]) -> None:
    with torch.inference_mode():
        expected = module(*inputs).numpy()
    if file.suffix == ".pt2":
        actual = torch.export.load(file).module()(*inputs).detach().numpy()
    else:
        onnxruntime = pytest.importorskip("onnxruntime")
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        names = [value.name for value in session.get_inputs()]
        (actual,) = session.run(
            None, {name: value.numpy() for name, value in zip(names, inputs, strict=False)}
        )
    np.testing.assert_allclose(actual, expected, atol=1e-4)


@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_a_graph_and_its_module_give_equal_outputs(tmp_path: Path, suffix: str) -> None:
    if suffix == ".onnx":
        pytest.importorskip("onnxscript", reason="of the extra 'onnx'")
    module = Mean().eval()
    graph = write_graph(module, tmp_path / f"mean{suffix}", height=20, width=24)
    assert dict(graph.inputs) == {"spikes": (1, 9, 20, 24), "rate_scale": (1,)}
    assert graph.output == (1, 1, 20, 24)
    _assert_equal_outputs(module, graph.path, _inputs_of(module, 20, 24))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
@pytest.mark.parametrize("name", SIZES)
def test_an_exported_shipped_method_gives_equal_outputs(
    name: str, suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if suffix == ".onnx":
        pytest.importorskip("onnxscript", reason="of the extra 'onnx'")
    height, width = SIZES[name]
    file = tmp_path / f"graph{suffix}"
    size = ["--height", str(height), "--width", str(width)]
    assert main(["export", name, str(file), *size]) == 0
    assert "largest difference" in capsys.readouterr().out
    module = spike_zoo.load(name)
    _assert_equal_outputs(module, file, _inputs_of(module, height, width))


def test_data_dependent_control_flow_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"Chooses cannot be written as torch\.export"):
        write_graph(Chooses().eval(), tmp_path / "x.pt2", height=16, width=16)
    assert not list(tmp_path.iterdir())


def test_a_method_with_flow_estimated_outside_the_network_is_rejected(tmp_path: Path) -> None:
    module = AlignedSTIRModule(width=0.34, pyramid_levels=3, lpips="off").eval()
    with pytest.raises(WeightsError, match="its optical flow is estimated outside"):
        write_graph(module, tmp_path / "a.pt2", height=16, width=16)


def test_methods_without_a_network_and_invalid_options_are_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "tfi", str(tmp_path / "tfi.onnx")]) == 2
    assert "TFI has no network with weights" in capsys.readouterr().err
    with pytest.raises(UsageError, match=r"\.onnx or \.pt2"):
        write_graph(Mean(), tmp_path / "x.trt", height=16, width=16)
    with pytest.raises(UsageError, match="at least 16"):
        write_graph(Mean(), tmp_path / "x.pt2", height=8, width=16)
    assert main(["export", "stir", str(tmp_path / "a.onnx"), "--half"]) == 2
    assert "--half" in capsys.readouterr().err
