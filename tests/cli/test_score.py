"""Tests of the command ``score`` with parameters from files."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage import data
from torch.nn import functional as F

from spike_zoo.media.images import save_image
from spike_zoo.metrics.noreference import no_reference_metrics
from tests.helpers.commands import Zoo


@pytest.fixture(scope="module")
def parameters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of parameters: NIQE fitted to photographs, BRISQUE with one support vector."""
    from deepinv.loss.metric import NIQE

    folder = tmp_path_factory.mktemp("parameters")
    images = [data.astronaut(), data.coffee(), data.chelsea()]
    tensors = [torch.from_numpy(image).permute(2, 0, 1).float() for image in images]
    niqe = NIQE(weights_path=None, patch_overlap=80)
    niqe.create_weights(tensors, save_path=str(folder / "niqe.pt"))
    arrays = {"support_vectors": torch.zeros(1, 36), "dual_coef": torch.ones(1)}
    scalars = {"rho": torch.tensor(-3.0), "gamma": torch.tensor(0.05)}
    torch.save({**arrays, **scalars}, folder / "brisque.pt")
    return folder


def photograph() -> torch.Tensor:
    return torch.from_numpy(data.astronaut().mean(axis=2)).float()[None, None]


def test_blur_and_noise_make_niqe_worse(parameters: Path) -> None:
    niqe = no_reference_metrics(niqe=str(parameters / "niqe.pt"))["niqe"]
    sharp = photograph()
    blurred = F.avg_pool2d(sharp, 5, 1, 2, count_include_pad=False)
    noisy = sharp + 40 * torch.randn(sharp.shape, generator=torch.Generator().manual_seed(0))
    scores = [float(niqe(image)) for image in (sharp, blurred, noisy.clamp(0, 255))]
    assert scores[0] < min(scores[1:])


def test_scores_of_a_folder_are_written_to_a_file(parameters: Path, zoo: Zoo) -> None:
    sharp = photograph()[0, 0, :250, :400].numpy() / 255
    for name, image in (("a", sharp), ("b", np.flipud(sharp))):
        save_image(np.ascontiguousarray(image), Path("images", f"{name}.png"))
    files = f"--niqe {parameters / 'niqe.pt'} --brisque {parameters / 'brisque.pt'}"
    assert "mean of 2" in zoo(f"score images {files} --out scores.csv").out
    lines = Path("scores.csv").read_text().splitlines()
    assert lines[0] == "name,niqe,brisque"
    assert [line.split(",")[0] for line in lines[1:]] == ["a.png", "b.png"]
    assert zoo(f"score images {files} --out scores.csv").code == 2


class _RunsCode:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("exit 1",)


@pytest.mark.parametrize("metric", ["niqe", "brisque"])
@pytest.mark.parametrize("content", [b"", b"no parameters", pickle.dumps(_RunsCode(), protocol=2)])
def test_files_without_metric_parameters_are_rejected_by_name(
    metric: str, content: bytes, zoo: Zoo
) -> None:
    save_image(np.zeros((200, 200)), Path("a.png"))
    Path("other.pt").write_bytes(content)
    result = zoo(f"score a.png --{metric} other.pt")
    assert result.code == 1
    assert f"other.pt: not a file of parameters of {metric.upper()}" in result.err


def test_missing_parameters_and_unsuitable_images_are_named(parameters: Path, zoo: Zoo) -> None:
    save_image(np.full((200, 200), 0.5), Path("flat.png"))
    save_image(np.zeros((191, 200)), Path("small.png"))
    for line, message in (
        ("flat.png", "--niqe FILE or --brisque FILE"),
        ("flat.png --niqe none.pt", "none.pt: there is no such file of parameters"),
        (f"flat.png --niqe {parameters / 'niqe.pt'}", "flat.png: NIQE is not defined"),
        (f"small.png --niqe {parameters / 'niqe.pt'}", "small.png: 191 rows and 200 columns"),
    ):
        assert message in zoo(f"score {line}").err
