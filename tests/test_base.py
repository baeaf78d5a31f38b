"""BASE, trained outside of the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.base.module import BaseModule
from spike_zoo import load
from spike_zoo.cli.main import main
from spike_zoo.simulation import SpikeCamera
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.testing import tiny_archive
from spike_zoo.training.result import RunResult
from tests.conftest import ROOT


def test_the_network_has_the_published_number_of_parameters() -> None:
    assert sum(weight.numel() for weight in BaseModule().parameters()) == 180_705


@pytest.mark.parametrize("rate_scale", [0.6, 0.4])
def test_a_grey_scene_is_reconstructed_at_its_level(rate_scale: float) -> None:
    light = np.full((61, 30, 40), 0.5, np.float32)
    camera = SpikeCamera(gain=rate_scale, generator=np.random.default_rng(0))
    recording = SpikeRecording.from_planes(camera.expose(light), rate_scale=rate_scale)
    method: Any = load(ROOT / "experiments/base/weights/base.safetensors", trust=True)

    image = method.reconstruct(recording, [30])

    assert image.shape == (1, 1, 30, 40)
    assert image[..., 6:-6, 6:-6].mean().item() == pytest.approx(0.5, abs=0.02)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*images are constant")  # after two updates
@pytest.mark.parametrize("name", ["reds", "photographs"])
def test_the_configurations_train(name: str, tmp_path: Path) -> None:
    archive = tiny_archive(tmp_path / "tiny.h5", planes=61, height=48, width=64)
    files = [f"experiments/base/{name}.yaml", "configs/profiles/smoke.yaml"]
    arguments = [argument for file in files for argument in ("--config", str(ROOT / file))]
    arguments += ["--data.init_args.archive", str(archive), "--run_dir", str(tmp_path / "run")]

    assert main(["fit", *arguments, "--trainer.max_steps", "2"]) == 0

    assert "test/psnr" in RunResult.read(tmp_path / "run").metrics
