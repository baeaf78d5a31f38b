"""Tests of initial weights: identity by digests and recipes, and runs with ``--init_from``."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from spike_zoo.cli.main import main
from spike_zoo.training.initial_weights import (
    checkpoint_identity,
    existing_weights,
    named_checkpoints,
    recipe,
    recipe_digest,
    weights_sha256,
)
from spike_zoo.training.result import RunResult
from spike_zoo.utils.files import shipped_weights
from tests.helpers.checkpoints import write_checkpoint
from tests.helpers.results import make_result

KEY = "model.init_args.teacher"
STATE = {"layer.weight": torch.arange(6.0).reshape(2, 3), "layer.bias": torch.zeros(2)}
CONFIG: dict[str, Any] = {
    "model": {"class_path": "m.M", "init_args": {"width": 1.0, "teacher": None}},
    "trainer": {"max_epochs": 3, "logger": "csv"},
    "seed_everything": 0,
    "run_dir": "runs/a",
}

CONFIGS = [
    *("--config", "configs/stir_demo.yaml", "--config", "configs/profiles/smoke.yaml"),
    *("--trainer.enable_progress_bar", "false"),
]
FIT = [
    *("fit", *CONFIGS, "--trainer.max_epochs", "1"),
    *("--data.init_args.samples_per_epoch", "2", "--data.init_args.crop", "16"),
    *("--model.learning_rate", "1e-12", "--test_after_fit", "false"),
]
QUARTER = ["--model.width", "0.25"]
Fit = Callable[..., int]


@pytest.fixture
def fit(clips_archive: Path, tmp_path: Path, checkout: None) -> Fit:
    def run(*options: str, folder: str = "run") -> int:
        data = ["--data.init_args.archive", str(clips_archive), "--run_dir", str(tmp_path / folder)]
        return main([*FIT, *data, *options])

    return run


def _assert_starts_from(run_dir: Path, state: dict[str, torch.Tensor]) -> None:
    """Check that the weights after one update at a learning rate of 1e-12 equal a state."""
    content = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    assert content["global_step"] == 1
    for name, tensor in state.items():
        # running statistics change without an optimiser
        if "running_" not in name and "num_batches" not in name:
            actual = content["state_dict"][name]
            torch.testing.assert_close(actual, tensor, rtol=1e-6, atol=1e-9)


def test_a_run_starts_from_weights_with_a_new_optimiser(fit: Fit, tmp_path: Path) -> None:
    file = write_checkpoint(tmp_path / "weights.ckpt", seed=3)
    assert fit(*QUARTER, "--init_from", str(file)) == 0
    _assert_starts_from(tmp_path / "run", torch.load(file, weights_only=True)["state_dict"])
    record = RunResult.read(tmp_path / "run")
    assert record.begins_with["init_from"]["sha256"] == weights_sha256(file)
    assert record.config["model"]["init_args"]["learning_rate"] == 1e-12


def test_a_run_starts_from_shipped_weights_and_resumes_only_with_the_same_option(
    fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, file = "stir", shipped_weights()["stir"]
    assert fit("--model.width", "0.5", "--init_from", name) == 0
    record = RunResult.read(tmp_path / "run")
    assert record.begins_with["init_from"]["sha256"] == weights_sha256(file)
    options = ["--model.width", "0.5", "--ckpt_path", "last"]
    assert fit(*options, "--init_from", name) == 0
    assert fit(*options) == 2
    assert "init_from: not set, was 'stir'" in capsys.readouterr().err
    last = str(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert fit("--init_from", name, "--ckpt_path", last, folder="other") == 2
    assert "give one of them" in capsys.readouterr().err
    config = ["--config", str(tmp_path / "run" / "config.yaml"), "--ckpt_path", last]
    assert main(["validate", *config, "--init_from", last]) == 2
    assert "give one of them" in capsys.readouterr().err
    assert main(["validate", *config]) == 0


def test_weights_are_tested_without_a_checkpoint(
    clips_archive: Path, tmp_path: Path, checkout: None
) -> None:
    file = write_checkpoint(tmp_path / "weights.ckpt", seed=3)
    call = ["test", *CONFIGS, *QUARTER, "--data.init_args.archive", str(clips_archive)]
    psnr = []
    for option in ("--ckpt_path", "--init_from"):
        folder = tmp_path / option
        assert main([*call, "--run_dir", str(folder), option, str(file)]) == 0
        psnr.append(RunResult.read(folder / "test").metrics["test/psnr"])
    assert psnr[0] == psnr[1]


def test_weights_that_fit_in_part_are_used_and_the_rest_is_listed(
    fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_checkpoint(tmp_path / "weights.ckpt")
    content = torch.load(file, weights_only=True)
    removed = next(iter(content["state_dict"]))
    content["state_dict"]["another.entry"] = content["state_dict"].pop(removed)
    torch.save(content, file)
    assert fit(*QUARTER, "--init_from", str(file)) == 1
    assert fit(*QUARTER, "--init_from", str(file), "--init_strict", "false") == 0
    output = capsys.readouterr().out
    assert "1 entries of the file are left out: another.entry" in output
    assert f"1 entries of the model keep their initial values: {removed}" in output
    del content["state_dict"]["another.entry"]
    _assert_starts_from(tmp_path / "run", content["state_dict"])


def test_initial_weights_that_do_not_fit_or_exist_are_rejected_by_name(
    fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_checkpoint(tmp_path / "weights.ckpt")
    assert fit("--model.width", "0.5", "--init_from", str(file)) == 1
    error = capsys.readouterr().err
    assert "weights.ckpt: the weights do not fit STIRModule: " in error
    assert "of another shape, first network." in error
    assert "They were made with width=0.25" in error
    assert "--init_strict false" in error
    assert not (tmp_path / "run").exists()


def _config(**arguments: Any) -> dict[str, Any]:
    model = {"class_path": "m.M", "init_args": {**CONFIG["model"]["init_args"], **arguments}}
    return {**CONFIG, "model": model}


def _checkpoint(path: Path, **changes: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": STATE, "epoch": 3, **changes}, path)
    return path


def _export(path: Path) -> Path:
    save_file(STATE, path)
    return path


def _parallel(path: Path) -> Path:
    torch.save({f"module.{name}": value for name, value in STATE.items()}, path)
    return path


@pytest.mark.parametrize(
    ("write", "name"),
    [(_checkpoint, "other.ckpt"), (_export, "a.safetensors"), (_parallel, "a.pth")],
)
def test_the_digest_of_weights_does_not_depend_on_the_file_format(
    write: Callable[[Path], Path], name: str, tmp_path: Path
) -> None:
    first = _checkpoint(tmp_path / "a.ckpt", epoch=7)
    assert weights_sha256(write(tmp_path / name)) == weights_sha256(first)


@pytest.mark.parametrize(
    "other",
    [
        {**STATE, "layer.bias": torch.full((2,), 1e-30)},
        {"layer.weight": STATE["layer.weight"]},
        {"layer.weight": STATE["layer.weight"], "layer.shift": STATE["layer.bias"]},
    ],
)
def test_another_value_or_name_changes_the_digest_of_weights(
    other: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    first = _checkpoint(tmp_path / "a.ckpt")
    second = _checkpoint(tmp_path / "b.ckpt", state_dict=other)
    assert weights_sha256(second) != weights_sha256(first)


def test_the_digest_of_another_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "backbone.pth"
    file.write_bytes(b"not weights")
    assert weights_sha256(file) == hashlib.sha256(b"not weights").hexdigest()


def test_existing_weights_are_found_by_their_path(tmp_path: Path) -> None:
    file, export = _checkpoint(tmp_path / "a.ckpt"), tmp_path / "export"
    export.mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    assert existing_weights(str(file)) == file
    for text in (export, tmp_path / "notes.txt", tmp_path / "none.ckpt"):
        assert existing_weights(str(text)) is None
    inside = _export(export / "model.safetensors")
    assert existing_weights(str(export)) == existing_weights(str(inside)) == inside


def test_the_name_of_shipped_weights_is_recorded_as_their_path() -> None:
    shipped = shipped_weights()
    config = {**_config(teacher="sci"), "init_from": "stir"}
    expected = {KEY: shipped["sci"], "init_from": shipped["stir"]}
    assert dict(named_checkpoints(config)) == expected


def test_a_configuration_names_the_checkpoints_of_model_and_run(tmp_path: Path) -> None:
    file = str(_checkpoint(tmp_path / "a.ckpt"))
    config = {**_config(teacher={"edsr": file, "bsn": "none.pth"}), "ckpt_path": file}
    assert dict(named_checkpoints(config)) == {f"{KEY}.edsr": Path(file), "ckpt_path": Path(file)}
    assert dict(named_checkpoints({"model": None})) == {}


def test_a_checkpoint_in_a_runs_folder_has_the_recipe_of_the_run(tmp_path: Path) -> None:
    file = _checkpoint(tmp_path / "run" / "checkpoints" / "best.ckpt")
    assert checkpoint_identity(file) == {
        "path": str(file),
        "sha256": weights_sha256(file),
        "recipe": None,
    }
    record = make_result(config=CONFIG)
    record.write(tmp_path / "run" / "result.json")
    assert checkpoint_identity(file)["recipe"] == recipe_digest(record)
    (tmp_path / "run" / "result.json").write_text("{")
    assert checkpoint_identity(file)["recipe"] is None, (
        "the record is damaged, so only the weights are known"
    )


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        ({"seed": 1, "config": {**CONFIG, "seed_everything": 1}}, True),
        ({"config": {**CONFIG, "run_dir": "runs/b", "trainer": {"max_epochs": 3.0}}}, True),
        ({"config": _config(added=None)}, True),
        ({"metrics": {"test/psnr": 1.0}, "commit": "def"}, True),
        ({"config": _config(width=2.0)}, False),
        ({"config": {**CONFIG, "trainer": {"max_epochs": 4}}}, False),
        ({"begins_with": {"ckpt_path": {"sha256": "12"}}}, False),
    ],
)
def test_runs_have_the_same_recipe_if_their_settings_are_equal(
    changes: dict[str, Any], is_same: bool
) -> None:
    other = make_result(**{"config": CONFIG, **changes})
    assert (recipe_digest(other) == recipe_digest(make_result(config=CONFIG))) == is_same


def test_a_recipe_is_the_same_after_options_with_defaults_are_added() -> None:
    model: dict[str, Any] = {"class_path": "spike_zoo.methods.stir.STIRModule", "init_args": {}}
    added = {**model, "init_args": {"network": {"flow_fields": 3}}}
    changed = {**model, "init_args": {"network": {"flow_fields": 4}}}
    trainer = {"max_epochs": 3, "accelerator": "auto"}
    older, newer, other = (
        recipe_digest(make_result(config={"model": model, "trainer": trainer}))
        for model, trainer in ((model, {"max_epochs": 3}), (added, trainer), (changed, trainer))
    )
    assert older == newer != other


def test_the_interval_of_validation_is_in_recipes_of_training_only() -> None:
    config = {"trainer": {"check_val_every_n_epoch": 2}}
    for metrics, is_same in (({"test/psnr": 30.0}, True), ({"train/total": 0.1}, False)):
        digests = [recipe_digest(make_result(config=c, metrics=metrics)) for c in (config, {})]
        assert (digests[0] == digests[1]) == is_same


def test_initial_weights_enter_the_recipe_by_their_recipe_or_digest() -> None:
    config = _config(teacher="runs/teacher-0-12345678/checkpoints/best.ckpt")
    teacher = {"path": "x", "sha256": "34", "recipe": "made so"}
    for origin, expected in ((teacher, "made so"), ({**teacher, "recipe": None}, "34")):
        assert recipe(make_result(config=config, begins_with={KEY: origin}))[KEY] == expected
