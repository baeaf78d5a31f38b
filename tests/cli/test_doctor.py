"""Tests of the command ``doctor``."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import torch

from spike_zoo.checkpoints.backbones import FOLDER_VARIABLE
from tests.conftest import ROOT
from tests.helpers.commands import Zoo


def sections(zoo: Zoo) -> dict[str, dict[str, str]]:
    """Return the rows of each section by its first word."""
    tables = {}
    for title, *lines in map(str.splitlines, zoo("doctor").out.strip().split("\n\n")):
        pairs = (re.split("  +", line.strip(), maxsplit=1) for line in lines)
        tables[title.split()[0]] = {name: " ".join(text) for name, *text in pairs}
    return tables


def test_doctor_lists_versions_devices_methods_and_backbone_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zoo: Zoo
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    (tmp_path / "alexnet-owt-7be5be79.pth").touch()
    tables = sections(zoo)
    assert torch.__version__.startswith(tables["Versions"]["torch"])
    assert "cores" in tables["Devices"]["cpu"]
    assert "tfstp" in tables["Methods"]
    backbones = tables["Backbones"]
    assert backbones["alexnet-owt-7be5be79.pth"] == str(tmp_path / "alexnet-owt-7be5be79.pth")
    assert "vgg16-397923af.pth" in backbones


def test_doctor_lists_the_packages_of_every_extra_for_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zoo: Zoo
) -> None:
    (tmp_path / "scorelike").mkdir()  # a folder is no installed package
    monkeypatch.syspath_prepend(tmp_path)
    needed = [*(metadata.requires("spike-zoo") or ()), "scorelike>=1; extra == 'iqa'"]
    monkeypatch.setattr("importlib.metadata.requires", lambda _: needed)
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = {*content["project"]["optional-dependencies"]} - {"dev", "audit", "docs", "fuzz"}
    parts = sections(zoo)["Optional"]
    assert parts["scorelike"] == "not installed (extra 'iqa')"
    assert {text.partition("'")[2].rstrip("')") for text in parts.values()} == extras


def test_doctor_prints_the_fast_precision_for_scripts(zoo: Zoo) -> None:
    assert zoo("doctor --precision").out.strip() in ("bf16-mixed", "32-true")


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
    zoo: Zoo,
) -> None:
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda *_, **__: built_for)
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    monkeypatch.setattr("torch.version.cuda", "13.0")
    monkeypatch.setattr("torch.version.hip", None)
    monkeypatch.setattr(
        "spike_zoo.checkpoints.loading.device_problem", lambda name: f"no driver for {name}"
    )
    devices = sections(zoo)["Devices"]
    assert (devices["torch built for"], devices["driver"]) == (build, driver)
    assert devices["--device auto"] == "cpu"
