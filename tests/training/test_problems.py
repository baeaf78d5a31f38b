"""Tests of error messages of parsing, data and Lightning: one line each."""

from __future__ import annotations

import functools
import re
from argparse import ArgumentError
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonargparse import _common as jsonargparse_settings
from lightning import Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException

from spike_zoo.archive import build_archive
from spike_zoo.cli.main import main
from spike_zoo.data import ReconstructionDataModule
from spike_zoo.errors import ConfigError, UsageError
from spike_zoo.tables.sweeps.line_reader import LineReader
from spike_zoo.testing import pattern_take
from spike_zoo.training.configs import check_configs, config_files, with_files
from spike_zoo.training.libraries import import_trusted_only, options_of
from spike_zoo.training.problems import check_options_known, explain
from tests.conftest import ROOT

BASE = ["--config", "stir_demo", "--config", "profiles/smoke"]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


pytestmark = pytest.mark.usefixtures("checkout")


def _rejection(reader: LineReader, *options: str) -> str:
    """Return the message for a command line that the parser rejects."""
    arguments = with_files([*BASE, *options])
    with pytest.raises(ArgumentError) as caught:
        reader.read("validate", arguments)
    try:
        check_options_known(caught.value, options_of(reader._parser("validate")), arguments)
    except UsageError as error:
        return str(error)
    return str(explain(caught.value, arguments))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--model.lr=1", r"^model\.init_args\.lr: unknown key\. Did you mean 'learning_rate'\?$"),
        ("--model.init_args.wdith 2", r"^model\.init_args\.wdith: .* Did you mean 'width'\?$"),
        ("--model.network.atention=no", r"^unknown option .* Did you mean '--network\.attention'"),
        ("--model.network.flow_f 2", r"^unknown .* Did you mean '--network\.flow_fields'\?"),
        ("--model.attention no", r"Did you mean 'network\.attention'\?"),
        ("--data.batchsize=3", r"^data\.init_args\.batchsize: .* Did you mean 'batch_size'\?$"),
        ("--trainer.max_epoch 2", r"^unknown option .* Did you mean '--trainer\.max_epochs'\?"),
        ("--run_dri runs/x", r"^unknown option --run_dri runs/x\. Did you mean '--run_dir'\?"),
        ("--trainer.max_epochs many", "^trainer.max_epochs: Expected a .*many"),
        ("--trainer.max_epochs=many", "^trainer.max_epochs: Expected a .*many"),
        ("--model.init_args.width wide", "^model.init_args.width: Expected"),
        ("--model.init_args.network.attention no", r"network\.attention: Expected one of"),
        ("--model.class_path spike_zoo.methods.stir.No", "^model: .* attribute 'No'"),
        ("--trainer.callbacks+=EarlyStopping", r"^--trainer\.callbacks\.monitor must be given"),
    ],
)
def test_an_invalid_option_is_named(options: str, message: str, reader: LineReader) -> None:
    assert re.search(message, _rejection(reader, *options.split()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trainer: {max_epochs: many}", "trainer.max_epochs: Expected a"),
        ("trainer: {max_epoch: 3}", "max_epoch: unknown key. Did you mean 'trainer.max_epochs'?"),
        ("trianer: {max_epochs: 3}", "trianer.max_epochs: unknown key. Did you mean 'trainer.max"),
        ("model: {init_args: {learning_rat: 1}}", "learning_rat: unknown key. Did you mean 'learn"),
    ],
)
def test_an_invalid_key_is_named_with_its_file(
    text: str, message: str, reader: LineReader, tmp_path: Path
) -> None:
    (tmp_path / "own.yaml").write_text(text)
    rejection = _rejection(reader, "--config", str(tmp_path / "own.yaml"))
    assert rejection.startswith(f"{tmp_path / 'own.yaml'}: ")
    assert message in rejection


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trainer: {max_epochs: 3\nmodel: {", "line 2: not YAML: expected ',' or '}'"),
        ("trainer: {max_epochs: 3}\ntrainer: {}", "line 2: the key 'trainer' is given twice"),
        ("", "must be a mapping, such as 'trainer: {max_epochs: 3}', found NoneType"),
        ("- trainer", "found list"),
    ],
)
def test_a_damaged_configuration_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        check_configs(["--config", str(tmp_path / "own.yaml")])
    assert str(error.value).startswith(f"{tmp_path / 'own.yaml'}: ")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("call", "code", "message"),
    [
        ("fit", 2, "no model or data is named; give --config FILE"),
        ("validate --config=stir --trainer.max_epoch=3", 2, "unknown option --trainer.max_epoch"),
        ("validate --config=stir --data.archive=none.h5", 2, "none.h5: .*python -m spike_zoo sim"),
        ("validate --config=stir --ckpt_path=none.ckpt", 2, "none.ckpt: there is no such checkp"),
        ("test --config=stir --ckpt_path=README.md", 1, "README.md: not a file of weights"),
        ("test --config=stir --run_dir=README.md", 2, "--run_dir README.md: a file; name a folder"),
        ("test --config=stir --model.width=-1", 2, "width must be a positive number"),
        ("fit --config=stir --trainer.barebones=true", 2, "trainer.barebones: turns off loggers"),
        ("fit --config=stir --trainer.max_steps=0", 2, "trainer.max_steps: 0 trains nothing"),
        ("fit --config=stir --seed_everything=-1", 2, "-1 is not in bounds"),
    ],
)
def test_a_mistake_is_reported_on_one_line_with_its_exit_code(
    call: str, code: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = [] if "run_dir" in call else [f"--run_dir={tmp_path / 'run'}"]
    assert main([*call.split(), *run_dir]) == code
    output = capsys.readouterr().err
    (line,) = [line for line in output.splitlines() if line.startswith("error:")]
    assert re.search(message, line), line
    assert "Traceback" not in output
    assert not (tmp_path / "run").exists()


def test_too_few_planes_around_an_exposure_are_rejected(
    exposures_archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["--config=ssdm_student", f"--data.archive={exposures_archive}", "--data.margin=5"]
    call += ["--model.loss.labels=none", f"--run_dir={tmp_path}", "--data.crop=16"]
    assert main(["validate", *call]) == 2
    message = r"data\.init_args\.margin: 5 planes before and after .*; set it to at least 10$"
    assert re.search(message, capsys.readouterr().err.strip())


def test_an_error_in_a_worker_is_reported_on_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {"a": 48, "b": 48, "c": 48, "d": 56}
    jobs = {
        name: functools.partial(pattern_take, 0, 81, size, 48, 0) for name, size in sizes.items()
    }
    splits = {"train": ["a"], "val": ["b"], "test": ["c", "d"]}
    archive = build_archive(tmp_path / "mixed.h5", jobs, splits=splits)
    call = ["--config=classical/tfi", f"--data.archive={archive}", "--data.clip_length=61"]
    call += ["--data.eval_batch_size=2", "--data.workers=1", f"--run_dir={tmp_path / 'run'}"]
    assert main(["test", *call]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: batch: packed of different sizes")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size: at least 1, got 0$"),
        ({"eval_batch_size": -1}, "eval_batch_size: at least 1, got -1$"),
        ({"samples_per_epoch": 0}, "samples_per_epoch: at least 1, got 0$"),
        ({"workers": -1}, "workers: at least 0, got -1$"),
        ({"stride": 0}, "stride: at least 1, got 0$"),
        ({"clip_length": -61}, "clip_length: at least 1, got -61$"),
        ({"seed": -1}, "seed: at least 0, got -1$"),
        ({"crop": 8}, "crop: at least 16, got 8$"),
    ],
)
def test_an_invalid_argument_of_the_data_is_named(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ReconstructionDataModule("a.h5", **{"clip_length": 61, **arguments})  # type: ignore[arg-type]  # integers


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


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (FileNotFoundError(2, "No such file or directory", "a.yaml"), "a.yaml: No such file or"),
        (PermissionError(13, "Permission denied", "runs"), "runs: Permission denied"),
        (MisconfigurationException("no\n  devices"), "no devices"),
        (
            RuntimeError("Error(s) in loading state_dict for N:\n\tsize mismatch for a\n\tand b"),
            "the weights do not fit the configured model: size mismatch for a",
        ),
        (ZeroDivisionError("oops"), None),
        (ValueError("oops"), None),
        (RuntimeError("oops"), None),
        (OSError(5), None),
    ],
)
def test_only_errors_of_users_are_explained(error: BaseException, line: str | None) -> None:
    explanation = explain(error, ["--config", "a.yaml"])
    assert explanation is None if line is None else explanation and explanation.startswith(line)


