"""Tests of the command ``score`` with parameters from files."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage import data
from torch.nn import functional as F

from spike_zoo.cli.main import main
from spike_zoo.media.pictures import save_picture
from spike_zoo.metrics.noreference import no_reference_metrics


@pytest.fixture(scope="module")
def parameters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return parameter files: NIQE fitted to photographs, BRISQUE with one support vector."""
    from deepinv.loss.metric import NIQE

    folder = tmp_path_factory.mktemp("parameters")
    pictures = [data.astronaut(), data.coffee(), data.chelsea()]
    tensors = [torch.from_numpy(picture).permute(2, 0, 1).float() for picture in pictures]
    NIQE(weights_path=None, patch_overlap=80).create_weights(
        tensors, save_path=str(folder / "niqe.pt")
    )
    arrays = {"support_vectors": torch.zeros(1, 36), "dual_coef": torch.ones(1)}
    scalars = {"rho": torch.tensor(-3.0), "gamma": torch.tensor(0.05)}
    torch.save({**arrays, **scalars}, folder / "brisque.pt")
    return {name: folder / f"{name}.pt" for name in ("niqe", "brisque")}


def photograph() -> torch.Tensor:
    return torch.from_numpy(data.astronaut().mean(axis=2)).float()[None, None]


def test_blur_and_noise_make_niqe_worse(parameters: dict[str, Path]) -> None:
    niqe = no_reference_metrics(niqe=str(parameters["niqe"]))["niqe"]
    sharp = photograph()
    blurred = F.avg_pool2d(sharp, 5, 1, 2, count_include_pad=False)
    noisy = sharp + 40 * torch.randn(sharp.shape, generator=torch.Generator().manual_seed(0))
    scores = [float(niqe(image)) for image in (sharp, blurred, noisy.clamp(0, 255))]
    assert scores[0] < min(scores[1:])


def test_scores_of_a_folder_are_written_to_a_file(
    parameters: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sharp = photograph()[0, 0, :250, :400].numpy() / 255
    for name, picture in (("a", sharp), ("b", np.flipud(sharp))):
        save_picture(np.ascontiguousarray(picture), tmp_path / "pictures" / f"{name}.png")
    files = [part for name, path in parameters.items() for part in (f"--{name}", str(path))]
    out = tmp_path / "scores.csv"
    assert main(["score", str(tmp_path / "pictures"), *files, "--out", str(out)]) == 0
    lines = out.read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["name", "a.png", "b.png"]
    assert lines[0] == "name,niqe,brisque"
    assert "mean of 2" in capsys.readouterr().out
    assert main(["score", str(tmp_path / "pictures"), *files, "--out", str(out)]) == 2


class _RunsCode:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("exit 1",)


@pytest.mark.parametrize("metric", ["niqe", "brisque"])
@pytest.mark.parametrize("content", [b"", b"no parameters", pickle.dumps(_RunsCode(), protocol=2)])
def test_files_without_metric_parameters_are_rejected_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], metric: str, content: bytes
) -> None:
    save_picture(np.zeros((200, 200)), tmp_path / "a.png")
    (tmp_path / "other.pt").write_bytes(content)
    arguments = ["score", str(tmp_path / "a.png"), f"--{metric}", str(tmp_path / "other.pt")]
    assert main(arguments) == 1
    assert f"other.pt: not a file of parameters of {metric.upper()}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.png"], "--niqe FILE or --brisque FILE"),
        (["a.png", "--niqe", "none.pt"], "none.pt: there is no such file of parameters"),
        (["none.png", "--niqe", "x"], "none.png: there is no such picture or folder"),
        (["empty", "--niqe", "x"], "empty: the folder contains no picture"),
    ],
)
def test_invalid_arguments_are_reported(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    save_picture(np.zeros((200, 200)), "a.png")
    Path("empty").mkdir()
    assert main(["score", *arguments]) in (1, 2)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.full((200, 200), 0.5), "a.png: NIQE is not defined"),
        (np.zeros((191, 200)), "a.png: 191 rows and 200 columns"),
    ],
)
def test_pictures_that_cannot_be_scored_are_named(
    parameters: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    picture: NDArray[np.float64],
    message: str,
) -> None:
    save_picture(picture, tmp_path / "a.png")
    assert main(["score", str(tmp_path / "a.png"), "--niqe", str(parameters["niqe"])]) == 1
    assert message in capsys.readouterr().err
