"""Ctrl-C, SIGTERM and SIGHUP stop a fit after the batch; a second Ctrl-C stops immediately."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException

from spike_zoo.training.stopping import StopBetweenBatches
from tests.conftest import ROOT

FIT = ["--config", "configs/stir_demo.yaml", "--config", "configs/profiles/smoke.yaml"]
HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SMALL = ["--model.init_args.width", "0.25", "--trainer.enable_progress_bar", "false"]


@pytest.mark.slow
@pytest.mark.parametrize(("signal_number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_fit_saves_a_checkpoint_and_sets_its_exit_code(
    clips_archive: Path, tmp_path: Path, signal_number: signal.Signals, code: int
) -> None:
    run_dir = tmp_path / "stopped"
    command = [sys.executable, "-m", "spike_zoo", "fit", *FIT, *SMALL]
    command += ["--data.init_args.archive", str(clips_archive), "--run_dir", str(run_dir)]
    command += ["--trainer.max_epochs", "100000", "--trainer.limit_val_batches", "0"]
    command += ["--data.init_args.workers", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, start_new_session=True
    )
    for _ in range(600):
        if (run_dir / "checkpoints" / "last.ckpt").is_file():
            break
        time.sleep(0.1)
    send = os.kill if sys.platform == "darwin" else os.killpg  # on Linux to the workers, too
    send(process.pid, signal_number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == code, error.decode()
    assert b"Traceback" not in error
    assert b"SIGTERMException" not in error
    assert error.count(b"stopping after this batch") == 1
    checkpoint = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] > 0


PAIR = ["--trainer.accelerator", "cpu", "--trainer.devices", "2", "--trainer.strategy", "ddp"]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "signal_number", "target", "code"),
    [
        ([], signal.SIGINT, "group", 130),
        ([], signal.SIGTERM, "group", 143),
        ([], signal.SIGINT, "parent", 130),
        ([], signal.SIGTERM, "parent", 143),
        ([], signal.SIGTERM, "child", 143),
        (TORCHRUN, signal.SIGTERM, "parent", 1),  # exit code of the torchrun agent
        (TORCHRUN, signal.SIGINT, "parent", 1),
        (TORCHRUN, signal.SIGTERM, "child", 1),
    ],
)
def test_two_processes_stop_at_the_same_batch_and_save(
    clips_archive: Path,
    tmp_path: Path,
    launcher: list[str],
    signal_number: signal.Signals,
    target: str,
    code: int,
) -> None:
    run_dir, log = tmp_path / "pair", tmp_path / "log"
    command = [sys.executable, *launcher, "-m", "spike_zoo", "fit", *FIT, *SMALL, *PAIR]
    command += ["--data.init_args.archive", str(clips_archive), "--run_dir", str(run_dir)]
    command += ["--trainer.max_epochs", "1", "--data.init_args.samples_per_epoch", "100000"]
    command += ["--trainer.log_every_n_steps", "1", "--trainer.limit_val_batches", "0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        for _ in range(600):
            if (run_dir / "metrics.csv").is_file():
                break
            time.sleep(0.1)
        _send(process.pid, signal_number, target)
        assert process.wait(timeout=60) == code, log.read_text()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert "SIGTERMException" not in log.read_text()
    checkpoint = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    loops = checkpoint["loops"]["fit_loop"]
    batches = loops["epoch_loop.batch_progress"]["current"]["completed"]
    assert checkpoint["global_step"] == batches > 0
    assert loops["state_dict"]["combined_loader"] == [{"epoch": 0, "batches": batches}]


def _send(parent: int, signal_number: signal.Signals, target: str) -> None:
    if target == "group":
        os.killpg(parent, signal_number)
    elif target == "parent":
        os.kill(parent, signal_number)
    else:
        children = subprocess.run(["pgrep", "-P", str(parent)], capture_output=True, text=True)
        os.kill(int(children.stdout.split()[-1]), signal_number)


@pytest.fixture
def handlers() -> Iterator[dict[signal.Signals, Any]]:
    """Return the signal handlers before a test, and restore them after it."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it
    before = {number: signal.getsignal(number) for number in HANDLED}
    yield before
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def stopper(handlers: dict[signal.Signals, Any]) -> Any:
    """Return the callback of a started fit."""
    stopper: Any = StopBetweenBatches()
    stopper.on_train_start(_trainer(), None)
    return stopper


def _trainer(*, pending: bool = False, validates: bool = False) -> SimpleNamespace:
    batches = SimpleNamespace(
        _should_check_val_fx=lambda _: validates, _should_accumulate=lambda: pending
    )
    return SimpleNamespace(
        world_size=1,
        sanity_checking=False,
        fit_loop=SimpleNamespace(epoch_loop=batches, _data_fetcher=None),
        _signal_connector=SimpleNamespace(received_sigterm=False),
    )


def _stops(trainer: SimpleNamespace) -> bool:
    """Return whether Lightning's loop will stop as after SIGTERM."""
    stops: bool = trainer._signal_connector.received_sigterm
    return stops


@pytest.mark.parametrize("number", HANDLED)
def test_a_signal_stops_the_fit_at_the_end_of_the_batch(
    stopper: Any, number: signal.Signals
) -> None:
    trainer = _trainer()
    signal.raise_signal(number)  # within a batch the signal is only stored
    assert stopper.received == number
    assert stopper.is_interrupted is (number == signal.SIGINT)
    assert not _stops(trainer)
    stopper.on_train_batch_end(trainer, None, None, None, 0)
    assert _stops(trainer)


def test_a_fit_does_not_stop_between_accumulated_gradients_or_before_a_validation(
    stopper: Any,
) -> None:
    signal.raise_signal(signal.SIGINT)
    for trainer in (_trainer(pending=True), _trainer(validates=True)):
        stopper.on_train_batch_end(trainer, None, None, None, 0)
        assert not _stops(trainer)
    stopper.on_validation_end(trainer, None)
    assert _stops(trainer)


def test_a_signal_during_an_evaluation_stops_the_run_at_its_end(stopper: Any) -> None:
    trainer = _trainer()
    stopper.on_validation_end(trainer, None)
    assert not _stops(trainer), "no signal was received"
    signal.raise_signal(signal.SIGTERM)
    stopper.on_validation_end(trainer, None)
    assert _stops(trainer)


def test_a_second_ctrl_c_stops_immediately(
    stopper: Any, handlers: dict[signal.Signals, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    signal.raise_signal(signal.SIGINT)
    assert "press Ctrl-C to stop immediately" in capsys.readouterr().err
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) == handlers[signal.SIGTERM]


def test_a_signal_after_the_last_batch_stops_the_run_before_its_test(stopper: Any) -> None:
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(SIGTERMException):
        stopper.on_train_end(_trainer(), None)


def test_signal_handlers_are_restored_after_training(
    stopper: Any, handlers: dict[signal.Signals, Any]
) -> None:
    assert signal.getsignal(signal.SIGTERM) != handlers[signal.SIGTERM]
    stopper.on_train_end(_trainer(), None)
    assert {number: signal.getsignal(number) for number in HANDLED} == handlers
