"""S-SDM's three stages learn to deblur, from nothing, under the smoke profile."""

from __future__ import annotations

from pathlib import Path

import pytest

from spike_zoo.cli.main import main
from spike_zoo.records.result import RunResult
from tests.conftest import ROOT

# Samples and crops of each stage; the profile's own show that a run works, not that it learns.
LESSONS = {"denoise": (60, 40), "upsample": (150, 24), "student": (300, 24)}


@pytest.mark.slow
def test_three_stages_make_a_student_that_beats_the_blurry_image_on_scenes_it_never_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    archive = tmp_path / "scenes.h5"
    scenes = ["--size", "small", "--test", "3"]  # three paces
    assert main(["simulate", "--kind", "deblur", *scenes, "--out", str(archive)]) in (0, None)
    handed_on: list[str] = []
    for stage, (samples, crop) in LESSONS.items():
        run_dir = tmp_path / stage
        line = ["fit", "--config", f"configs/ssdm_{stage}.yaml"]
        line += ["--config", "configs/profiles/smoke.yaml"]
        line += ["--config", f"experiments/ssdm/profiles/smoke/{stage}.yaml", *handed_on]
        line += ["--data.init_args.archive", str(archive), "--data.init_args.batch_size", "1"]
        line += ["--data.init_args.samples_per_epoch", str(samples)]
        line += ["--data.init_args.crop", str(crop), "--trainer.limit_test_batches", "null"]
        line += ["--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false"]
        line += ["--run_dir", str(run_dir)]
        assert main(line) == 0
        network = {"denoise": "bsn", "upsample": "edsr", "student": "student"}[stage]
        handed_on += [f"--model.init_args.{network}", str(run_dir / "checkpoints" / "best.ckpt")]
    metrics = RunResult.read(tmp_path / "student").metrics
    assert metrics["test/psnr"] > metrics["test/psnr_before"] + 0.5
