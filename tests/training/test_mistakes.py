"""Tests of errors in configurations: one line, exit code 2, in every verb."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import pytest

from spike_zoo.archive import build_archive
from spike_zoo.cli.main import main
from spike_zoo.data import ReconstructionDataModule
from spike_zoo.testing import pattern_take
from tests.conftest import ROOT
from tests.helpers.checkpoints import write_checkpoint

VERBS = ("fit", "validate", "test", "predict")
SMOKE = ["--config", "configs/profiles/smoke.yaml", "--trainer.enable_progress_bar", "false"]
STIR = ["--config", "configs/stir_demo.yaml", *SMOKE, "--model.init_args.width", "0.25"]
STUDENT = ["--config", "configs/ssdm_student.yaml", *SMOKE]
STUDENT += ["--model.init_args.loss.use_teacher", "false", "--data.init_args.crop", "16"]


class ClipsWithoutLength(ReconstructionDataModule):
    """Custom data module without the attribute ``clip_length``."""

    def __init__(self, archive: str) -> None:
        super().__init__(archive, clip_length=41, batch_size=2, crop=32)
        self._length = self.__dict__.pop("clip_length")

    def make_samples(self, split: Any) -> Any:
        self.clip_length = self._length
        try:
            return super().make_samples(split)
        finally:
            del self.clip_length


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture
def clips(clips_archive: Path) -> str:
    return str(clips_archive)


@pytest.fixture
def exposures(exposures_archive: Path) -> str:
    return str(exposures_archive)


def _error_of(
    capsys: pytest.CaptureFixture[str], verb: str, arguments: list[str], run_dir: Path
) -> str:
    """Run a call that must fail with an error of one line; return the line."""
    assert main([verb, *arguments, "--run_dir", str(run_dir)]) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    (line,) = [line for line in error.splitlines() if line.startswith("error:")]
    return line


@pytest.mark.parametrize("verb", VERBS)
def test_clips_of_another_length_than_the_methods_are_rejected(
    verb: str, clips: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = [*STIR, "--data.init_args.archive", clips, "--data.init_args.clip_length", "41"]
    line = _error_of(capsys, verb, wrong, tmp_path)
    assert "data.init_args.clip_length: the clips have 41 planes" in line
    assert line.endswith("takes 61; set it to 61")


@pytest.mark.parametrize("verb", VERBS)
def test_the_clip_length_of_a_custom_data_module_is_checked(
    verb: str, clips: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = [*SMOKE, "--model", "spike_zoo.methods.stir.STIRModule", "--model.width", "0.25"]
    call += ["--data", f"{__name__}.{ClipsWithoutLength.__name__}", "--data.archive", clips]
    # the profile sets arguments of other modules
    call = [argument for argument in call if argument not in SMOKE[:2]]
    call += ["--trainer.max_epochs", "1", "--trainer.num_sanity_val_steps", "0"]
    if verb != "fit":
        call += ["--ckpt_path", str(write_checkpoint(tmp_path / "weights.ckpt"))]
    line = _error_of(capsys, verb, call, tmp_path)
    assert "the clips have 41 planes, STIRModule takes 61" in line


@pytest.mark.parametrize("verb", VERBS)
def test_too_few_planes_around_an_exposure_are_rejected(
    verb: str, exposures: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = [*STUDENT, "--data.init_args.archive", exposures, "--data.init_args.margin", "5"]
    line = _error_of(capsys, verb, wrong, tmp_path)
    assert "data.init_args.margin: 5 planes before and after" in line
    assert line.endswith("set it to at least 10")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--data.init_args.batch_size 0", "batch_size: at least 1, got 0$"),
        ("--data.init_args.eval_batch_size -1", "eval_batch_size: at least 1, got -1$"),
        ("--data.init_args.samples_per_epoch 0", "samples_per_epoch: at least 1, got 0$"),
        ("--data.init_args.workers -1", "workers: at least 0, got -1$"),
        ("--data.init_args.stride 0", "stride: at least 1, got 0$"),
        ("--data.init_args.clip_length -61", "clip_length: at least 1, got -61$"),
        ("--data.init_args.seed -1", "seed: at least 0, got -1$"),
        ("--data.init_args.crop 512", "crop: 512 pixels do not fit into .* 48x64; use a smaller"),
        ("--data.init_args.test_split tset", "no split 'tset'; it has train, val, test"),
        ("--model.init_args.weight_decay -1", r"weight_decay must be 0 or more, got -1"),
        ("--trainer.max_steps 0", "trainer.max_steps: 0 trains nothing"),
        (
            "--trainer.barebones true",
            "trainer.barebones: turns off loggers, checkpoints and .*record",
        ),
        ("--trainer.strategy nonsense", "invalid strategy name: `strategy='nonsense'`"),
        ("--trainer.val_check_interval 1000", "must be less than or equal to the number of the"),
        ("--seed_everything -1", "seed_everything: -1 is not in bounds"),
        ("--run_dir README.md", "--run_dir README.md: a file; name a folder"),
    ],
)
def test_an_invalid_value_is_named(
    arguments: str, message: str, clips: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = [*STIR, "--data.init_args.archive", clips]
    if "test_split" in arguments:
        line = _error_of(capsys, "test", [*call, *arguments.split()], tmp_path)
    elif "run_dir" in arguments:
        assert main(["fit", *call, *arguments.split()]) == 2
        line = capsys.readouterr().err.splitlines()[-1]
    else:
        line = _error_of(capsys, "fit", [*call, *arguments.split()], tmp_path)
    assert re.search(message, line), line


@pytest.mark.parametrize("workers", ["0", "1"])
def test_pictures_of_different_sizes_in_one_batch_are_rejected_in_one_line(
    workers: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"train": ["a"], "val": ["b"], "test": ["c", "d"]}
    sizes = {"a": 48, "b": 48, "c": 48, "d": 56}
    jobs = {
        name: functools.partial(pattern_take, 0, 81, height, 48, 0)
        for name, height in sizes.items()
    }
    archive = build_archive(tmp_path / "mixed.h5", jobs, splits=names)
    call = ["--config", "configs/classical/tfi.yaml", "--data.init_args.archive", str(archive)]
    call += ["--data.init_args.clip_length", "61", "--data.init_args.eval_batch_size", "2"]
    call += ["--data.init_args.workers", workers, "--trainer.enable_progress_bar", "false"]
    line = _error_of(capsys, "test", call, tmp_path / "run")
    assert line.startswith("error: batch: packed of different sizes")
    assert "set batch_size or eval_batch_size to 1" in line


@pytest.mark.parametrize(
    ("call", "closest"),
    [
        (["fit", *STIR, "--trainer.max_epoch", "3"], "--trainer.max_epochs"),
        (["test", *STIR, "--run_dri", "runs/x"], "--run_dir"),
    ],
)
def test_the_closest_option_is_suggested_for_a_mistyped_option(
    call: list[str], closest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(call) == 2
    error = capsys.readouterr().err
    assert f"Did you mean '{closest}'?" in error
    assert error.startswith("error: unknown option --")
