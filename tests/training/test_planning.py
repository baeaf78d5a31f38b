"""Tests of the plan of a run: folder, names, digest and input files."""

import warnings
from pathlib import Path

import pytest
import yaml

from spike_zoo.cli.main import main
from spike_zoo.errors import UsageError
from spike_zoo.tables.sweeps.line_reader import LineReader
from spike_zoo.training.planning import defaults_of
from spike_zoo.training.provenance import differences
from tests.conftest import ROOT
from tests.helpers.results import make_result

BASE = ["--config=classical/tfi", "--config=profiles/smoke"]


def test_placeholders_in_run_dir_are_replaced(reader: LineReader) -> None:
    folders = set()
    for seed in (3, 4):
        plan, _, _ = reader.read("test", [*BASE, f"--seed_everything={seed}"])
        folder = plan.filled("{profile}/{variant}-{seed}-{hash}")
        assert folder == f"smoke/tfi-{seed}-{plan.config_hash[:8]}"
        folders.add(folder.rpartition("-")[2])
    assert len(folders) == 2, "another seed is another run"
    with pytest.raises(UsageError, match=r"\{varient\} is unknown, known are \{variant\}"):
        plan.filled("runs/{varient}")


def test_the_configuration_of_a_run_is_a_row_of_its_variant(
    tmp_path: Path, reader: LineReader
) -> None:
    run = tmp_path / "mean-0"
    run.mkdir()
    (run / "config.yaml").write_text((ROOT / "configs/classical/tfi.yaml").read_text())
    line = [f"--config={run / 'config.yaml'}"]
    assert reader.read("test", line)[0].variant == "mean-0"
    make_result(configs=["variants/mean.yaml", "configs/profiles/long.yaml"]).write(
        run / "result.json"
    )
    plan, _, _ = reader.read("test", line)
    assert (plan.variant, plan.profile) == ("mean", "long")


def test_a_missing_input_file_of_a_model_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    lpips = "runs/nowhere/{profile}/*-{seed}-*/best.ckpt"
    assert main(["test", *BASE, "--model.init_args.lpips", lpips]) == 2
    error = capsys.readouterr().err
    assert "runs/nowhere/smoke/*-0-*/best.ckpt" in error
    assert "model.init_args.lpips" in error


def test_a_saved_configuration_keeps_nulls_and_no_deprecated_call_is_made(
    clips_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "all")
    call = ["validate", *BASE, f"--data.archive={clips_archive}", f"--run_dir={tmp_path}"]
    with warnings.catch_warnings(record=True) as caught_warnings:
        warnings.simplefilter("always")
        assert main([*call, "--trainer.enable_progress_bar=false"]) == 0
    package = ROOT / "spike_zoo"
    messages = [str(w.message) for w in caught_warnings if package in Path(w.filename).parents]
    assert messages == []
    saved = yaml.safe_load((tmp_path / "validate/config.yaml").read_text())
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
