"""Tests of S-SDM's configurations on the command line, and of training in all stages."""

from pathlib import Path

import pytest
import torch
import yaml

from spike_zoo.cli.main import main
from spike_zoo.methods.ssdm import BSN, EDSR
from spike_zoo.training.provenance import leaves
from spike_zoo.training.result import RunResult
from tests.conftest import ROOT
from tests.helpers.jobs import dry_run
from tests.helpers.measured import expected_psnr
from tests.helpers.variants import assert_builds, variants_to_run

STAGES = ("denoise", "upsample", "student")
VARIANTS = sorted((ROOT / "experiments" / "ssdm" / "variants").glob("*.yaml"))
PLAIN = sorted((ROOT / "configs").rglob("ssdm_*.yaml"))
#: Variants that are run here; the others are built here and run by make smoke-tables.
RUN = variants_to_run(VARIANTS, others=PLAIN)
FILES = {"bsn", "edsr", "teacher.bsn", "teacher.edsr"}
UNTRAINED = ("BlurryInputModule", "SSDMCascadeModule")
pytestmark = pytest.mark.usefixtures("checkout")


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
    return {"class_path": model["class_path"], **dict(leaves(model.get("init_args", {})))}


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
        for key in (part, f"teacher.{part}"):
            if model.get(key) is not None:
                line += [f"--model.init_args.{key}", file]
    return line if untrained else [*line, "--trainer.max_steps", "2"]


@pytest.mark.slow
# two updates can end before the first validation of a published schedule
@pytest.mark.filterwarnings("ignore:`ModelCheckpoint\\(monitor='val/psnr'\\)` could not find")
@pytest.mark.parametrize("path", [*PLAIN, *RUN], ids=lambda path: str(path.relative_to(ROOT)))
def test_configuration_runs_with_the_smoke_profile(
    path: Path, archive: str, files: dict[str, str], tmp_path: Path
) -> None:
    line = command(path, archive, files, tmp_path)
    if model_of(path).get("loss.distance") == "lpips":
        line += ["--model.init_args.loss.distance", "charbonnier"]
    assert main(line) == 0
    result = RunResult.read(tmp_path if line[0] == "fit" else tmp_path / "test")
    assert result.variant == path.stem
    assert result.method == "ssdm"
    metrics = result.metrics
    gain = metrics["test/psnr"] - metrics["test/psnr_before"]
    assert metrics["test/psnr_gain"] == pytest.approx(gain, abs=1e-3)
    if "stage" not in model_of(path):  # a stage measures the image of one network
        expected = expected_psnr(result, archive)
        assert metrics["test/psnr"] == pytest.approx(expected, abs=0.01)
    assert {"test/psnr_middle", "test/psnr_official", "test/psnr_before"} <= result.metrics.keys()


@pytest.mark.parametrize(
    "path", [path for path in VARIANTS if path not in RUN], ids=lambda p: p.stem
)
def test_a_variant_builds_the_module_that_it_states(
    path: Path, archive: str, files: dict[str, str], tmp_path: Path
) -> None:
    assert_builds(path, command(path, archive, files, tmp_path), except_for=FILES)


@pytest.mark.parametrize("name", ["configs/paper/ssdm_student", "distance_lpips"])
def test_the_published_distance_without_its_backbone_raises_before_training(
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


def test_rows_state_all_options_of_the_full_row_and_change_the_documented_ones() -> None:
    arguments = {path.stem: model_of(path) for path in VARIANTS}
    full = arguments["full"]
    students = {k: v for k, v in arguments.items() if v["class_path"] == full["class_path"]}
    assert len(students) > 10
    for name, model in students.items():
        assert model.keys() >= full.keys(), name
    changed_options = {
        name: {key for key in model if model[key] != full.get(key)}
        for name, model in students.items()
    }
    assert changed_options["aligned"] == {
        *("teacher.bsn", "teacher.edsr", "teacher.use_bsn", "teacher.align_input")
    }
    assert changed_options["aligned_v8"] == changed_options["aligned"] | {"teacher.upsampler"}
    assert changed_options["v4"] >= {"teacher.rate_gain"}
    assert changed_options["reblur_50"] == {"loss.lambda_reblur"}
    assert changed_options["san"] == {"net"}
    assert changed_options["teacher_only"] == {"loss.lambda_reblur"}


def test_the_student_starts_from_the_checkpoints_of_the_stages_of_make() -> None:
    student = model_of(ROOT / "configs" / "ssdm_student.yaml")
    printed = dry_run(ROOT, "train", "ssdm")
    for stage in ("denoise", "upsample", "student"):
        assert f"--run_dir runs/ssdm/{stage} " in printed
    assert student["teacher.bsn"] == "runs/ssdm/denoise/checkpoints/best.ckpt"
    assert student["teacher.edsr"] == "runs/ssdm/upsample/checkpoints/best.ckpt"


# Samples and crops of each stage; those of the smoke profile are too few to learn from.
TRAINING_SIZES = {"denoise": (60, 40), "upsample": (150, 24), "student": (300, 24)}


@pytest.mark.slow
def test_three_stages_train_a_student_with_higher_psnr_than_the_blurry_image(
    tmp_path: Path,
) -> None:
    archive = tmp_path / "scenes.h5"
    scenes = ["--size", "small", "--test", "3"]  # three speeds
    assert main(["simulate", "--kind", "deblur", *scenes, "--out", str(archive)]) == 0
    files: dict[str, str] = {}
    for stage, (samples, crop) in TRAINING_SIZES.items():
        run_dir = tmp_path / stage
        line = ["fit", "--config", f"configs/ssdm_{stage}.yaml"]
        line += ["--config", "configs/profiles/smoke.yaml"]
        line += ["--config", f"experiments/ssdm/profiles/smoke/{stage}.yaml"]
        prefix = "--model.init_args.teacher." if stage == "student" else "--model.init_args."
        line += [text for part, file in files.items() for text in (f"{prefix}{part}", file)]
        line += ["--data.init_args.archive", str(archive), "--data.init_args.batch_size", "1"]
        line += ["--data.init_args.samples_per_epoch", str(samples)]
        line += ["--data.init_args.crop", str(crop), "--trainer.limit_test_batches", "null"]
        line += ["--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false"]
        line += ["--run_dir", str(run_dir)]
        assert main(line) == 0
        network = {"denoise": "bsn", "upsample": "edsr", "student": "student"}[stage]
        files[network] = str(run_dir / "checkpoints" / "best.ckpt")
    metrics = RunResult.read(tmp_path / "student").metrics
    assert metrics["test/psnr"] > metrics["test/psnr_before"] + 0.5
