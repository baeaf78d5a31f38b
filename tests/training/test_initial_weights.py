"""Tests of ``--init_from``: new optimiser, recorded digest, strict by default."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from spike_zoo.cli.main import main
from spike_zoo.training.initial_weights import weights_sha256
from spike_zoo.training.result import RunResult
from spike_zoo.utils.files import shipped_weights
from tests.conftest import ROOT
from tests.helpers.checkpoints import write_checkpoint

FIT = [
    *("fit", "--config", "configs/stir_demo.yaml", "--config", "configs/profiles/smoke.yaml"),
    *("--trainer.enable_progress_bar", "false", "--trainer.max_epochs", "1"),
    *("--data.init_args.samples_per_epoch", "2", "--data.init_args.crop", "16"),
    *("--model.learning_rate", "1e-12", "--test_after_fit", "false"),
]
QUARTER = ["--model.width", "0.25"]
Fit = Callable[..., int]


@pytest.fixture
def fit(clips_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fit:
    monkeypatch.chdir(ROOT)

    def run(*options: str, folder: str = "run") -> int:
        data = ["--data.init_args.archive", str(clips_archive), "--run_dir", str(tmp_path / folder)]
        return main([*FIT, *data, *options])

    return run


def _assert_starts_from(run_dir: Path, state: dict[str, torch.Tensor]) -> None:
    """Check that the weights after one update at a learning rate of 1e-12 equal a state."""
    content = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    assert content["global_step"] == 1
    for name, tensor in state.items():
        # running statistics change without an optimiser
        if "running_" not in name and "num_batches" not in name:
            actual = content["state_dict"][name]
            torch.testing.assert_close(actual, tensor, rtol=1e-6, atol=1e-9)


def test_a_run_starts_from_a_checkpoint_or_an_export_with_a_new_optimiser(
    fit: Fit, tmp_path: Path
) -> None:
    checkpoint = write_checkpoint(tmp_path / "weights.ckpt", seed=3)
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    export = tmp_path / "weights.safetensors"
    assert main(["export", str(checkpoint), str(export)]) == 0
    digests = set()
    for file in (checkpoint, export):
        assert fit(*QUARTER, "--init_from", str(file), folder=file.suffix[1:]) == 0
        _assert_starts_from(tmp_path / file.suffix[1:], state)
        record = RunResult.read(tmp_path / file.suffix[1:])
        assert record.begins_with["init_from"]["sha256"] == weights_sha256(file)
        assert record.config["model"]["init_args"]["learning_rate"] == 1e-12
        digests.add(record.config_hash)
    assert fit(*QUARTER, folder="from scratch") == 0
    digests.add(RunResult.read(tmp_path / "from scratch").config_hash)
    assert len(digests) == 3


def test_a_run_starts_from_shipped_weights_and_resumes_only_with_the_same_option(
    fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, file = "stir-small", shipped_weights()["stir-small"]
    assert fit("--model.width", "0.5", "--init_from", name) == 0
    record = RunResult.read(tmp_path / "run")
    assert record.begins_with["init_from"]["sha256"] == weights_sha256(file)
    options = ["--model.width", "0.5", "--ckpt_path", "last"]
    assert fit(*options, "--init_from", name) == 0
    assert fit(*options) == 2
    assert "init_from: not set, was 'stir-small'" in capsys.readouterr().err


def test_weights_that_do_not_fit_name_the_other_arguments(
    fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_checkpoint(tmp_path / "weights.ckpt")
    assert fit("--model.width", "0.5", "--init_from", str(file)) == 1
    error = capsys.readouterr().err
    assert "weights.ckpt: the weights do not fit STIRModule: " in error
    assert "of another shape, first network." in error
    assert "They were made with width=0.25" in error
    assert "--init_strict false" in error
    assert not (tmp_path / "run").exists()


def test_weights_that_fit_in_part_are_used_and_the_rest_is_listed(
    fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_checkpoint(tmp_path / "weights.ckpt")
    content = torch.load(file, weights_only=True)
    removed = next(iter(content["state_dict"]))
    content["state_dict"]["another.entry"] = content["state_dict"].pop(removed)
    torch.save(content, file)
    assert fit(*QUARTER, "--init_from", str(file)) == 1
    assert fit(*QUARTER, "--init_from", str(file), "--init_strict", "false") == 0
    output = capsys.readouterr().out
    assert "1 entries of the file are left out: another.entry" in output
    assert f"1 entries of the model keep their initial values: {removed}" in output
    del content["state_dict"]["another.entry"]
    _assert_starts_from(tmp_path / "run", content["state_dict"])


def test_options_that_exclude_each_other_are_named(
    fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(*QUARTER, folder="first") == 0
    last = str(tmp_path / "first" / "checkpoints" / "last.ckpt")
    assert fit(*QUARTER, "--init_from", "stir-small", "--ckpt_path", last) == 2
    assert "give one of them" in capsys.readouterr().err
    assert main(["test", *FIT[1:], "--init_from", last, "--run_dir", str(tmp_path / "t")]) == 2
    assert "--init_from is an option of fit" in capsys.readouterr().err
    config = ["--config", str(tmp_path / "first" / "config.yaml"), "--ckpt_path", last]
    assert main(["test", *config, "--run_dir", str(tmp_path / "tested")]) == 0


def test_an_unknown_name_is_rejected_with_the_closest_one(
    fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit("--init_from", "stir-smal") == 2
    assert "Did you mean 'stir-small'?" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
