"""Tests of the command ``doctor``."""

from __future__ import annotations

import json
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import torch

from spike_zoo.checkpoints.backbones import FOLDER_VARIABLE
from spike_zoo.cli.main import main
from tests.conftest import ROOT


def test_doctor_lists_versions_devices_methods_and_backbone_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    (tmp_path / "alexnet-owt-7be5be79.pth").touch()
    assert main(["doctor"]) == 0
    output = capsys.readouterr().out
    for fact in (
        torch.__version__.split("+")[0],
        "cores",
        "tfstp",
        str(tmp_path / "alexnet-owt-7be5be79.pth"),
    ):
        assert fact in output
    assert "vgg16-397923af.pth" in output


def test_doctor_lists_the_packages_of_every_extra_for_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gradiolike").mkdir()  # a folder is no installed package
    monkeypatch.syspath_prepend(tmp_path)
    needed = [*(metadata.requires("spike-zoo") or ()), "gradiolike>=1; extra == 'app'"]
    monkeypatch.setattr("importlib.metadata.requires", lambda _: needed)
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = {*content["project"]["optional-dependencies"]} - {"dev", "audit", "docs", "fuzz"}
    assert main(["doctor", "--json"]) == 0
    parts = json.loads(capsys.readouterr().out)["Optional parts"]
    assert parts["gradiolike"] == "not installed (extra 'app')"
    assert {text.partition("'")[2].rstrip("')") for text in parts.values()} == extras


def test_doctor_prints_the_fast_precision_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--precision"]) == 0
    assert capsys.readouterr().out.strip() in ("bf16-mixed", "32-true")


@pytest.mark.parametrize(
    ("built_for", "build", "driver"),
    [
        (torch.device("cuda"), "CUDA 13.0", "no usable device: no driver for cuda"),
        (None, "CPU", "not needed by this build"),
    ],
)
def test_doctor_reports_the_build_the_driver_and_the_automatic_device(
    built_for: torch.device | None,
    build: str,
    driver: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda *_, **__: built_for)
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    monkeypatch.setattr("torch.version.cuda", "13.0")
    monkeypatch.setattr("torch.version.hip", None)
    monkeypatch.setattr(
        "spike_zoo.checkpoints.loading.device_problem", lambda name: f"no driver for {name}"
    )
    assert main(["doctor", "--json"]) == 0
    devices = json.loads(capsys.readouterr().out)["Devices"]
    assert (devices["torch built for"], devices["driver"]) == (build, driver)
    assert devices["--device auto"] == "cpu"
