"""Tests of ``--compile``: same training, checkpoints and records as without compilation."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters

import spike_zoo
from spike_zoo.cli.main import main
from spike_zoo.errors import ConfigError
from spike_zoo.testing import tiny_archive
from spike_zoo.training.configs import compile_networks
from spike_zoo.training.result import RunResult
from tests.conftest import ROOT
from tests.helpers.modules import DoubledModule

# torch reads .grad while it compiles and hides the warning itself
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
CONFIG = """
model: {class_path: tests.helpers.modules.DoubledModule}
data:
  class_path: spike_zoo.data.ReconstructionDataModule
  init_args: {archive: tiny.h5, clip_length: 9, batch_size: 2, crop: 32}
trainer: {max_epochs: 2, accelerator: cpu, enable_progress_bar: false, enable_model_summary: false}
"""
FIT = ["fit", "--config", "doubled.yaml", "--run_dir"]


@pytest.fixture(autouse=True)
def _with_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_archive(tmp_path / "tiny.h5", planes=21)
    (tmp_path / "doubled.yaml").write_text(CONFIG)
    torch.compiler.reset()
    counters.clear()


def _weights(run_dir: Path, name: str = "last") -> dict[str, Any]:
    file = run_dir / "checkpoints" / f"{name}.ckpt"
    return torch.load(file, weights_only=True)["state_dict"]


def _compiled_frames() -> int:
    return counters["frames"]["ok"]


@pytest.mark.slow
def test_a_compiled_fit_saves_and_resumes_the_same_weights_as_an_uncompiled_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*FIT, "plain"]) == 0
    assert _compiled_frames() == 0
    compiled_fit = [*FIT, "compiled", "--compile", "aot_eager"]
    assert main([*compiled_fit, "--trainer.max_epochs", "1"]) == 0
    assert _compiled_frames() >= 3, "two parts for training, the whole for prediction"
    assert main([*FIT, "compiled", "--ckpt_path", "last"]) == 2
    assert "compile: not set, was 'aot_eager'" in capsys.readouterr().err
    assert main([*compiled_fit, "--ckpt_path", "last"]) == 0
    plain, compiled = _weights(tmp_path / "plain"), _weights(tmp_path / "compiled")
    assert list(plain) == list(compiled)
    torch.testing.assert_close(compiled, plain)
    best = tmp_path / "compiled" / "checkpoints" / "best.ckpt"
    assert isinstance(spike_zoo.load(best, trust=True), DoubledModule)
    records = [RunResult.read(tmp_path / name) for name in ("plain", "compiled")]
    assert records[0].macs == records[1].macs is not None
    assert records[0].config_hash != records[1].config_hash


def test_an_unknown_backend_is_rejected_with_the_known_ones() -> None:
    message = r"no backend 'inductr'\. Did you mean 'inductor'\? It has"
    with pytest.raises(ConfigError, match=message):
        compile_networks(torch.nn.Identity(), "inductr")


@pytest.mark.slow
def test_a_missing_compiler_is_reported_with_a_remedy(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "CXX": str(tmp_path / "no-compiler"),
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "empty cache"),
    }
    command = [sys.executable, "-m", "spike_zoo", *FIT, "wrong", "--compile", "true"]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert process.returncode == 2, process.stderr
    assert "compile: the networks cannot be compiled here (No working C++" in process.stderr
    assert "--compile aot_eager" in process.stderr
    assert not (tmp_path / "wrong").exists()
