"""Tests of training with two processes: same weights and metrics as one with double batches."""

import csv
import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from spike_zoo.archive import build_archive
from spike_zoo.cli.main import main
from spike_zoo.testing import pattern_take, tiny_archive
from spike_zoo.training.result import RunResult
from tests.conftest import ROOT

TWO = ["--trainer.accelerator", "cpu", "--trainer.devices", "2", "--trainer.strategy", "ddp"]
ONE = ["--trainer.accelerator", "cpu", "--trainer.devices", "1"]
# no batch normalisation, because its statistics are not synchronised between processes
FIT = ["--config", "configs/stir_demo.yaml", "--config", "configs/profiles/smoke.yaml"]
FIT += ["--model.init_args.width", "0.25", "--model.init_args.network.embedding", "tfp"]
FIT += ["--trainer.limit_val_batches", "1.0", "--trainer.enable_progress_bar", "false"]
FIT += ["--data.init_args.samples_per_epoch", "8"]


pytestmark = pytest.mark.usefixtures("checkout")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An archive with five validation images, one of a slow and one of a fast scene."""
    lengths = {f"train-{number}": 141 for number in range(4)}
    lengths |= {"val-0": 141, "val-fast-1": 81, "val-slow-2": 81, "test-0": 141}
    jobs = {
        name: functools.partial(pattern_take, seed, planes, 48, 64, 30)
        for seed, (name, planes) in enumerate(lengths.items())
    }
    splits = {
        split: [name for name in lengths if name.startswith(split)]
        for split in ("train", "val", "test")
    }
    path = tmp_path_factory.mktemp("archives") / "tiny.h5"
    return str(build_archive(path, jobs, splits=splits))


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spike_zoo", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )


def _validation_metrics(run_dir: Path) -> list[dict[str, float]]:
    """Return the metrics of each validation."""
    with (run_dir / "metrics.csv").open(newline="") as file:
        rows = [
            {key: float(value) for key, value in row.items() if key.startswith("val/") and value}
            for row in csv.DictReader(file)
        ]
    return [row for row in rows if row]


def _weights(run_dir: Path) -> dict[str, Tensor]:
    return torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def _fit_pair(archive: str, run_dir: Path, *options: str) -> subprocess.CompletedProcess[str]:
    call = [*FIT, "--data.init_args.archive", archive, "--data.init_args.batch_size", "2", *TWO]
    return _run("fit", *call, "--run_dir", str(run_dir), *options)


@pytest.fixture(scope="module")
def pair(archive: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run of two processes."""
    run_dir = tmp_path_factory.mktemp("pair") / "two"
    process = _fit_pair(archive, run_dir)
    assert process.returncode == 0, process.stderr
    assert process.stdout.count("result:") == 1, "only one process tests and writes the record"
    assert list(run_dir.parent.iterdir()) == [run_dir], "both processes use the same folder"
    return run_dir


@pytest.mark.slow
def test_two_processes_train_and_validate_like_one_with_twice_the_batch_size(
    archive: str, pair: Path, tmp_path: Path
) -> None:
    call = ["--data.init_args.archive", archive, "--data.init_args.batch_size", "4"]
    assert main(["fit", *FIT, *call, *ONE, "--run_dir", str(tmp_path)]) == 0
    single, double = (RunResult.read(run) for run in (tmp_path, pair))
    assert single.images == double.images
    measured, expected = (_validation_metrics(run) for run in (pair, tmp_path))
    assert len(expected) == 2
    assert {"val/psnr", "val/psnr_fast", "val/psnr_slow"} <= expected[0].keys()
    for ours, theirs in zip(measured, expected, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-3)
    for key in ("test/psnr", "test/ssim", "val/psnr"):
        assert double.metrics[key] == pytest.approx(single.metrics[key], abs=1e-3), key
    weights = _weights(pair)
    for name, value in _weights(tmp_path).items():
        torch.testing.assert_close(weights[name], value, rtol=1e-4, atol=2e-5, msg=name)


@pytest.mark.slow
def test_two_processes_resumed_in_mid_epoch_end_with_the_weights_of_an_uninterrupted_run(
    archive: str, pair: Path, tmp_path: Path
) -> None:
    run_dir = tmp_path / "stopped"
    callback = "--trainer.callbacks+=tests.helpers.stopping.StopAfter"
    stopped = _fit_pair(archive, run_dir, callback, "--trainer.callbacks.steps", "3")
    assert stopped.returncode == 130, stopped.stderr
    process = _fit_pair(archive, run_dir, "--ckpt_path", "last")
    assert process.returncode == 0, process.stderr
    weights = _weights(run_dir)
    for name, value in _weights(pair).items():
        assert torch.equal(weights[name], value), name


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["validate", "test"])
def test_two_processes_evaluate_like_one(verb: str, archive: str, tmp_path: Path) -> None:
    call = ["--config", "configs/classical/tfi9.yaml", "--data.init_args.archive", archive]
    call += ["--data.init_args.clip_length", "61", "--trainer.enable_progress_bar", "false"]
    process = _run(verb, *call, *TWO, "--run_dir", str(tmp_path / "two"))
    assert process.returncode == 0, process.stderr
    assert f"{verb}: on one device" in process.stdout + process.stderr
    assert main([verb, *call, "--run_dir", str(tmp_path / "one")]) == 0
    files = {
        path.relative_to(tmp_path / "one"): path
        for path in (tmp_path / "one").rglob("*")
        if path.suffix in (".png", ".csv")
    }
    assert len(files) >= 2
    for name, path in files.items():
        assert (tmp_path / "two" / name).read_bytes() == path.read_bytes(), name


@pytest.mark.slow
def test_more_processes_than_images_to_predict_are_rejected(tmp_path: Path) -> None:
    archive = tiny_archive(tmp_path / "one.h5", planes=161, height=32, width=48)
    data = ["--data.init_args.archive", str(archive), "--run_dir", str(tmp_path / "run")]
    process = _run("predict", "--config", "configs/classical/tfi.yaml", *data, *TWO)
    assert process.returncode == 2, process.stderr
    assert (
        "predict: 2 processes for 1 images, but each process needs at least one" in process.stderr
    )
    assert "Traceback" not in process.stderr
    assert not (tmp_path / "run").exists()
