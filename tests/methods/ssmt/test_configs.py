"""Tests of the configurations of both stages of SSMT and all variants on the command line."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch

import spike_zoo
from spike_zoo.archive import build_archive
from spike_zoo.cli.main import main
from spike_zoo.methods.ssmt import SSMTModule
from spike_zoo.simulation import SceneSpec
from spike_zoo.simulation.kinds.takes import simulate_take
from spike_zoo.testing import tiny_archive
from spike_zoo.training.result import RunResult
from tests.conftest import ROOT
from tests.helpers.variants import assert_builds

VARIANTS = sorted((ROOT / "experiments/ssmt/variants").glob("*.yaml"))
pytestmark = pytest.mark.usefixtures("checkout")
SMOKE = ["--config", "configs/profiles/smoke.yaml", "--trainer.enable_progress_bar", "false"]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return an archive of scenes with five images 20 planes apart, and the flow between them."""
    names = {"train": ["a", "b"], "val": ["c"], "test": ["d"]}
    specs = {
        name: SceneSpec(name=name, height=64, width=72, planes=121, seed=seed)
        for seed, name in enumerate("abcd")
    }
    jobs = {
        name: functools.partial(simulate_take, spec, image_stride=20, margin=20, motion=True)
        for name, spec in specs.items()
    }
    path = tmp_path_factory.mktemp("archives") / "memory.h5"
    return str(build_archive(path, jobs, splits=names))


@pytest.fixture(scope="module")
def motion(archive: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the path of weights of the first stage."""
    run = tmp_path_factory.mktemp("runs") / "motion"
    stage = ["--config", str(ROOT / "configs/ssmt_motion.yaml")]
    smoke = ["--config", str(ROOT / "configs/profiles/smoke.yaml"), *SMOKE[2:]]
    data = ["--data.init_args.archive", archive, "--run_dir", str(run)]
    assert main(["fit", *stage, *smoke, *data]) == 0
    assert RunResult.read(run).metrics["test/epe"] > 0
    return str(run / "checkpoints" / "best.ckpt")


@pytest.mark.slow
def test_the_second_stage_starts_from_the_weights_of_the_first(
    archive: str, motion: str, tmp_path: Path
) -> None:
    data = ["--data.init_args.archive", archive, "--run_dir", str(tmp_path)]
    weights = ["--model.init_args.motion_weights", motion]
    assert main(["fit", "--config", "configs/ssmt.yaml", *SMOKE, *data, *weights]) == 0
    result = RunResult.read(tmp_path)
    assert result.metrics["test/psnr_later"] != result.metrics["test/psnr"]
    module = spike_zoo.load(tmp_path / "checkpoints" / "best.ckpt")
    assert isinstance(module, SSMTModule)
    assert module.network.motion is not None
    first = spike_zoo.load(motion).network.state_dict()  # type: ignore[union-attr]  # a module's
    for name, value in module.network.motion.state_dict().items():
        assert torch.equal(value, first[name]), name


@pytest.mark.slow
def test_weights_of_other_options_are_rejected(
    archive: str, motion: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data.init_args.archive", archive, "--run_dir", str(tmp_path / "run")]
    fit = ["fit", "--config", "configs/ssmt.yaml", *SMOKE, *data]
    weights = ["--model.init_args.motion_weights", motion]
    assert main([*fit, *weights, "--model.init_args.network.correlation_levels", "3"]) == 1
    assert "the motion network has other options than this one" in capsys.readouterr().err
    assert main([*fit, *weights, "--model.init_args.network.motion_input", "spikes"]) == 1
    assert "trained with motion_input intervals, not spikes" in capsys.readouterr().err
    assert main([*fit, "--model.init_args.motion_weights", "plain"]) == 1
    assert "weights of PlainModule, not of SSMTMotionModule" in capsys.readouterr().err


@pytest.mark.parametrize("path", VARIANTS, ids=lambda path: path.stem)
def test_a_variant_builds_the_module_that_it_states(
    path: Path, archive: str, tmp_path: Path
) -> None:
    files = ["--config", "configs/ssmt.yaml", "--config", str(path), *SMOKE]
    data = ["--data.init_args.archive", archive, "--run_dir", str(tmp_path / "run")]
    assert_builds(path, ["fit", *files, *data])


@pytest.mark.parametrize("name", ["ssmt", "ssmt_motion"])
def test_published_schedules_are_those_of_the_paper(name: str, tmp_path: Path) -> None:
    path = ROOT / "configs/paper" / f"{name}.yaml"
    run = ["--run_dir", str(tmp_path / "run"), *SMOKE[2:]]
    assert_builds(path, ["fit", "--config", str(path), *run])


def test_scenes_without_flow_are_rejected_with_the_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tiny_archive(tmp_path / "a.h5", 121, 64, 64, stride=20)
    data = ["--data.init_args.archive", str(archive), "--run_dir", str(tmp_path / "run")]
    assert main(["fit", "--config", "configs/ssmt_motion.yaml", *SMOKE, *data]) == 2
    assert "--motion true" in capsys.readouterr().err
