"""``--safe``: a configuration may name classes of this package, Lightning and torch alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from spike_zoo.cli.main import main
from spike_zoo.errors import ConfigError
from spike_zoo.runs.trusted_classes import check_classes
from tests.conftest import ROOT

CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configurations_that_ship_are_allowed(path: Path) -> None:
    check_classes(["--config", str(path), "--data.init_args.archive", "test.h5"])


@pytest.mark.parametrize(
    "content",
    [
        "model: {class_path: os.system, init_args: {command: ls}}",
        "model: subprocess.Popen",
        "trainer: {callbacks: [{class_path: shutil.rmtree}]}",
        "trainer: {logger: {class_path: 'builtins.exec'}}",
        "mine.Module: 3",
        "{model: {class_path: spike_zoo.methods.stir.STIRModule, init_args: {a: 'x: os.system'}}}",
    ],
)
def test_other_classes_are_rejected_before_an_import(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("mine.py").write_text("raise SystemExit('imported')")
    Path("a.yaml").write_text(content)
    assert main(["fit", "--config", "a.yaml", "--safe"]) == 2
    assert "--safe allows no other" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--model", "os.system"],
        ["--model=os.system"],
        ["--model", "{class_path: os.system}"],
        ["--trainer.callbacks+=shutil.rmtree"],
        ["--model={class_path: os.system, init_args: {a: 'b=c'}}"],
        ["--model=torch.os.system"],
        ["--model", "lightning.pytorch.trainer.trainer.os.system"],
    ],
)
def test_classes_on_the_command_line_count_too(arguments: list[str]) -> None:
    with pytest.raises(ConfigError, match="is not of spike_zoo"):
        check_classes(arguments)


def test_files_that_values_name_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("inner.yaml").write_text("class_path: os.system")
    Path("outer.yaml").write_text("model: inner.yaml")
    for arguments in (["--model", "inner.yaml"], ["-c=outer.yaml"], ["--model=inner.yaml"]):
        with pytest.raises(ConfigError, match=r"inner\.yaml: 'os\.system' is not of"):
            check_classes(arguments)


def test_a_file_of_the_name_of_a_module_is_a_file_unless_the_module_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("docs").mkdir()
    check_classes(["--data.archive", "docs.npz", "--x=test.h5", "--y", "best.ckpt"])
    Path("mine.py").touch()
    with pytest.raises(ConfigError, match=r"'mine\.h5' is not of"):
        check_classes(["--model", "mine.h5"])


def test_classes_of_trusted_packages_are_allowed() -> None:
    check_classes(
        [
            "--optimizer=torch.optim.AdamW",
            "--trainer.callbacks+=lightning.pytorch.callbacks.EarlyStopping",
            "--model=spike_zoo.methods.stir.STIRModule",
            "--x=torchmetrics.MeanMetric",
        ]
    )
