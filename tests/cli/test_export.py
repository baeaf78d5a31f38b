"""Tests of the command ``export``: self-contained files of weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lightning import Trainer
from safetensors import safe_open

import spike_zoo
from spike_zoo.checkpoints.loading import save_weights
from spike_zoo.cli.main import main
from spike_zoo.methods.stir import STIRModule
from spike_zoo.records.initial_weights import weights_sha256
from spike_zoo.records.result import RunResult
from spike_zoo.testing import QUIET
from tests.helpers.results import make_result


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    trainer = Trainer(logger=False, enable_checkpointing=False, **QUIET)
    trainer.strategy.connect(STIRModule(width=0.25, lpips="off"))
    path = tmp_path / "run" / "checkpoints" / "best.ckpt"
    trainer.save_checkpoint(path)
    (tmp_path / "run" / "config.yaml").write_text("run_dir: secret/place\nseed_everything: 3\n")
    return path


def test_an_exported_file_loads_and_contains_the_configuration(
    checkpoint: Path, tmp_path: Path
) -> None:
    target = tmp_path / "small.safetensors"
    assert main(["export", str(checkpoint), str(target), "--half"]) == 0
    assert target.stat().st_size < 0.2 * checkpoint.stat().st_size + 1e6
    original, loaded = spike_zoo.load(checkpoint), spike_zoo.load(target)
    for name, value in original.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value, rtol=1e-3, atol=1e-4)
    with safe_open(target, framework="pt") as file:
        recipe = file.metadata()["config"]
    assert "seed_everything: 3" in recipe
    assert "secret" not in recipe


def test_an_existing_export_is_not_replaced_without_overwrite(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out" / "model.safetensors"
    assert main(["export", str(checkpoint), str(tmp_path / "out")]) == 0
    before = target.read_bytes()
    assert main(["export", str(checkpoint), str(tmp_path / "out"), "--half"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert target.read_bytes() == before


def test_overwrite_replaces_the_weights_and_removes_the_record_of_the_former_ones(
    checkpoint: Path, tmp_path: Path
) -> None:
    record = make_result(metrics={"test/psnr": 31.5}, checkpoint_sha256=weights_sha256(checkpoint))
    record.write(checkpoint.parent.parent / "result.json")
    folder = tmp_path / "out"
    assert main(["export", str(checkpoint), str(folder)]) == 0
    assert (folder / "result.json").exists()
    torch.manual_seed(1)
    other = STIRModule(width=0.25, lpips="off")
    save_weights(other, tmp_path / "other.safetensors")
    call = ["export", str(tmp_path / "other.safetensors"), str(folder), "--overwrite"]
    assert main(call) == 0
    loaded = spike_zoo.load(folder).state_dict()
    for name, value in other.state_dict().items():
        torch.testing.assert_close(loaded[name], value, rtol=0, atol=0)
    assert "31.5" not in (folder / "README.md").read_text()
    assert not (folder / "result.json").exists()


def test_the_record_of_a_run_is_not_replaced_by_an_export(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = checkpoint.parent.parent
    make_result().write(run / "result.json")
    before = (run / "result.json").read_bytes()
    assert main(["export", str(checkpoint), str(run), "--overwrite"]) == 2
    assert "the folder of a run" in capsys.readouterr().err
    assert (run / "result.json").read_bytes() == before
    assert not (run / "model.safetensors").exists()


@pytest.mark.parametrize("name", ["README.md", "result.json"])
def test_existing_files_of_an_export_folder_are_not_replaced_without_overwrite(
    name: str, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text("mine")
    assert main(["export", str(checkpoint), str(tmp_path)]) == 2
    assert f"{name} exists already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [name]
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize(
    "source", ["stir-small", "sub/folder/best.ckpt", "checkpoints/w.safetensors"]
)
def test_a_configuration_that_belongs_to_no_run_is_not_exported(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    work = tmp_path / "work"
    (work / "sub" / "folder").mkdir(parents=True)
    (work / "checkpoints").mkdir()
    (work / "sub" / "folder" / "best.ckpt").write_bytes(checkpoint.read_bytes())
    save_weights(spike_zoo.load(checkpoint), work / "checkpoints" / "w.safetensors")
    for folder in (work, work / "sub"):
        (folder / "config.yaml").write_text("password: stray\n")
    monkeypatch.chdir(work)
    assert main(["export", source, "out.safetensors"]) == 0
    with safe_open(work / "out.safetensors", framework="pt") as file:
        assert "stray" not in str(file.metadata())


def test_a_checkpoint_exported_from_its_folder_keeps_the_configuration(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkpoint.parent)
    assert main(["export", "best.ckpt", "out.safetensors"]) == 0
    with safe_open(checkpoint.parent / "out.safetensors", framework="pt") as file:
        assert "seed_everything: 3" in file.metadata()["config"]


def test_an_export_folder_contains_a_model_card_and_the_record_of_its_weights(
    checkpoint: Path, tmp_path: Path
) -> None:
    digest = weights_sha256(checkpoint)
    record = make_result(metrics={"test/psnr": 31.5}, checkpoint_sha256=digest)
    record.write(checkpoint.parent.parent / "result.json")
    assert main(["export", str(checkpoint), str(tmp_path / "own")]) == 0
    card = (tmp_path / "own" / "README.md").read_text()
    assert "| psnr | 31.5 |" in card
    assert ":class:" not in card
    assert RunResult.read(tmp_path / "own").checkpoint_sha256 == digest
    loaded = spike_zoo.load(tmp_path / "own")
    assert isinstance(loaded, STIRModule)
    assert loaded.hparams["width"] == 0.25


def test_the_record_of_other_weights_of_the_run_is_left_out(
    checkpoint: Path, tmp_path: Path
) -> None:
    record = make_result(metrics={"test/psnr": 31.5}, checkpoint_sha256="0" * 64)
    record.write(checkpoint.parent.parent / "result.json")
    assert main(["export", str(checkpoint), str(tmp_path / "own")]) == 0
    assert "31.5" not in (tmp_path / "own" / "README.md").read_text()
    assert not (tmp_path / "own" / "result.json").exists()
