"""Tests of error messages of parsing and Lightning: one line each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from lightning import Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException

from spike_zoo.cli.main import main
from spike_zoo.training.configs import config_files
from spike_zoo.training.problems import explain
from tests.conftest import ROOT

FIT = ["--config", "configs/stir_demo.yaml", "--config", "configs/profiles/smoke.yaml"]


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--model.init_args.wdith", "2"], 2, "wdith. Did you mean '--model.init_args.width'"),
        (["--trainer.max_epoch", "2"], 2, "max_epoch"),
        (["--config", "nowhere.yaml"], 2, "nowhere.yaml: there is no such configuration file"),
        (["--data.init_args.archive", "none.h5"], 2, "none.h5: .*python -m spike_zoo simulate"),
        (["--ckpt_path", "none.ckpt"], 2, "none.ckpt: there is no such checkpoint"),
        (["--ckpt_path", "README.md"], 1, "README.md: not a file of weights"),
        (["--trainer.max_epochs", "many"], 2, "^error: trainer.max_epochs: Expected a .*many"),
        (["--trainer.max_epochs=many"], 2, "^error: trainer.max_epochs: Expected a .*many"),
        (["--model.init_args.width", "wide"], 2, "^error: model.init_args.width: Expected"),
        (["--data.init_args.crop", "8"], 2, "error: crop: at least 16, got 8$"),
        (["--model.init_args.width", "-1"], 2, "error: width must be a positive number"),
        (
            ["--model.init_args.network.attention", "no"],
            2,
            "model.init_args.network.attention: Expected one of",
        ),
        (
            ["--model.class_path", "spike_zoo.methods.stir.No"],
            2,
            "error: model: .* attribute 'No'",
        ),
    ],
)
def test_an_invalid_argument_is_reported_on_one_line_with_its_exit_code(
    arguments: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_dir = tmp_path / "run"
    assert main(["validate", *FIT, "--run_dir", str(run_dir), *arguments]) == code
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert re.search(message, lines[0]), lines[0]


def test_a_verb_without_a_configuration_is_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit"]) == 2
    assert "give --config FILE" in capsys.readouterr().err


def test_a_typo_in_a_file_is_named_with_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typo = tmp_path / "typo.yaml"
    typo.write_text("model: {init_args: {learning_rat: 1.0e-4}}\n")
    assert main(["validate", *FIT, "--config", str(typo)]) == 2
    error = capsys.readouterr().err
    assert f"{typo}: model.init_args.learning_rat: unknown key" in error
    assert "'learning_rate'" in error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trainer: {max_epochs: many}", "trainer.max_epochs: Expected a"),
        (
            "trainer: {max_epoch: 3}",
            "trainer.max_epoch: unknown key of lightning.pytorch.trainer.trainer.Trainer. "
            "Did you mean 'max_epochs'?",
        ),
        (
            "trianer: {max_epochs: 3}",
            "trianer.max_epochs: unknown key. Did you mean 'trainer.max_epochs'?",
        ),
        ("trainer: {max_epochs: 3\nmodel: {", "line 2: not YAML: expected ',' or '}'"),
        ("trainer: {max_epochs: 3}\ntrainer: {}", "line 2: the key 'trainer' is given twice"),
        ("", "empty; write its settings"),
        ("- trainer", "must be a mapping of keys, found list"),
    ],
)
def test_an_error_in_a_file_is_named_with_the_file(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "own.yaml"
    config.write_text(text)
    assert main(["validate", *FIT, "--config", str(config)]) == 2
    assert f"error: {config}: {message}" in capsys.readouterr().err


@given(
    files=st.lists(st.sampled_from(["a.yaml", "b/c.yaml", "-.yaml"]), max_size=4),
    style=st.integers(0, 2),
)
def test_configuration_files_are_listed_in_order_for_every_spelling_of_the_option(
    files: list[str], style: int
) -> None:
    arguments = ["--seed_everything", "1"]
    for file in files:
        arguments += [[f"--config={file}"], ["--config", file], ["-c", file]][style]
    assert config_files([*arguments, "--trainer.max_epochs=2", "--config"]) == files


def _raised_in_lightning(**options: object) -> BaseException:
    with pytest.raises(Exception) as error:  # noqa: PT011  (the type depends on the options)
        Trainer(logger=False, enable_progress_bar=False, **options)  # type: ignore[arg-type]  # wrong on purpose
    return error.value


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (FileNotFoundError(2, "No such file or directory", "a.yaml"), "a.yaml: No such file or"),
        (PermissionError(13, "Permission denied", "runs"), "runs: Permission denied"),
        (MisconfigurationException("no\n  devices"), "no devices"),
        (yaml.YAMLError("line 3:\n a tab"), "line 3: a tab"),
        (
            RuntimeError("Error(s) in loading state_dict for N:\n\tsize mismatch for a\n\tand b"),
            "the weights do not fit the configured model: size mismatch for a",
        ),
    ],
)
def test_a_user_error_is_explained_on_one_line(error: BaseException, line: str) -> None:
    explanation = explain(error, [])
    assert explanation is not None
    assert explanation.startswith(line)
    assert "\n" not in explanation


def test_a_value_rejected_by_lightning_is_a_user_error(tmp_path: Path) -> None:
    explanation = explain(_raised_in_lightning(strategy="nonsense"), [])
    assert explanation is not None
    assert "strategy" in explanation


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("oops"),
        ValueError("oops"),
        RuntimeError("oops"),
        KeyError("a"),
        OSError(5),
    ],
)
def test_an_internal_error_is_not_explained_as_a_user_error(error: BaseException) -> None:
    assert explain(error, ["--config", "a.yaml"]) is None
