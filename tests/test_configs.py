"""Every configuration runs through the command line.

Most variants of experiments/ run in ``make smoke-tables``; here they are built.
"""

import functools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from spike_zoo.cli.main import main
from spike_zoo.testing import tiny_archive
from spike_zoo.training.result import RunResult
from tests.conftest import ROOT
from tests.helpers.measured import expected_psnr
from tests.helpers.variants import assert_builds, profiles_of, variants_to_run

PROFILES = sorted((ROOT / "configs" / "profiles").glob("*.yaml"))
LOGGERS = sorted((ROOT / "configs" / "loggers").glob("*.yaml"))
#: Beginnings of names of files in experiments/ that are no configurations.
DESCRIPTIONS = ("table", "sweep", "needs", "stages", "recipes", "demo", "smoke", "reds")
#: Configurations with their own tests: tests/methods/{ssdm,sci}/test_configs.py (sci's with
#: recognition), tests/test_base.py, and tests/methods/test_external.py for other repositories.
OTHERS = re.compile(r"/(ssdm|sci|recognition|base|external)[/_.]")
METHODS = sorted(
    path
    for folder in ("configs", "experiments")
    for path in (ROOT / folder).rglob("*.yaml")
    if path not in [*PROFILES, *LOGGERS]
    and path.parent.parent.name != "profiles"  # stacked on a profile, not methods
    and not path.stem.startswith(DESCRIPTIONS)
    and path.stem != "finetune"  # tests/training/test_without_truth.py
    and not OTHERS.search(path.relative_to(ROOT).as_posix())
)
VARIANTS = [path for path in METHODS if path.parent.name == "variants"]
#: The other variants are built here and run by ``make smoke-tables``.
RUN = [
    path
    for path in [*(path for path in METHODS if path not in VARIANTS), *variants_to_run(VARIANTS)]
    if "colour" not in path.as_posix()  # needs an archive in colour
]
#: Folder -> configurations below its files in the stack.
BASES = {"experiments/stir/variants": "configs/stir.yaml"}
#: Missing requirement: the option and value that avoid it, and the error without this option.
NEEDS_VGG19 = ("--model.init_args.loss.perceptual", "0", "vgg19-dcbb9e9d.pth")
# tests/methods/stir/test_aligned.py trains on an archive with ground-truth motion
NEEDS_MOTION = ("--model.init_args.flow.weight", "0", "the data have no ground-truth flow")
ORACLE_FLOW = ("--model.init_args.flow.oracle", "false", "the data have no ground-truth flow")
CLASSICAL_FLOW = ("--model.init_args.oracle_flow", "false", "the data have no ground-truth flow")
EXCEPTIONS = {
    "experiments/classical/variants/tfi_true_motion.yaml": CLASSICAL_FLOW,
    "configs/paper/stir.yaml": NEEDS_VGG19,
    "experiments/stir/variants/loss_no_rec.yaml": NEEDS_VGG19,
    "experiments/stir/variants/motion_constant.yaml": NEEDS_MOTION,
    "experiments/stir/variants/motion_fading.yaml": NEEDS_MOTION,
    "experiments/stir/variants/motion_true.yaml": ORACLE_FLOW,
    "experiments/stir/variants/along_true.yaml": ORACLE_FLOW,
    "experiments/stir/variants/width_050_motion.yaml": NEEDS_MOTION,
    "experiments/stir/variants/width_050_motion_4.yaml": NEEDS_MOTION,
    "experiments/stir/variants/width_050_true.yaml": ORACLE_FLOW,
    "experiments/stir/variants/loss_per.yaml": NEEDS_VGG19,
}
#: Arguments of all data modules, which a profile may set.
SHARED_DATA_ARGUMENTS = {
    *("batch_size", "eval_batch_size", "crop", "augment", "samples_per_epoch", "workers", "seed")
}


@pytest.fixture(autouse=True)
def _run_in_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("archives") / "tiny.h5"
    return str(tiny_archive(path, planes=161, height=48, width=64, stride=20))


def _arguments(path: Path, archive: str, tmp_path: Path) -> list[str]:
    base = BASES.get(path.parent.relative_to(ROOT).as_posix())
    name = path.relative_to(ROOT).as_posix()
    files = [*filter(None, [base]), name, "configs/profiles/smoke.yaml"]
    stacked = [argument for file in files for argument in ("--config", file)]
    return [*stacked, "--data.init_args.archive", archive, "--run_dir", str(tmp_path / "run")]


def _verb(path: Path) -> str:
    """Return "test" for a method without training, otherwise "fit"."""
    is_row = path.parent.name == "variants" and {"colour", "robustness"} & set(path.parts)
    return "test" if "classical" in path.parts or is_row else "fit"