def test_a_value_rejected_by_lightning_is_a_user_error() -> None:
    with pytest.raises(ValueError, match="strategy") as error:
        Trainer(logger=False, enable_progress_bar=False, strategy="nonsense")
    assert "strategy='nonsense'" in str(explain(error.value, []))


@pytest.fixture
def only_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow classes of this package only, as with --safe; restore the parser's settings."""
    settings = jsonargparse_settings.parsing_settings
    for name in ("import_path_verdicts", "import_paths_enforced"):
        monkeypatch.setitem(settings, name, settings[name])
    import_trusted_only()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_classes_of_shipped_configurations_are_safe(
    path: Path, reader: LineReader, only_trusted: None
) -> None:
    callback = "--trainer.callbacks+=lightning.pytorch.callbacks.LearningRateMonitor"
    plan, _, _ = reader.read("fit", ["--config", str(path), callback])
    assert plan.variant == path.stem


@pytest.mark.parametrize(
    "content",
    [
        "model: {class_path: os.system, init_args: {command: ls}}",
        "model: subprocess.Popen",
        "model: inner.yaml",
        "trainer: {callbacks: [{class_path: shutil.rmtree}]}",
        "trainer: {logger: {class_path: 'builtins.exec'}}",
        "model: mine.Module",
    ],
)
def test_other_classes_in_a_file_are_rejected_before_an_import(
    content: str,
    reader: LineReader,
    only_trusted: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("mine.py").write_text("raise SystemExit('imported')")
    Path("inner.yaml").write_text("class_path: os.system")
    Path("a.yaml").write_text(content)
    rejection = _rejection(reader, "--config", "a.yaml")
    assert rejection.startswith("a.yaml: ")
    assert "--safe does not allow" in rejection


@pytest.mark.parametrize(
    "argument",
    [
        "--model=os.system",
        "--model={class_path: os.system}",
        "--model=torch.os.system",
        "--model=lightning.pytorch.trainer.trainer.os.system",
        "--trainer.callbacks+=shutil.rmtree",
    ],
)
def test_other_classes_on_the_command_line_are_rejected(
    argument: str, reader: LineReader, only_trusted: None
) -> None:
    assert "--safe does not allow" in _rejection(reader, argument)


def test_the_option_safe_allows_only_trusted_classes(
    only_trusted: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "--config", "stir", "--model=os.system", "--safe"]) == 2
    assert "--safe does not allow" in capsys.readouterr().err
