"""Tests of S-SDM's configurations on the command line, and of training in all stages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from spike_zoo.cli.main import main
from spike_zoo.methods.ssdm import BSN, EDSR
from spike_zoo.records.result import RunResult
from tests.conftest import ROOT
from tests.helpers.measured import psnr_by_hand
from tests.helpers.variants import assert_builds, run_here

STAGES = ("denoise", "upsample", "student")
VARIANTS = sorted((ROOT / "experiments" / "ssdm" / "variants").glob("*.yaml"))
PLAIN = sorted((ROOT / "configs").rglob("ssdm_*.yaml"))
RUN = run_here(VARIANTS, beside=PLAIN)  # make smoke-tables runs the others, here they are built
UNTRAINED = ("BlurryInputModule", "SSDMCascadeModule")


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture
def archive(exposures_archive: Path) -> str:
    return str(exposures_archive)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("teacher")
    torch.save(BSN().state_dict(), folder / "bsn.pth")
    torch.save(EDSR().state_dict(), folder / "edsr.pth")
    return {part: str(folder / f"{part}.pth") for part in ("bsn", "edsr")}


def model_of(path: Path) -> dict[str, object]:
    """Return class and arguments of the model in a file."""
    model = yaml.safe_load(path.read_text())["model"]
    return {"class_path": model["class_path"], **model.get("init_args", {})}


def base_of(path: Path) -> list[str]:
    """Return the configuration that a variant overrides."""
    if path not in VARIANTS:
        return []
    stage = next((stage for stage in STAGES if path.stem.endswith(stage)), "student")
    return [f"configs/ssdm_{stage}.yaml"]


def command(path: Path, archive: str, files: dict[str, str], run_dir: Path) -> list[str]:
    """Return the command line that runs a file for two updates on a small archive."""
    model = model_of(path)
    untrained = str(model["class_path"]).endswith(UNTRAINED)
    stacked = [*base_of(path), path.relative_to(ROOT).as_posix(), "configs/profiles/smoke.yaml"]
    line = ["test" if untrained else "fit"]
    line += [argument for name in stacked for argument in ("--config", name)]
    line += ["--data.init_args.archive", archive, "--data.init_args.frames", "1"]
    line += ["--data.init_args.crop", "16", "--run_dir", str(run_dir)]
    line += ["--trainer.enable_progress_bar", "false"]
    for part, file in files.items():
        if model.get(part) is not None:
            line += [f"--model.init_args.{part}", file]
    return line if untrained else [*line, "--trainer.max_steps", "2"]


@pytest.mark.slow
# two updates can be over before a published schedule validates
@pytest.mark.filterwarnings("ignore:`ModelCheckpoint\\(monitor='val/psnr'\\)` could not find")
@pytest.mark.parametrize("path", [*PLAIN, *RUN], ids=lambda path: str(path.relative_to(ROOT)))
def test_configuration_runs_with_the_smoke_profile(
    path: Path, archive: str, files: dict[str, str], tmp_path: Path
) -> None:
    line = command(path, archive, files, tmp_path)
    if model_of(path).get("distance") == "lpips":
        line += ["--model.init_args.distance", "charbonnier"]
    assert main(line) == 0
    result = RunResult.read(tmp_path if line[0] == "fit" else tmp_path / "test")
    assert result.variant == path.stem
    assert result.method == "ssdm"
    measured = result.metrics
    gain = measured["test/psnr"] - measured["test/psnr_before"]
    assert measured["test/psnr_gain"] == pytest.approx(gain, abs=1e-3)
    if "stage" not in model_of(path):  # which measures one network's image, not the sharp one
        by_hand = psnr_by_hand(result, archive)
        assert measured["test/psnr"] == pytest.approx(by_hand, abs=0.01)
    assert {"test/psnr_middle", "test/psnr_official", "test/psnr_before"} <= result.metrics.keys()


@pytest.mark.parametrize(
    "path", [path for path in VARIANTS if path not in RUN], ids=lambda p: p.stem
)
def test_a_variant_builds_the_module_that_it_states(
    path: Path, archive: str, files: dict[str, str], tmp_path: Path
) -> None:
    assert_builds(path, command(path, archive, files, tmp_path), apart_from=files.keys())


@pytest.mark.parametrize("name", ["configs/paper/ssdm_student", "distance_lpips"])
def test_the_published_distance_asks_for_its_backbone_before_training(
    name: str,
    archive: str,
    files: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for variable in ("SPIKE_ZOO_BACKBONES", "TORCH_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    (path,) = [path for path in [*PLAIN, *VARIANTS] if path.as_posix().endswith(f"{name}.yaml")]
    assert main(command(path, archive, files, tmp_path / "run")) == 2
    assert "vgg16-397923af.pth" in capsys.readouterr().err


def test_rows_state_all_that_the_full_row_states() -> None:
    stated = {path.stem: model_of(path) for path in VARIANTS}
    full = stated["full"]
    students = {k: v for k, v in stated.items() if v["class_path"] == full["class_path"]}
    assert len(students) > 10
    for name, model in students.items():
        assert model.keys() >= full.keys(), name
    differing = {
        name: {key for key in model if model[key] != full.get(key)}
        for name, model in students.items()
    }
    assert differing["aligned"] == {"bsn", "edsr", "use_bsn", "align_input"}
    assert differing["aligned_v8"] == differing["aligned"] | {"upsampler"}
    assert differing["v4"] >= {"rate_gain"}
    assert differing["reblur_50"] == {"lambda_reblur"}
    assert differing["san"] == {"net"}
    assert differing["teacher_only"] == {"lambda_reblur"}


def test_stages_hand_their_checkpoints_on_where_make_puts_them() -> None:
    student = model_of(ROOT / "configs" / "ssdm_student.yaml")
    command = [sys.executable, "experiments/run.py", "--dry-run", "train", "ssdm"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for stage in ("denoise", "upsample", "student"):
        assert f"--run_dir runs/ssdm/{stage} " in done.stdout
    assert student["bsn"] == "runs/ssdm/denoise/checkpoints/best.ckpt"
    assert student["edsr"] == "runs/ssdm/upsample/checkpoints/best.ckpt"


# Samples and crops of each stage; the profile is too small for an effect of training.
LESSONS = {"denoise": (60, 40), "upsample": (150, 24), "student": (300, 24)}


@pytest.mark.slow
def test_three_stages_make_a_student_that_beats_the_blurry_image_on_scenes_it_never_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    archive = tmp_path / "scenes.h5"
    scenes = ["--size", "small", "--test", "3"]  # three speeds
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
