"""Ctrl-C and SIGTERM wait for the end of a batch; a second Ctrl-C waits for nothing."""

from __future__ import annotations

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

from spike_zoo.runs.stopping import StopBetweenBatches
from tests.conftest import ROOT

FIT = ["--config", "configs/stir_demo.yaml", "--config", "configs/profiles/smoke.yaml"]
SMALL = ["--model.init_args.width", "0.25", "--trainer.enable_progress_bar", "false"]


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_fit_keeps_a_checkpoint_and_says_so_by_its_exit_code(
    clips_archive: Path, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    run_dir = tmp_path / "stopped"
    command = [sys.executable, "-m", "spike_zoo", "fit", *FIT, *SMALL]
    command += ["--data.init_args.archive", str(clips_archive), "--run_dir", str(run_dir)]
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


class Asked(Exception):
    """Stands for what Lightning does on SIGTERM."""


def _lightnings(number: int, frame: object) -> None:
    raise Asked


@pytest.fixture
def handled() -> Iterator[None]:
    """Let Lightning's handling be one that can be seen, and leave the signals as they were."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    signal.signal(signal.SIGTERM, _lightnings)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def stopper(handled: None) -> Any:
    """Return the callback of a fit that has begun."""
    stopper: Any = StopBetweenBatches()
    stopper.on_train_start(_trainer(), None)
    return stopper


def _trainer(accumulated: int = 1, processes: int = 1) -> SimpleNamespace:
    return SimpleNamespace(world_size=processes, accumulate_grad_batches=accumulated)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_end_of_the_batch(stopper: Any, number: signal.Signals) -> None:
    signal.raise_signal(number)  # in the middle of a batch: nothing happens
    assert stopper.received == number
    assert stopper.is_interrupted is (number == signal.SIGINT)
    with pytest.raises(Asked):
        stopper.on_train_batch_end(_trainer(), None, None, None, 0)


def test_batches_whose_gradients_are_gathered_are_finished_together(stopper: Any) -> None:
    signal.raise_signal(signal.SIGINT)
    for batch in (0, 1, 3):
        stopper.on_train_batch_end(_trainer(accumulated=3), None, None, None, batch)
    with pytest.raises(Asked):
        stopper.on_train_batch_end(_trainer(accumulated=3), None, None, None, 5)


def test_a_signal_during_an_evaluation_waits_for_its_end(stopper: Any) -> None:
    stopper.on_validation_end(_trainer(), None)  # nobody has asked
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(Asked):
        stopper.on_validation_end(_trainer(), None)


def test_a_second_ctrl_c_ends_at_once(stopper: Any, capsys: pytest.CaptureFixture[str]) -> None:
    signal.raise_signal(signal.SIGINT)
    assert "Ctrl-C ends it at once" in capsys.readouterr().err
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is _lightnings


def test_a_signal_after_the_last_batch_stops_the_run_before_its_test(stopper: Any) -> None:
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(SIGTERMException):
        stopper.on_train_end(_trainer(), None)


@pytest.mark.parametrize("ends", ["on_train_end", "on_exception"])
def test_signals_are_given_back(ends: str, handled: None) -> None:
    stopper: Any = StopBetweenBatches()
    before = signal.getsignal(signal.SIGINT)
    stopper.on_train_start(_trainer(), None)
    assert signal.getsignal(signal.SIGTERM) is not _lightnings
    getattr(stopper, ends)(*[None] * (2 if ends == "on_train_end" else 3))
    assert signal.getsignal(signal.SIGTERM) is _lightnings
    assert signal.getsignal(signal.SIGINT) is before


def test_processes_that_train_together_keep_lightnings_handling(handled: None) -> None:
    stopper: Any = StopBetweenBatches()
    stopper.on_train_start(_trainer(processes=2), None)
    assert signal.getsignal(signal.SIGTERM) is _lightnings
