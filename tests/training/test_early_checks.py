"""Mistakes in a training command that are reported before PyTorch is imported."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from lightning import Trainer

from spike_zoo.data import ReconstructionDataModule
from spike_zoo.data.base import ArchiveDataModule
from spike_zoo.errors import ExistingFileError, UsageError
from spike_zoo.methods.stir import AlignedSTIRModule, STIRModule
from spike_zoo.tasks import ReconstructionModule
from spike_zoo.training.configs import with_files
from spike_zoo.training.early_checks import _parameters, check_early

CONFIG = ["--config", "stir", "--config=profiles/smoke"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model.lr=1"], r"^unknown option --model\.lr\. Did you mean '--model\.learning_rate'"),
        (["--model.init_args.widht", "1"], r"widht\. Did you mean '--model\.init_args\.width'\?"),
        (["--model.network.atention=no"], r"Did you mean '--model\.network\.attention'\?"),
        (["--model.attention", "no"], r"Did you mean '--model\.network\.attention'\?"),
        (["--trainer.max_epoch", "3"], r"^unknown option .* Did you mean '--trainer\.max_epochs'"),
        (
            ["--data.batchsize=3"],
            r"Did you mean '--data\.batch_size'\? spike_zoo.* takes: archive,",
        ),
        (["--config=own.yaml"], r"^own\.yaml: trainer\.max_epoch: .* Did you mean 'max_epochs'"),
    ],
)
def test_an_unknown_option_or_key_is_rejected_with_the_nearest_one(
    options: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text("trainer: {max_epoch: 3}")
    with pytest.raises(UsageError, match=message):
        check_early("fit", with_files([*CONFIG, *options]))


@pytest.mark.parametrize(
    "options",
    [
        ["--model.learning_rate=1", "--data.batch_size=2", "--data.init_args.workers", "0"],
        ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=a", "--run_dir=x"],
        ["--model=mine.Module", "--model.lr=1", "--data.help", "--print_config"],
    ],
)
def test_valid_and_undecided_options_pass(options: list[str]) -> None:
    check_early("fit", with_files([*CONFIG, *options]))


def test_the_folder_of_another_run_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    with pytest.raises(ExistingFileError, match="contains a run already"):
        check_early("fit", [f"--run_dir={tmp_path}"])
    check_early("fit", [f"--run_dir={tmp_path}", "--ckpt_path=last"])
    check_early("validate", [f"--run_dir={tmp_path}"])


@pytest.mark.parametrize(
    ("path", "classes"),
    [
        ("lightning.pytorch.trainer.trainer.Trainer", [Trainer]),
        (
            "spike_zoo.methods.stir.AlignedSTIRModule",
            [AlignedSTIRModule, STIRModule, ReconstructionModule],
        ),
        (
            "spike_zoo.data.ReconstructionDataModule",
            [ReconstructionDataModule, ArchiveDataModule],
        ),
    ],
)
def test_parameters_from_the_source_are_those_of_the_class(path: str, classes: list[type]) -> None:
    stated = [name for kind in classes for name in inspect.signature(kind).parameters]
    found = {name for name in _parameters(path) if "." not in name}
    assert found == {*stated} - {"loading", "options", "evaluation"}


def test_parameters_that_the_source_does_not_state_are_not_checked() -> None:
    assert _parameters("mine.Module") == []
