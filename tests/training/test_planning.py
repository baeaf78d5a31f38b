"""Tests of the plan of a run: folder, names, digest and input files."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import yaml

from spike_zoo.cli.main import main
from spike_zoo.training.planning import defaults_of
from spike_zoo.training.provenance import differences
from spike_zoo.training.result import RunResult
from tests.conftest import ROOT

BASE = ["--config", "configs/classical/tfi.yaml", "--config", "configs/profiles/smoke.yaml"]


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture
def archive(clips_archive: Path) -> str:
    return str(clips_archive)


def test_placeholders_in_run_dir_are_replaced(archive: str, tmp_path: Path) -> None:
    data = ["--data.init_args.archive", archive, "--trainer.enable_progress_bar", "false"]
    run_dir = f"{tmp_path}/{{profile}}/{{variant}}-{{seed}}-{{hash}}"
    assert main(["test", *BASE, *data, "--seed_everything", "3", "--run_dir", run_dir]) == 0
    folder = next((tmp_path / "smoke").glob("tfi-3-*"))
    record = RunResult.read(folder / "test")
    assert folder.name == f"tfi-3-{record.config_hash[:8]}"
    assert main(["test", *BASE, *data, "--seed_everything", "4", "--run_dir", run_dir]) == 0
    assert len(list((tmp_path / "smoke").iterdir())) == 2, "another seed is another run"


def test_an_unknown_placeholder_is_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", *BASE, "--run_dir", "runs/{varient}"]) == 2
    error = capsys.readouterr().err
    assert "{varient} is unknown" in error
    assert "{variant}" in error


def test_a_missing_input_file_of_a_model_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lpips = "runs/nowhere/{profile}/*-{seed}-*/best.ckpt"
    assert main(["test", *BASE, "--model.init_args.lpips", lpips]) == 2
    error = capsys.readouterr().err
    assert "runs/nowhere/smoke/*-0-*/best.ckpt" in error
    assert "model.init_args.lpips" in error


def test_a_saved_configuration_keeps_nulls_and_no_deprecated_call_is_made(
    archive: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "all")
    data = ["--data.init_args.archive", archive, "--trainer.enable_progress_bar", "false"]
    with warnings.catch_warnings(record=True) as caught_warnings:
        warnings.simplefilter("always")
        assert main(["test", *BASE, *data, "--run_dir", str(tmp_path)]) == 0
    package = ROOT / "spike_zoo"
    messages = [
        str(warning.message)
        for warning in caught_warnings
        if package in Path(warning.filename).parents
    ]
    assert messages == []
    saved = yaml.safe_load((tmp_path / "test/config.yaml").read_text())
    assert saved["trainer"]["limit_train_batches"] is None  # null is written explicitly


def test_a_nested_option_at_its_default_equals_a_record_without_it() -> None:
    """Records from before the option was added stay valid."""
    networks = {"fem_width": 0.25, "skip": False}
    model = {"class_path": "spike_zoo.methods.sci.SCIFeaturesModule"}
    data = {"class_path": "spike_zoo.data.SceneDataModule", "init_args": {"batch_size": 3}}
    config = {"model": {**model, "init_args": {"networks": networks}}, "data": data}
    defaults = defaults_of(config, {})
    assert defaults == {"model.init_args.networks.skip": False}
    recorded = {"model": {**model, "init_args": {"networks": {"fem_width": 0.25}}}, "data": data}
    assert differences(recorded, config, defaults) == []
    networks["skip"] = True
    assert differences(recorded, config, defaults_of(config, {})) == [
        "model.init_args.networks.skip: True, was not set"
    ]
