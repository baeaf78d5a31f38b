"""Progress lines instead of a bar for output without a terminal."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from lightning import Trainer
from lightning.pytorch.callbacks import TQDMProgressBar

from spike_zoo.data import ReconstructionDataModule
from spike_zoo.testing import QUIET
from spike_zoo.training import progress as bars
from spike_zoo.training.progress import ProgressLines, progress_callbacks
from tests.helpers.modules import DoubledModule


@pytest.mark.parametrize("is_terminal", [True, False])
@pytest.mark.parametrize("is_enabled", [None, True, False])
def test_a_progress_bar_is_drawn_only_on_terminals(
    is_terminal: bool, is_enabled: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    settings = {"enable_progress_bar": is_enabled, "callbacks": None}
    lines = progress_callbacks(settings)
    assert settings["enable_progress_bar"] is (is_enabled if is_terminal else False)
    assert len(lines) == (not is_terminal and is_enabled is not False), (
        "None is Lightning's default"
    )


def test_a_custom_progress_bar_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    for callbacks in (TQDMProgressBar(), [TQDMProgressBar()]):
        settings = {"enable_progress_bar": None, "callbacks": callbacks}
        assert not progress_callbacks(settings)
        assert settings["enable_progress_bar"] is None, (
            "Lightning rejects False together with a bar"
        )


def test_lines_state_the_epoch_and_the_remaining_time_without_the_first_batch(
    clips_archive: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([0, 100, 110, 120, 130])  # the first batch takes ten times as long
    monkeypatch.setattr(bars, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    data = ReconstructionDataModule(str(clips_archive), 9, crop=16, samples_per_epoch=8)
    quiet = {**QUIET, "logger": False, "enable_checkpointing": False, "limit_val_batches": 0}
    Trainer(max_epochs=2, callbacks=[ProgressLines(0)], **quiet).fit(DoubledModule(), data)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    assert lines == ["epoch 1/2", "epoch 1/2, 20 s left", "epoch 2/2, 10 s left", "epoch 2/2"]
