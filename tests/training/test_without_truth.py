"""Fits on recordings without images: the configuration ``finetune``."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

import spike_zoo
from spike_zoo.checkpoints.loading import save_weights
from spike_zoo.cli.main import main
from spike_zoo.spikes import SpikeRecording, Take
from spike_zoo.testing import pattern_take
from spike_zoo.training.checkpoints import HeldOutCheckpoint
from spike_zoo.training.result import RunResult
from tests.helpers.splits import archive_of

SMALL = [
    *("--config", "finetune", "--trainer.enable_progress_bar", "false"),
    *("--data.init_args.samples_per_epoch", "2", "--data.init_args.batch_size", "2"),
    *("--trainer.num_sanity_val_steps", "0", "--model.init_args.lpips", "off"),
]
PLANES = 201  # five planes, 20 apart, at which spikes are held out
RECORDINGS = 4
LIMIT = 3.182  # quantile 0.975 of Student's t with 3 degrees of freedom, from a table


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an archive with four recordings without images in every split."""
    take = Take(pattern_take(0, PLANES, 48, 56).recording)  # spikes are hidden at other pixels
    return archive_of(tmp_path_factory.mktemp("archives") / "own.h5", *[take] * RECORDINGS)


pytestmark = pytest.mark.usefixtures("checkout")


def _fit(archive: Path, run_dir: Path, *options: str) -> int:
    data = ["--data.init_args.archive", str(archive), "--run_dir", str(run_dir)]
    return main(["fit", *SMALL, *data, *options])


def _checkpoint(run_dir: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(run_dir / "checkpoints" / name, weights_only=True)
    return content


def _differ(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return any(not torch.equal(one[name], other[name]) for name in other)


def _held_out_state(run_dir: Path) -> dict[str, Any]:
    callbacks = _checkpoint(run_dir, "last.ckpt")["callbacks"]
    (state,) = [state for name, state in callbacks.items() if name.startswith("HeldOutCheckpoint")]
    return dict(state)


def test_weights_that_are_better_are_kept_and_reconstruct(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir, image = tmp_path / "run", tmp_path / "a.png"
    # the initial weights are those of another brightness, so that few updates improve them
    weights = tmp_path / "dark.safetensors"
    dark: Any = spike_zoo.load("plain")
    with torch.no_grad():
        dark.network.last.bias -= 0.2
    save_weights(dark, weights)
    options = ["--init_from", str(weights), "--data.init_args.samples_per_epoch", "16"]
    options += ["--model.init_args.learning_rate", "5e-3"]
    assert _fit(archive, run_dir, *options, "--trainer.max_epochs", "1") == 0
    out = capsys.readouterr().out
    message = re.search(
        r"held-out spikes: (\S+) -> (\S+) \((\S+) standard errors over 4 recordings\)", out
    )
    assert message is not None
    before, after, errors = map(float, message.groups())
    assert before > after
    assert errors > LIMIT
    metrics = RunResult.read(run_dir).metrics
    assert metrics["val/heldout_mse"] == pytest.approx(after, abs=1e-5)
    best = run_dir / "checkpoints" / "best.ckpt"
    assert _differ(_checkpoint(run_dir, "best.ckpt")["state_dict"], dark.state_dict())
    command = ["reconstruct", str(archive), "--name", "take0", "--center", "100"]
    assert main([*command, "--method", str(best), "--out", str(image)]) == 0
    assert image.is_file()


def test_the_weights_of_the_start_are_kept_if_none_is_better(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "run"
    options = ["--model.init_args.learning_rate", "2e-3", "--trainer.max_epochs", "1"]
    assert _fit(archive, run_dir, *options) == 0
    assert f"not better by {LIMIT:.1f} standard errors over 4" in capsys.readouterr().out
    start = spike_zoo.load("plain").state_dict()
    assert not _differ(_checkpoint(run_dir, "best.ckpt")["state_dict"], start)
    assert _differ(_checkpoint(run_dir, "last.ckpt")["state_dict"], start)
    assert RunResult.read(run_dir).metrics["val/heldout_change"] == 0

    at_start = _held_out_state(run_dir)["at_start"]
    resumed = ["--ckpt_path", "last", "--trainer.max_epochs", "2"]
    assert _fit(archive, run_dir, *options, *resumed) == 0
    assert _held_out_state(run_dir)["at_start"] == at_start
    assert f"not better by {LIMIT:.1f} standard errors over 4" in capsys.readouterr().out
    assert not _differ(_checkpoint(run_dir, "best.ckpt")["state_dict"], start)


def test_planes_of_one_recording_count_as_one_unit(tmp_path: Path) -> None:
    """Chance changes that all planes of a recording share are kept as seldom as the test states."""
    generator, kept = torch.Generator().manual_seed(0), 0
    for _ in range(RUNS := 400):
        checkpoint = HeldOutCheckpoint(tmp_path / "best.ckpt", is_resumed=False)
        measured = {"val/heldout_mse": 0.0}
        checkpoint.best_metrics = {"val/heldout_mse": 1.0}
        module: Any = SimpleNamespace(log=lambda name, x, **_: measured.update({name: x}))  # noqa: B023
        for deviation in (0, 1):  # of the start, and of the end
            for recording, change in enumerate(torch.randn(5, generator=generator).tolist()):
                planes = dict.fromkeys(range(40), 1 + deviation * change)
                checkpoint._errors[f"take{recording}"] = planes
            checkpoint.on_validation_epoch_end(cast("Any", None), module)
        kept += checkpoint.is_better(measured)
    assert kept / RUNS == pytest.approx(0.025, abs=0.015)  # as independent planes: 0.4


def test_too_few_recordings_are_reported_before_training(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "run"
    assert _fit(archive, run_dir, "--trainer.limit_val_batches", "1") != 0
    error = capsys.readouterr().err
    assert "spikes can be held out in 1 recordings of the split val, but at least 2" in error
    assert not run_dir.exists()
    still = SpikeRecording.from_planes(np.ones((PLANES, 48, 56), bool), rate_scale=1.0)
    assert _fit(archive_of(tmp_path / "still.h5", Take(still)), run_dir) != 0
    assert "spikes can be held out in 0 recordings of the split val" in capsys.readouterr().err


def test_a_network_with_aligned_input_is_rejected(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ["--model", "spike_zoo.methods.stir.AlignedSTIRModule"]
    model += ["--model.init_args.width", "0.25"]
    options = ["--data.init_args.clip_length", "151", "--init_from", "null"]
    assert _fit(archive, tmp_path / "run", *model, *options) != 0
    assert "would only learn to repeat this image" in capsys.readouterr().err
