"""Tests of the command ``export``: self-contained files of weights."""

from pathlib import Path

import pytest
import torch
from lightning import Trainer
from safetensors import safe_open

import spike_zoo
from spike_zoo.checkpoints.loading import save_weights
from spike_zoo.methods.stir import STIRModule
from spike_zoo.testing import QUIET
from spike_zoo.training.initial_weights import weights_sha256
from spike_zoo.training.result import RunResult
from tests.helpers.commands import Zoo
from tests.helpers.results import make_result

CHECKPOINT = Path("run/checkpoints/best.ckpt")


@pytest.fixture(autouse=True)
def _run(zoo: Zoo) -> None:
    """The checkpoint of a run, with its configuration."""
    torch.manual_seed(0)
    trainer = Trainer(logger=False, enable_checkpointing=False, **QUIET)
    trainer.strategy.connect(STIRModule(width=0.25, lpips="off"))
    trainer.save_checkpoint(CHECKPOINT)
    Path("run/config.yaml").write_text("run_dir: secret/place\nseed_everything: 3\n")


def write_record(sha256: str | None = None) -> None:
    digest = weights_sha256(CHECKPOINT) if sha256 is None else sha256
    record = make_result(metrics={"test/psnr": 31.5}, checkpoint_sha256=digest)
    record.write(Path("run/result.json"))


def recipe(path: str) -> str:
    with safe_open(path, framework="pt") as file:
        return str(file.metadata()["config"])


def test_an_exported_file_loads_and_contains_the_configuration(
    zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert zoo(f"export {CHECKPOINT} small.safetensors --half").code == 0
    target = Path("small.safetensors")
    assert target.stat().st_size < 0.2 * CHECKPOINT.stat().st_size + 1e6
    original, loaded = spike_zoo.load(CHECKPOINT), spike_zoo.load(target)
    for name, value in original.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value, rtol=1e-3, atol=1e-4)
    assert "seed_everything: 3" in recipe("small.safetensors")
    assert "secret" not in recipe("small.safetensors")
    monkeypatch.chdir(CHECKPOINT.parent)
    assert zoo("export best.ckpt out.safetensors").code == 0
    assert "seed_everything: 3" in recipe("out.safetensors")


def test_overwrite_replaces_the_weights_and_removes_the_record_of_the_former_ones(zoo: Zoo) -> None:
    write_record()
    assert zoo(f"export {CHECKPOINT} out").code == 0
    before = Path("out/model.safetensors").read_bytes()
    assert "--overwrite" in zoo(f"export {CHECKPOINT} out --half").err
    assert Path("out/model.safetensors").read_bytes() == before
    assert Path("out/result.json").exists()
    torch.manual_seed(1)
    other = STIRModule(width=0.25, lpips="off")
    save_weights(other, Path("other.safetensors"))
    assert zoo("export other.safetensors out --overwrite").code == 0
    loaded = spike_zoo.load("out").state_dict()
    for name, value in other.state_dict().items():
        torch.testing.assert_close(loaded[name], value, rtol=0, atol=0)
    assert "31.5" not in Path("out/README.md").read_text()
    assert not Path("out/result.json").exists()


def test_the_record_of_a_run_is_not_replaced_by_an_export(zoo: Zoo) -> None:
    write_record()
    before = Path("run/result.json").read_bytes()
    assert "the folder of a run" in zoo(f"export {CHECKPOINT} run --overwrite").err
    assert Path("run/result.json").read_bytes() == before
    assert not Path("run/model.safetensors").exists()


@pytest.mark.parametrize("name", ["README.md", "result.json"])
def test_existing_files_of_an_export_folder_are_not_replaced_without_overwrite(
    name: str, zoo: Zoo
) -> None:
    Path(name).write_text("mine")
    assert f"{name} exists already" in zoo(f"export {CHECKPOINT} .").err
    assert [path.name for path in Path().iterdir() if path.is_file()] == [name]
    assert Path(name).read_text() == "mine"


def test_a_configuration_that_belongs_to_no_run_is_not_exported(zoo: Zoo) -> None:
    Path("work/sub/folder").mkdir(parents=True)
    Path("work/sub/folder/best.ckpt").write_bytes(CHECKPOINT.read_bytes())
    save_weights(spike_zoo.load(CHECKPOINT), Path("work/checkpoints/w.safetensors"))
    for folder in ("work", "work/sub", "."):
        Path(folder, "config.yaml").write_text("password: stray\n")
    sources = ("stir", "work/sub/folder/best.ckpt", "work/checkpoints/w.safetensors")
    for source in sources:
        assert zoo(f"export {source} out.safetensors --overwrite").code == 0
        with safe_open("out.safetensors", framework="pt") as file:
            assert "stray" not in str(file.metadata())


def test_an_export_folder_contains_a_model_card_and_the_record_of_its_weights(zoo: Zoo) -> None:
    write_record()
    assert zoo(f"export {CHECKPOINT} own").code == 0
    card = Path("own/README.md").read_text()
    assert "| psnr | 31.5 |" in card
    assert ":class:" not in card
    assert RunResult.read(Path("own")).checkpoint_sha256 == weights_sha256(CHECKPOINT)
    loaded = spike_zoo.load("own")
    assert isinstance(loaded, STIRModule)
    assert loaded.hparams["width"] == 0.25
    write_record("0" * 64)  # the run tested other weights
    assert zoo(f"export {CHECKPOINT} other").code == 0
    assert "31.5" not in Path("other/README.md").read_text()
    assert not Path("other/result.json").exists()
