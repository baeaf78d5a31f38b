"""Identity of initial weights: digests of weights and recipes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from spike_zoo.training.initial_weights import (
    checkpoint_identity,
    existing_weights,
    named_checkpoints,
    recipe,
    recipe_digest,
    weights_sha256,
)
from spike_zoo.utils.files import shipped_weights
from tests.helpers.results import make_result

KEY = "model.init_args.teacher"
STATE = {"layer.weight": torch.arange(6.0).reshape(2, 3), "layer.bias": torch.zeros(2)}
CONFIG: dict[str, Any] = {
    "model": {"class_path": "m.M", "init_args": {"width": 1.0, "teacher": None}},
    "trainer": {"max_epochs": 3, "logger": "csv"},
    "seed_everything": 0,
    "run_dir": "runs/a",
}


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
    config = {**_config(teacher="sci"), "init_from": "stir-small"}
    expected = {KEY: shipped["sci"], "init_from": shipped["stir-small"]}
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
    "changes",
    [
        {"seed": 1, "config": {**CONFIG, "seed_everything": 1}},
        {"config": {**CONFIG, "run_dir": "runs/b", "trainer": {"max_epochs": 3.0}}},
        {"config": _config(added=None)},
        {"metrics": {"test/psnr": 1.0}, "commit": "def"},
    ],
)
def test_runs_with_equal_settings_have_the_same_recipe(changes: dict[str, Any]) -> None:
    other = make_result(**{"config": CONFIG, **changes})
    assert recipe_digest(other) == recipe_digest(make_result(config=CONFIG))


@pytest.mark.parametrize(
    "changes",
    [
        {"config": _config(width=2.0)},
        {"config": {**CONFIG, "trainer": {"max_epochs": 4}}},
        {"begins_with": {"ckpt_path": {"sha256": "12"}}},
    ],
)
def test_runs_with_other_settings_have_different_recipes(changes: dict[str, Any]) -> None:
    other = make_result(**{"config": CONFIG, **changes})
    assert recipe_digest(other) != recipe_digest(make_result(config=CONFIG))


def test_initial_weights_enter_the_recipe_by_their_recipe_or_digest() -> None:
    config = _config(teacher="runs/teacher-0-12345678/checkpoints/best.ckpt")
    teacher = {"path": "x", "sha256": "34", "recipe": "made so"}
    for origin, expected in ((teacher, "made so"), ({**teacher, "recipe": None}, "34")):
        assert recipe(make_result(config=config, begins_with={KEY: origin}))[KEY] == expected