@pytest.mark.slow
@pytest.mark.parametrize("path", RUN, ids=lambda path: str(path.relative_to(ROOT)))
def test_configuration_runs_with_the_smoke_profile(
    path: Path, archive: str, tmp_path: Path
) -> None:
    verb = _verb(path)
    arguments = _arguments(path, archive, tmp_path)
    arguments += EXCEPTIONS.get(path.relative_to(ROOT).as_posix(), ())[:-1]
    if verb == "fit":  # two steps are enough; the configuration may set a larger number
        arguments += ["--trainer.max_steps", "2"]
    assert main([verb, *arguments, "--trainer.enable_progress_bar", "false"]) == 0
    folder = tmp_path / "run" if verb == "fit" else tmp_path / "run" / verb
    result = RunResult.read(folder)
    assert result.variant == path.stem
    assert result.profile == "smoke"
    assert result.metrics["test/psnr"] == pytest.approx(expected_psnr(result, archive), abs=0.01)


@pytest.mark.parametrize(
    "path", [path for path in VARIANTS if path not in RUN], ids=lambda p: p.stem
)
def test_a_variant_builds_the_module_that_it_states(
    path: Path, archive: str, tmp_path: Path
) -> None:
    verb = _verb(path)
    assert_builds(path, [verb, *_arguments(path, archive, tmp_path)])


@pytest.mark.parametrize(
    "name",
    [
        # one configuration of each requirement is fast enough
        name
        if number == list(EXCEPTIONS.values()).index(error)
        else pytest.param(name, marks=pytest.mark.slow)
        for number, (name, error) in enumerate(EXCEPTIONS.items())
    ],
)
def test_the_error_of_a_missing_requirement_names_it(
    name: str,
    archive: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for variable in ("SPIKE_ZOO_BACKBONES", "TORCH_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    verb = "test" if "classical" in name else "fit"
    assert main([verb, *_arguments(ROOT / name, archive, tmp_path)]) == 2
    assert EXCEPTIONS[name][-1] in capsys.readouterr().err


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_profiles_set_only_arguments_of_all_data_modules(path: Path) -> None:
    content = yaml.safe_load(path.read_text())
    assert content.keys() <= {"data", "trainer"}
    arguments = content.get("data", {}).get("init_args", {})
    assert arguments.keys() <= SHARED_DATA_ARGUMENTS


@functools.cache
def _trainer_arguments(file: str) -> dict[str, Any]:
    content = yaml.safe_load((ROOT / file).read_text()) or {}
    return content.get("trainer") or {}


def _stacked(files: Iterable[str]) -> dict[str, Any]:
    """Return the merged trainer arguments of stacked files."""
    trainer: dict[str, Any] = {}
    for file in files:
        trainer |= _trainer_arguments(file)
    return trainer


def _fits_of(sweep: Path) -> list[list[str]]:
    """Return the stacked files of the fits of a sweep, for every profile and variant."""
    content = yaml.safe_load(sweep.read_text())
    command = [str(part).split(" ")[0] for part in content["command"]]
    if "fit" not in command:
        return []
    stated_files = [
        part.removeprefix("--config=") for part in command if part.startswith("--config=")
    ]
    config = content["parameters"].get("config", {})
    variants = config.get("values") or [config["value"]] if config else [None]
    return [
        [
            file.replace("${envvar:PROFILE}", profile.stem)
            for file in [*stated_files, variant]
            if file
        ]
        for profile in profiles_of(sweep)
        for variant in variants
    ]


def _stacks() -> list[list[str]]:
    """Return stacks of files for fit: single files, files with a profile, and those of sweeps."""
    configs, experiments = ROOT / "configs", ROOT / "experiments"
    alone = [*configs.rglob("*.yaml"), *experiments.glob("*/weights/*.yaml")]
    stacks = [[path] for path in alone]
    stacks += [[path, profile] for path in configs.glob("*.yaml") for profile in PROFILES]
    sweep_fits = [fit for sweep in experiments.glob("*/sweep*.yaml") for fit in _fits_of(sweep)]
    return [[str(path.relative_to(ROOT)) for path in stack] for stack in stacks] + sweep_fits


def test_every_fit_validates_at_its_end() -> None:
    for files in _stacks():
        trainer, name = _stacked(files), " + ".join(files)
        epochs, steps = trainer.get("max_epochs"), trainer.get("max_steps")
        if steps is not None:
            assert steps % trainer["val_check_interval"] == 0, name
        elif epochs is not None:
            assert epochs % trainer.get("check_val_every_n_epoch", 1) == 0, name


@pytest.mark.slow
def test_an_offline_wandb_run_has_metrics_and_images(
    archive: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.delenv("WANDB_MODE", raising=False)
    arguments = ["--config", "configs/stir.yaml", "--config", "configs/profiles/smoke.yaml"]
    arguments += ["--config", "configs/loggers/wandb_offline.yaml"]
    arguments += ["--model.init_args.width", "0.25", "--trainer.enable_progress_bar", "false"]
    arguments += ["--data.init_args.archive", archive, "--run_dir", str(tmp_path / "run")]
    assert main(["fit", *arguments]) == 0
    runs = list((tmp_path / "run" / "wandb").glob("offline-run-*"))
    assert len(runs) == 1
    assert list(runs[0].glob("*.wandb"))
    assert list((runs[0] / "files" / "media" / "images").rglob("*.png"))
    assert (tmp_path / "run" / "metrics.csv").is_file()
