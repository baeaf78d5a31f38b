"""Metric collections of tasks, without metrics whose files are missing."""

from pathlib import Path

import pytest
import torch

from spike_zoo.checkpoints.backbones import FOLDER_VARIABLE
from spike_zoo.errors import ConfigError
from spike_zoo.metrics import LPIPS
from spike_zoo.metrics.collections import _warn_lpips_off, reconstruction_metrics
from spike_zoo.metrics.published import PROTOCOLS

USUAL = {"psnr", "ssim"}


@pytest.mark.parametrize(
    ("protocols", "added"),
    [
        ((), set()),
        (("stir", "uniform7"), {"ssim_uniform7", "psnr_stir", "ssim_stir"}),
        (["ssdm"], {"psnr_official", "ssim_official"}),
    ],
)
def test_a_protocol_adds_its_metrics_to_the_usual_ones(
    protocols: list[str], added: set[str]
) -> None:
    metrics = reconstruction_metrics(lpips="off", protocols=protocols)
    assert set(metrics.keys(keep_base=True)) == USUAL | added


def test_protocols_measure_distances_with_the_same_backbone(random_alexnet: Path) -> None:
    metrics = reconstruction_metrics(lpips=str(random_alexnet), protocols=PROTOCOLS)
    assert {"lpips", "lpips_stir"} <= set(metrics.keys(keep_base=True))
    images = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    values = metrics(images, 1 - images)
    expected = LPIPS(random_alexnet, rescale=False)(images, 1 - images)
    assert values["lpips_stir"] == pytest.approx(expected.item(), rel=1e-6)
    assert values["lpips"] != values["lpips_stir"]


def test_an_unknown_protocol_is_rejected_with_the_list_of_protocols() -> None:
    with pytest.raises(ConfigError, match="'sitr' is unknown, known are ssdm, stir, uniform7"):
        reconstruction_metrics(lpips="off", protocols=("sitr",))


def test_collection_contains_no_weights_of_the_backbone(random_alexnet: Path) -> None:
    metrics = reconstruction_metrics(lpips=str(random_alexnet))
    assert "lpips" in metrics
    assert not metrics.clone(prefix="val/").state_dict()


def test_auto_omits_lpips_with_one_warning_if_its_weights_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    _warn_lpips_off.cache_clear()
    with pytest.warns(UserWarning, match="LPIPS is off") as caught:  # as in the compare command
        collections = [reconstruction_metrics(lpips="auto") for _ in range(3)]
    assert len(caught) == 1
    assert not any("lpips" in metrics for metrics in collections)
