"""fit, validate, test and predict as a user types them."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from spike_zoo import SpikeArchive
from spike_zoo.cli.main import main
from spike_zoo.tracking import RunResult
from tests.conftest import ROOT
from tests.helpers.measured import psnr_by_hand

FIT = ["--config", "configs/stir_demo.yaml", "--config", "configs/profiles/smoke.yaml"]
SMALL = ["--model.init_args.width", "0.25", "--trainer.enable_progress_bar", "false"]


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="module")
def archive(clips_archive: Path) -> str:
    return str(clips_archive)


@pytest.fixture(scope="module")
def fitted(archive: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("runs") / "fitted"
    data = ["--data.init_args.archive", archive]
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        assert main(["fit", *FIT, *SMALL, *data, "--run_dir", str(run_dir)]) == 0
    finally:
        os.chdir(before)
    return run_dir


def _metrics(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_fit_leaves_config_metrics_checkpoints_pictures_and_a_record(
    fitted: Path, archive: str
) -> None:
    for name in ("config.yaml", "checkpoints/best.ckpt", "checkpoints/last.ckpt"):
        assert (fitted / name).is_file()
    assert list((fitted / "images").glob("val-*.png"))
    result = RunResult.read(fitted)
    assert (result.method, result.variant, result.profile) == ("stir", "stir_demo", "smoke")
    assert result.data_sha256 == SpikeArchive(archive).data_sha256()
    assert result.image_size == (48, 64)
    assert result.macs is not None
    assert {"test/psnr", "test/ssim", "val/psnr"} <= result.metrics.keys()
    (tested,) = [row for row in _metrics(fitted) if row.get("test/psnr")]
    assert float(tested["test/psnr"]) == pytest.approx(result.metrics["test/psnr"])
    assert int(tested["step"]) == 4, "after the last of two epochs' updates"


def test_testing_the_best_checkpoint_gives_the_fits_own_numbers_and_touches_nothing(
    fitted: Path,
) -> None:
    before = {path: path.stat().st_mtime_ns for path in fitted.rglob("*") if path.is_file()}
    config = ["--config", str(fitted / "config.yaml"), "--trainer.enable_progress_bar", "false"]
    # first, as the run's own configuration must not undo it
    assert main(["test", "--ckpt_path", "best", *config, "--run_dir", str(fitted)]) == 0
    again = RunResult.read(fitted / "test").metrics["test/psnr"]
    assert again == pytest.approx(RunResult.read(fitted).metrics["test/psnr"], abs=1e-4)
    after = {path: path.stat().st_mtime_ns for path in before}
    assert after == before


def test_validate_and_predict_write_below_their_verb(fitted: Path) -> None:
    config = ["--config", str(fitted / "config.yaml"), "--trainer.enable_progress_bar", "false"]
    assert main(["validate", *config, "--ckpt_path", "best"]) == 0
    assert _metrics(fitted / "validate")[-1]["val/psnr"]
    assert main(["predict", *config, "--ckpt_path", "last"]) == 0
    assert [path.name for path in (fitted / "predict").glob("*.png")] == ["test-0-000080.png"]


def test_a_second_fit_in_the_same_folder_is_refused(
    fitted: Path, archive: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data.init_args.archive", archive]
    assert main(["fit", *FIT, *SMALL, *data, "--run_dir", str(fitted)]) == 2
    assert "Resume it with --ckpt_path last" in capsys.readouterr().err


@pytest.mark.parametrize("resumes", [[], ["--ckpt_path", "last"]])
def test_a_record_whose_checkpoints_are_gone_is_not_overwritten(
    archive: str, tmp_path: Path, resumes: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "result.json").write_text("{}")
    (tmp_path / "metrics.csv").write_text("epoch,step\n0,0\n")
    call = ["fit", *FIT, *SMALL, "--data.init_args.archive", archive, "--run_dir", str(tmp_path)]
    assert main([*call, *resumes]) == 2
    assert "holds the record of a run" in capsys.readouterr().err
    assert (tmp_path / "metrics.csv").read_text() == "epoch,step\n0,0\n"


def test_a_resumed_fit_appends_and_ends_with_the_weights_of_an_undisturbed_one(
    fitted: Path, archive: str, tmp_path: Path
) -> None:
    run_dir = tmp_path / "resumed"
    call = ["fit", *FIT, *SMALL, "--data.init_args.archive", archive, "--run_dir", str(run_dir)]
    # the schedule spans two epochs in both halves; only the first stops early
    assert main([*call, "--trainer.callbacks+=tests.helpers.stopping.StopAfter"]) == 130
    rows = _metrics(run_dir)
    assert not (run_dir / "result.json").exists()
    assert main([*call, "--ckpt_path", "last"]) == 0
    assert _metrics(run_dir)[: len(rows)][0]["step"] == rows[0]["step"]
    assert len(_metrics(run_dir)) > len(rows)
    ours = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    theirs = torch.load(fitted / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), name


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_fit_keeps_a_checkpoint_and_says_so_by_its_exit_code(
    archive: str, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    run_dir = tmp_path / "stopped"
    command = [sys.executable, "-m", "spike_zoo", "fit", *FIT, *SMALL]
    command += ["--data.init_args.archive", archive, "--run_dir", str(run_dir)]
    command += ["--trainer.max_epochs", "100000", "--trainer.limit_val_batches", "0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE)
    for _ in range(600):
        if (run_dir / "checkpoints" / "last.ckpt").is_file():
            break
        time.sleep(0.1)
    process.send_signal(sent)
    _, error = process.communicate(timeout=60)
    assert process.returncode == code, error.decode()
    assert b"Traceback" not in error
    checkpoint = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] > 0


@pytest.mark.slow
def test_two_processes_train_one_run(archive: str, tmp_path: Path) -> None:
    run_dir = tmp_path / "pair"
    command = [sys.executable, "-m", "spike_zoo", "fit", *FIT, *SMALL]
    command += ["--data.init_args.archive", archive, "--run_dir", str(run_dir)]
    command += ["--trainer.accelerator", "cpu", "--trainer.devices", "2"]
    command += ["--trainer.strategy", "ddp"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("result:") == 1, "one process tests and records"
    result = RunResult.read(run_dir)
    assert result.metrics["test/psnr"] == pytest.approx(psnr_by_hand(result, archive), abs=0.01)
    assert not list(tmp_path.glob("pair-*")), "both processes named the same folder"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--model.init_args.wdith", "2"], 2, "wdith: unknown key of .*STIRModule.*'width'"),
        (["--trainer.max_epoch", "2"], 2, "max_epoch"),
        (["--config", "nowhere.yaml"], 2, "nowhere.yaml: there is no such configuration file"),
        (["--data.init_args.archive", "none.h5"], 2, "none.h5: .*python -m spike_zoo simulate"),
        (["--ckpt_path", "none.ckpt"], 2, "none.ckpt: there is no such checkpoint"),
        (["--ckpt_path", "README.md"], 1, "README.md: not a file of weights"),
        (["--trainer.max_epochs", "many"], 2, "max_epochs"),
        (["--data.init_args.crop", "8"], 2, "error: crop: at least 16 pixels are needed, got 8$"),
        (["--model.init_args.width", "-1"], 2, "error: width must be a positive number"),
        (["--model.init_args.attention", "no"], 2, "model.init_args.attention: Expected one of"),
        (["--model.class_path", "spike_zoo.methods.stir.No"], 2, "has no attribute 'No'"),
    ],
)
def test_a_wrong_call_is_one_line_with_its_exit_code(
    arguments: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_dir = tmp_path / "run"
    assert main(["validate", *FIT, "--run_dir", str(run_dir), *arguments]) == code
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert re.search(message, lines[0]), lines[0]


def test_a_verb_without_a_configuration_asks_for_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit"]) == 2
    assert "give --config FILE" in capsys.readouterr().err


def test_a_typo_in_a_file_is_named_with_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typo = tmp_path / "typo.yaml"
    typo.write_text("model: {init_args: {learning_rat: 1.0e-4}}\n")
    assert main(["validate", *FIT, "--config", str(typo)]) == 2
    error = capsys.readouterr().err
    assert f"{typo}: model.init_args.learning_rat: unknown key" in error
    assert "'learning_rate'" in error


@pytest.mark.parametrize(
    ("content", "message"), [(b"\x89HDF\r\n\x1a\n" + bytes(64), "cut"), (b"x", "not")]
)
def test_a_damaged_archive_is_one_line_and_exit_code_one(
    tmp_path: Path, content: bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "damaged.h5"
    path.write_bytes(content)
    arguments = ["--data.init_args.archive", str(path), "--run_dir", str(tmp_path / "run")]
    assert main(["validate", *FIT, *arguments]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert "damaged.h5" in lines[0]
    assert message in lines[0]
